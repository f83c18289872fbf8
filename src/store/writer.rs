//! Group commit: one thread that writes, one durable commit for all writes
//! that wait together.
//!
//! While a batch is being committed the next one gathers in the queue, so a
//! write alone waits for nothing and a herd shares its commits. A write that
//! panics or meets a storage error is taken out and undone; the others of its
//! batch are run again without it, which is why a write is an `Fn`: it can be
//! run from the start on a fresh transaction. What it does outside of the
//! transaction would be done again with it, and so must be done once only.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redb::{Database, StorageError};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::changes::{Changed, Changes};
use super::engine::Engine;
use super::error::{Outcome, StorageFault, Unavailable};
use super::tables::WriteTables;

/// Writes that may wait before more are refused.
const QUEUE: usize = 16_384;
/// Most writes in one commit: bounds what has to be run again after a fault,
/// and the memory of a batch.
const MAX_BATCH: usize = 1024;

/// A batch that was written and answered.
#[derive(Debug, Clone, Copy)]
pub struct Commit {
    /// How many writes were in it.
    pub writes: usize,
    /// How long it took to run them and to have them on disk.
    pub took: Duration,
}

/// Who hears of each commit.
type Observer = Box<dyn Fn(Commit) + Send + Sync>;

/// The writing thread's end that others hold.
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    observer: Arc<OnceLock<Observer>>,
}

impl Writer {
    /// Starts the thread. It writes to `engine` and notes in `changes` what
    /// it committed.
    pub(super) fn start(engine: Arc<Engine>, changes: Arc<Changes>) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let observer: Arc<OnceLock<Observer>> = Arc::default();
        let on_commit = Arc::clone(&observer);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || serve(&engine, &changes, receiver, &on_commit))?;
        Ok(Self { queue: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), observer })
    }

    /// Tells `observer` of every commit; only the first one given counts.
    pub(super) fn observe(&self, observer: Observer) {
        let _ = self.observer.set(observer);
    }

    /// How many writes are in the queue.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.queue).as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    /// Queues `work` and waits for its commit.
    pub(super) async fn run<T, E, F>(&self, work: F) -> Outcome<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Fn(&mut WriteTables<'_>) -> Outcome<T, E> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Call { work, result: None, reply, runtime: Handle::try_current().ok() });
        let queue = lock(&self.queue).clone().ok_or(Unavailable::Closed)?;
        queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unavailable::QueueFull,
            mpsc::error::TrySendError::Closed(_) => Unavailable::Closed,
        })?;
        // A dropped reply means that the job panicked: see `serve_batch`.
        answer.await.unwrap_or(Err(Unavailable::Panicked))
    }

    /// Refuses further writes, finishes those queued and waits for the thread.
    pub(super) fn stop(&self) {
        drop(lock(&self.queue).take());
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer had panicked");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A queued write, its types erased.
trait Job: Send {
    /// Runs the work and keeps what the rules said. An error means that the
    /// transaction cannot be trusted any more.
    fn attempt(&mut self, tables: &mut WriteTables<'_>) -> Result<(), Unavailable>;
    /// Tells the caller: what the rules said, or why it did not happen.
    fn answer(self: Box<Self>, fault: Option<Unavailable>);
    /// Where the caller waits; `None`: on no runtime of tokio's.
    fn runtime(&self) -> Option<&Handle>;
}

struct Call<F, T, E> {
    work: F,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Outcome<T, E>>,
    runtime: Option<Handle>,
}

impl<F, T, E> Job for Call<F, T, E>
where
    F: Fn(&mut WriteTables<'_>) -> Outcome<T, E> + Send,
    T: Send,
    E: Send,
{
    fn attempt(&mut self, tables: &mut WriteTables<'_>) -> Result<(), Unavailable> {
        self.result = Some((self.work)(tables)?);
        Ok(())
    }

    fn answer(self: Box<Self>, fault: Option<Unavailable>) {
        let outcome = match (fault, self.result) {
            (None, Some(result)) => Ok(result),
            (Some(fault), _) => Err(fault),
            (None, None) => Err(Unavailable::Closed),
        };
        // The caller may have gone away; its write stands all the same.
        let _ = self.reply.send(outcome);
    }

    fn runtime(&self) -> Option<&Handle> {
        self.runtime.as_ref()
    }
}

/// Jobs that were committed and are answered when this is dropped, wherever
/// that is: also by a runtime that has ended.
struct Committed(Vec<Box<dyn Job>>);

impl Drop for Committed {
    fn drop(&mut self) {
        self.0.drain(..).for_each(|job| job.answer(None));
    }
}

/// Answers the jobs of a batch that was committed. Leaves `batch` empty.
///
/// An answer wakes the task that waits for it. From this thread that is a call
/// into the scheduler for each, and often the system hands the processor to the
/// thread that was woken; so the answers of several go as one task to the
/// runtime, which wakes the others from within.
fn answer_all(batch: &mut Vec<Box<dyn Job>>) {
    let next = Vec::with_capacity(batch.len());
    let committed = Committed(std::mem::replace(batch, next));
    let several = committed.0.first().filter(|_| committed.0.len() > 1);
    if let Some(runtime) = several.and_then(|job| job.runtime()).cloned() {
        runtime.spawn(async move { drop(committed) });
    }
}

fn serve(
    engine: &Engine,
    changes: &Changes,
    mut queue: mpsc::Receiver<Box<dyn Job>>,
    on_commit: &OnceLock<Observer>,
) {
    let mut batch = Vec::new();
    while let Some(first) = queue.blocking_recv() {
        batch.push(first);
        gather(&mut queue, &mut batch);
        // Others write too: those that are about to may come along.
        if batch.len() > 1 {
            std::thread::yield_now();
            gather(&mut queue, &mut batch);
        }
        let (started, writes) = (Instant::now(), batch.len());
        serve_batch(engine, changes, &mut batch);
        if let Some(observer) = on_commit.get() {
            observer(Commit { writes, took: started.elapsed() });
        }
    }
}

/// Adds what is in the queue now.
fn gather(queue: &mut mpsc::Receiver<Box<dyn Job>>, batch: &mut Vec<Box<dyn Job>>) {
    while batch.len() < MAX_BATCH
        && let Ok(job) = queue.try_recv()
    {
        batch.push(job);
    }
}

/// Commits the batch and answers each of its jobs. Leaves `batch` empty.
fn serve_batch(engine: &Engine, changes: &Changes, batch: &mut Vec<Box<dyn Job>>) {
    while !batch.is_empty() {
        let result = engine.write(|database| {
            // Jobs are caught one by one below; this is for redb itself.
            let result = catch_unwind(AssertUnwindSafe(|| commit(database, batch)));
            match result {
                Ok(Err(Fault::Storage(error))) => Err(error),
                Ok(result) => Ok(result),
                Err(_) => {
                    engine.distrust();
                    let fault = StorageError::Corrupted("the database panicked in a commit".to_owned());
                    Err(Arc::new(redb::Error::from(fault)))
                }
            }
        });
        match result {
            Ok(Ok(changed)) => {
                changes.note(changed);
                answer_all(batch);
            }
            Ok(Err(Fault::Panicked(index))) => {
                tracing::error!("a write panicked and was undone; the others of its batch go on");
                engine.distrust();
                // Dropping the job drops its reply: the caller gets `Panicked`.
                drop(batch.swap_remove(index));
            }
            Ok(Err(Fault::Record(index, fault))) => {
                tracing::error!(error = %fault, "a write met a record that cannot be read");
                engine.distrust();
                batch.swap_remove(index).answer(Some(fault));
            }
            Ok(Err(Fault::Storage(error))) => refuse(batch, &Unavailable::Storage(error)),
            Err(fault) => refuse(batch, &fault),
        }
    }
}

fn refuse(batch: &mut Vec<Box<dyn Job>>, fault: &Unavailable) {
    let again = || match fault {
        Unavailable::Storage(error) => Unavailable::Storage(Arc::clone(error)),
        _ => Unavailable::Closed,
    };
    batch.drain(..).for_each(|job| job.answer(Some(again())));
}

/// Why a batch was undone; the index is that of the job to take out.
enum Fault {
    Panicked(usize),
    Record(usize, Unavailable),
    Storage(StorageFault),
}

/// Runs the batch in one transaction; commits it where it changed anything.
fn commit(database: &Database, batch: &mut [Box<dyn Job>]) -> Result<Changed, Fault> {
    let storage = |error: redb::Error| Fault::Storage(Arc::new(error));
    let transaction = database.begin_write().map_err(|error| storage(error.into()))?;
    let mut tables = WriteTables::of(&transaction);
    for (index, job) in batch.iter_mut().enumerate() {
        // Unwind safety: after a panic the transaction is dropped unused.
        match catch_unwind(AssertUnwindSafe(|| job.attempt(&mut tables))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Fault::at(index, error)),
            Err(_) => return Err(Fault::Panicked(index)),
        }
    }
    let changed = tables.changed();
    drop(tables);
    if changed == Changed::Nothing {
        transaction.abort().map_err(|error| storage(error.into()))?;
    } else {
        transaction.commit().map_err(|error| storage(error.into()))?;
    }
    Ok(changed)
}

impl Fault {
    fn at(index: usize, error: Unavailable) -> Self {
        match error {
            Unavailable::Storage(error) => Self::Storage(error),
            other => Self::Record(index, other),
        }
    }
}

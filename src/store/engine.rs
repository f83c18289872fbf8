//! The open database, through faults of its disk.
//!
//! After one failed read or write redb refuses everything on that handle, so
//! that a full disk would end reads too and only a restart would help. Here a
//! fault has the file opened again at once, for reading, with whatever redb
//! writes in doing so held in memory; and every half second the engine tries to
//! open it for writing. Until that succeeds reads are served and
//! writes refused.
//!
//! A commit whose fsync failed may turn out to have happened or not: nobody
//! was told that it did. What was told before is on disk since an fsync that
//! did not fail.

use std::fs::{File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::{Database, DatabaseError, ReadTransaction, ReadableDatabase, StorageBackend, StorageError};

use super::disk::{AnyBackend, Disk, Overlay};
use super::error::{StorageFault, Unavailable};
use super::seal;

/// Bytes of redb's page cache. Its own default, 1 GiB, is more than the whole
/// process should take.
const CACHE_BYTES: usize = 32 << 20;
/// How long after a failed attempt to open the file for writing the next one
/// comes.
const RETRY: Duration = Duration::from_millis(500);
/// How often a read is tried on a file that was opened again since.
const READ_ATTEMPTS: u32 = 3;

macro_rules! storage_error {
    ($($error:ty),*) => { $(
        impl From<$error> for Unavailable {
            fn from(error: $error) -> Self {
                Self::Storage(Arc::new(redb::Error::from(error)))
            }
        }
    )* };
}
storage_error!(StorageError, redb::TableError, redb::TransactionError, redb::CommitError);

/// The open database.
pub(super) struct Engine {
    shared: Arc<Shared>,
    repairer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    disk: Arc<dyn Disk>,
    /// Something came up that a check at the next start should look into.
    distrusted: AtomicBool,
    state: RwLock<State>,
    repair: Mutex<Repair>,
    wake: Condvar,
}

struct State {
    /// Counts the handles, so that each is replaced only once.
    round: u64,
    handle: Handle,
    /// Held until the engine is closed: nobody else may open the file, not
    /// even in the moment when a fault has closed it.
    lock: Option<File>,
}

enum Handle {
    /// All is well.
    Open(Database),
    /// The disk failed.
    Failed {
        /// For reads, with its writes in memory; `None` when not even that
        /// could be opened.
        reading: Option<Database>,
        reason: StorageFault,
    },
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Repair {
    /// Nothing is broken.
    Idle,
    /// A fault has closed the file for writing.
    Needed,
    /// The engine is being closed.
    Stopped,
}

impl Engine {
    /// Serves `database`, which was opened from `disk`, and keeps it open.
    pub(super) fn start(disk: Arc<dyn Disk>, lock: Option<File>, database: Database) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            disk,
            distrusted: AtomicBool::new(false),
            state: RwLock::new(State { round: 0, handle: Handle::Open(database), lock }),
            repair: Mutex::new(Repair::Idle),
            wake: Condvar::new(),
        });
        let repairer = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("store-repair".into())
            .spawn(move || repairer.repair_faults())?;
        Ok(Self { shared, repairer: Mutex::new(Some(thread)) })
    }

    /// Runs `work` on a snapshot. After a fault it is run again, from the
    /// start, on the file opened again.
    pub(super) fn read<T>(
        &self,
        work: impl Fn(&ReadTransaction) -> Result<T, Unavailable>,
    ) -> Result<T, Unavailable> {
        let mut attempts = 1;
        loop {
            // The handle is not replaced before the work is done.
            let state = self.shared.state();
            let result = state.begin_read().and_then(|transaction| work(&transaction));
            let round = state.round;
            drop(state);
            match result {
                Err(Unavailable::Storage(error)) if attempts < READ_ATTEMPTS => {
                    self.shared.fail(round, error);
                    attempts += 1;
                }
                Err(fault @ Unavailable::Record { .. }) => {
                    self.distrust();
                    return Err(fault);
                }
                result => return result,
            }
        }
    }

    /// A snapshot to be read for longer: a fault may close it at any time.
    pub(super) fn begin_read(&self) -> Result<ReadTransaction, Unavailable> {
        self.shared.state().begin_read()
    }

    /// Runs `work` on the database, if it takes writes. An error means that
    /// it does not, from now on.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StorageFault>,
    ) -> Result<T, Unavailable> {
        let state = self.shared.state();
        let round = state.round;
        let result = match &state.handle {
            Handle::Open(database) => work(database),
            Handle::Failed { reason, .. } => return Err(Unavailable::Storage(Arc::clone(reason))),
            Handle::Closed => return Err(Unavailable::Closed),
        };
        drop(state);
        result.map_err(|error| {
            self.shared.fail(round, Arc::clone(&error));
            Unavailable::Storage(error)
        })
    }

    /// Whether writes are taken.
    pub(super) fn takes_writes(&self) -> bool {
        matches!(self.shared.state().handle, Handle::Open(_))
    }

    /// Has the whole file checked when it is opened next: after a panic, or
    /// over a record that cannot be read, it may be damaged.
    pub(super) fn distrust(&self) {
        self.shared.distrusted.store(true, Ordering::Relaxed);
    }

    /// Closes the file, and seals it when that went well and nothing came up
    /// in the meantime; what comes later is refused as
    /// [`Unavailable::Closed`].
    pub(super) fn close(&self) {
        self.shared.set_repair(Repair::Stopped);
        let thread = self.repairer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that repairs the store had panicked");
        }
        let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
        let in_order = close_handle(std::mem::replace(&mut state.handle, Handle::Closed))
            && !self.shared.distrusted.load(Ordering::Relaxed);
        if let Some(lock) = state.lock.take().filter(|_| in_order)
            && let Err(error) = seal::put_on(&lock)
        {
            tracing::debug!(%error, "the database has no seal and will be checked when it is opened");
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

impl State {
    fn begin_read(&self) -> Result<ReadTransaction, Unavailable> {
        match &self.handle {
            Handle::Open(database) | Handle::Failed { reading: Some(database), .. } => {
                Ok(database.begin_read()?)
            }
            Handle::Failed { reading: None, reason } => Err(Unavailable::Storage(Arc::clone(reason))),
            Handle::Closed => Err(Unavailable::Closed),
        }
    }
}

impl Shared {
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_repair(&self, repair: Repair) {
        let mut now = self.repair.lock().unwrap_or_else(PoisonError::into_inner);
        if *now != Repair::Stopped {
            *now = repair;
        }
        self.wake.notify_all();
    }

    /// Replaces the handle of `round`, which failed, by one for reading.
    fn fail(&self, round: u64, reason: StorageFault) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.round != round || matches!(state.handle, Handle::Closed) {
            return;
        }
        if matches!(state.handle, Handle::Open(_)) {
            tracing::error!(
                error = %reason,
                "the database failed: writes are refused until its disk takes them again"
            );
        }
        state.round += 1;
        // Closes the one that failed before the file is opened again.
        let failed = Handle::Failed { reading: None, reason: Arc::clone(&reason) };
        retire(std::mem::replace(&mut state.handle, failed));
        let reading = open_for_reading(&*self.disk)
            .inspect_err(|error| tracing::error!(%error, "the database cannot be read either"));
        state.handle = Handle::Failed { reading: reading.ok(), reason };
        drop(state);
        self.set_repair(Repair::Needed);
    }

    fn repair_faults(&self) {
        loop {
            let mut repair = self.repair.lock().unwrap_or_else(PoisonError::into_inner);
            while *repair == Repair::Idle {
                repair = self.wake.wait(repair).unwrap_or_else(PoisonError::into_inner);
            }
            if *repair == Repair::Stopped {
                return;
            }
            drop(repair);
            // A panic of redb must not end the repairs.
            if !catch_unwind(AssertUnwindSafe(|| self.reopen())).unwrap_or(false) {
                let repair = self.repair.lock().unwrap_or_else(PoisonError::into_inner);
                if *repair == Repair::Needed {
                    drop(self.wake.wait_timeout(repair, RETRY).unwrap_or_else(PoisonError::into_inner));
                }
            }
        }
    }

    /// Tries to open the file for writing; `false` when that failed. Only
    /// this thread does it, and only while no handle writes.
    fn reopen(&self) -> bool {
        let state = self.state();
        if !matches!(state.handle, Handle::Failed { .. }) {
            return self.done();
        }
        drop(state);
        let trial = self.disk.try_out();
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let Handle::Failed { reading, reason } = &mut state.handle else {
            return self.done();
        };
        if let (Some(_), Err(error)) = (&reading, &trial) {
            tracing::debug!(%error, "the disk still takes no writes");
            return false;
        }
        let reason = Arc::clone(reason);
        // Reads wait from here on. The handle that reads goes first: it must
        // not see pages that the other one writes over.
        retire(reading.take());
        let opened = trial.map_err(redb::Error::Io).and_then(|()| open_for_writing(&*self.disk));
        state.round += 1;
        match opened {
            Ok(database) => {
                state.handle = Handle::Open(database);
                tracing::info!("the database takes writes again");
                self.done()
            }
            Err(error) => {
                tracing::debug!(%error, "the database still takes no writes");
                state.handle = Handle::Failed { reading: open_for_reading(&*self.disk).ok(), reason };
                false
            }
        }
    }

    /// Nothing is left to repair. Called with the state locked: whoever finds a
    /// fault tells of it after this.
    fn done(&self) -> bool {
        let mut repair = self.repair.lock().unwrap_or_else(PoisonError::into_inner);
        if *repair == Repair::Needed {
            *repair = Repair::Idle;
        }
        true
    }
}

/// Closes a handle for good; `true` when all is on disk in good order.
fn close_handle(handle: Handle) -> bool {
    match handle {
        Handle::Open(database) => match catch_unwind(AssertUnwindSafe(|| database.close())) {
            Ok(closed) => closed.is_ok(),
            Err(_) => {
                tracing::error!("closing the database panicked");
                false
            }
        },
        other => {
            retire(other);
            false
        }
    }
}

/// Drops a handle, or what has one. redb writes in doing so, and may panic
/// over what a fault has left.
fn retire<T>(handle: T) {
    if catch_unwind(AssertUnwindSafe(|| drop(handle))).is_err() {
        tracing::error!("closing the database panicked");
    }
}

/// Locks a database's file, so that only one process has it open; `None` when
/// another has.
pub(super) fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = File::options().read(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Opens what lies on `disk`, or makes it a new database when it is empty.
/// The whole of it is checked, and repaired after a crash.
pub(super) fn open(disk: &dyn Disk) -> Result<Database, DatabaseError> {
    open_backend(disk.open()?)
}

/// Opens what lies on `disk` as it was closed in order.
pub(super) fn open_sealed(disk: &dyn Disk) -> Result<Database, DatabaseError> {
    open_as(disk.open()?, false)
}

/// Opens what lies on `disk` without changing it.
pub(super) fn open_for_reading(disk: &dyn Disk) -> Result<Database, DatabaseError> {
    open_backend(AnyBackend::new(Overlay::over(disk.open()?)?))
}

fn open_for_writing(disk: &dyn Disk) -> Result<Database, redb::Error> {
    let backend = disk.open().map_err(redb::Error::Io)?;
    backend.sync_data().map_err(redb::Error::Io)?;
    let database = open_backend(backend)?;
    database.begin_write()?.commit()?;
    Ok(database)
}

/// redb may panic over a file that something else than a crash has damaged.
pub(super) fn open_backend(backend: AnyBackend) -> Result<Database, DatabaseError> {
    open_as(backend, true)
}

fn open_as(backend: AnyBackend, check: bool) -> Result<Database, DatabaseError> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(check);
    catch_unwind(AssertUnwindSafe(|| builder.create_with_backend(backend))).unwrap_or_else(|_| {
        Err(DatabaseError::Storage(StorageError::Corrupted("its structure makes no sense".to_owned())))
    })
}

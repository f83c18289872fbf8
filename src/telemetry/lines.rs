//! The lines of the log on their way to stderr.
//!
//! A thread that logs puts its line into a buffer and goes on; one thread of the
//! log's own writes the buffer to stderr. When nobody reads stderr (a stuck
//! collector, a full pipe), only that thread blocks. When the buffer is full,
//! lines are dropped and counted, and after the next write that succeeds a line
//! says how many are missing.
//!
//! Rejected: writing from the thread that logs, which blocks the server when
//! its log blocks; waiting for room with a time limit, which blocks it more
//! slowly; an unbounded queue, which fills the memory instead.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Bytes of the log that may wait to be written: some 4,000 lines.
const BUFFER_BYTES: usize = 1 << 20;

/// Capacity in bytes that an empty buffer keeps; what a burst took beyond it is
/// freed.
const KEPT_BYTES: usize = 64 << 10;

/// The message that reports dropped lines, once writes succeed again.
pub(super) const DROPPED: &str =
    "lines of the log were dropped: nobody read it, or not fast enough, or it could not be written";

/// The buffer, shared by those who log and the thread that writes.
#[derive(Debug, Default)]
struct Buffer {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// How many lines that is.
    lines: u64,
    /// The thread has taken lines that it has not written yet.
    writing: bool,
    /// Lines dropped since the start.
    dropped: u64,
    /// Those of them that no line of the log has reported yet.
    unreported: u64,
    /// Whether the last write succeeded.
    succeeded: bool,
}

/// The log's lines. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lines {
    buffer: Arc<Buffer>,
    /// Each line begins with its priority, as the journal takes it.
    priorities: bool,
}

impl Lines {
    /// Starts the thread that writes to `out`; it calls `report` to log how many
    /// lines were dropped.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        priorities: bool,
        report: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let buffer: Arc<Buffer> = Arc::default();
        buffer.lock().succeeded = true;
        let written = Arc::clone(&buffer);
        std::thread::Builder::new()
            .name("log-writer".into())
            .spawn(move || written.write_out(out, report))?;
        Ok(Self { buffer, priorities })
    }

    /// How many lines were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.buffer.lock().dropped
    }

    /// Waits until all is written that was logged so far, but no longer than
    /// `patience`: nobody may be reading.
    pub fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut waiting = self.buffer.lock();
        while waiting.writing || !waiting.bytes.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.buffer.changed.wait_for(&mut waiting, left);
        }
    }
}

impl Buffer {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }

    /// Puts a line in, where there is room for it.
    fn put(&self, priority: &str, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.bytes.len() + priority.len() + line.len() > BUFFER_BYTES {
            waiting.dropped += 1;
            waiting.unreported += 1;
            return;
        }
        // The thread sleeps only while the buffer is empty, so it is woken once
        // for a burst and not for each line.
        let sleeps = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(priority.as_bytes());
        waiting.bytes.extend_from_slice(line);
        waiting.lines += 1;
        drop(waiting);
        if sleeps {
            self.changed.notify_all();
        }
    }

    /// Writes for as long as the process lives.
    fn write_out(&self, mut out: impl Write, report: impl Fn(u64)) {
        let mut taken = Vec::new();
        loop {
            let (lines, missing) = self.take(&mut taken);
            // The report goes into the buffer, which was emptied just now: so
            // it comes where the lines are missing.
            if missing > 0 {
                report(missing);
            }
            let written = out.write_all(&taken).and_then(|()| out.flush());
            taken.clear();
            taken.shrink_to(KEPT_BYTES);
            let mut waiting = self.lock();
            waiting.writing = false;
            waiting.succeeded = written.is_ok();
            if written.is_err() {
                waiting.dropped += lines;
                waiting.unreported += lines;
            }
            drop(waiting);
            self.changed.notify_all();
        }
    }

    /// Waits for something to write and takes it. Returns how many lines that
    /// is, and how many dropped ones to report after them.
    fn take(&self, taken: &mut Vec<u8>) -> (u64, u64) {
        let mut waiting = self.lock();
        while waiting.bytes.is_empty() && !(waiting.succeeded && waiting.unreported > 0) {
            self.changed.wait(&mut waiting);
        }
        std::mem::swap(&mut waiting.bytes, taken);
        waiting.writing = true;
        let missing = if waiting.succeeded { std::mem::take(&mut waiting.unreported) } else { 0 };
        (std::mem::take(&mut waiting.lines), missing)
    }
}

/// One event's way into the buffer.
pub struct Line<'a> {
    lines: &'a Lines,
    priority: &'static str,
}

impl Write for Line<'_> {
    /// Takes a whole line: tracing-subscriber writes each in one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.buffer.put(self.priority, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, priority: "" }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line<'a> {
        Line { lines: self, priority: if self.priorities { priority(*event.level()) } else { "" } }
    }
}

/// A level as the journal takes it (sd-daemon(3)).
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        _ => "<7>",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A reader that takes what is written when it is told to, or refuses.
    struct Reader {
        taken: Sender<String>,
        answers: Receiver<io::Result<()>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.taken.send(String::from_utf8(bytes.to_vec()).unwrap()).unwrap();
            self.answers.recv().unwrap_or(Ok(()))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Scene {
        lines: Lines,
        written: Receiver<String>,
        answer: Sender<io::Result<()>>,
    }

    impl Scene {
        fn new(priorities: bool) -> Self {
            let (taken, written) = channel();
            let (answer, answers) = channel();
            // What it says goes the way of every line.
            let own: Arc<Mutex<Option<Lines>>> = Arc::default();
            let say = Arc::clone(&own);
            let say = move |count| {
                say.lock().as_ref().unwrap().buffer.put("", format!("{count} missing\n").as_bytes());
            };
            let lines = Lines::start(Reader { taken, answers }, priorities, say).unwrap();
            *own.lock() = Some(lines.clone());
            Self { lines, written, answer }
        }

        fn log(&self, line: &str) {
            self.lines.make_writer().write_all(line.as_bytes()).unwrap();
        }

        fn written(&self) -> String {
            self.written.recv_timeout(PATIENCE).unwrap()
        }
    }

    #[test]
    fn who_logs_does_not_wait_for_a_reader_that_stands_still_and_the_log_says_what_is_missing() {
        let scene = Scene::new(false);
        scene.log("first\n");
        assert_eq!(scene.written(), "first\n");
        let line = format!("{}\n", "x".repeat(1023));
        let fit = BUFFER_BYTES / line.len();
        for _ in 0..fit + 3 {
            scene.log(&line);
        }
        assert_eq!(scene.lines.dropped(), 3);
        scene.answer.send(Ok(())).unwrap();
        assert_eq!(scene.written().len(), BUFFER_BYTES);
        scene.log("last\n");
        scene.answer.send(Ok(())).unwrap();
        assert_eq!(scene.written(), "3 missing\nlast\n");
        assert_eq!(scene.lines.dropped(), 3, "what it says of itself does not count");
    }

    #[test]
    fn lines_that_could_not_be_written_count_and_are_told_of_once_one_can() {
        let scene = Scene::new(false);
        scene.log("lost\n");
        assert_eq!(scene.written(), "lost\n");
        scene.answer.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        scene.log("heard\n");
        assert_eq!(scene.written(), "heard\n", "it does not talk to itself while nobody hears it");
        assert_eq!(scene.lines.dropped(), 1);
        scene.answer.send(Ok(())).unwrap();
        assert_eq!(scene.written(), "1 missing\n");
    }

    #[test]
    fn a_flush_waits_for_the_last_line_and_not_for_ever() {
        let scene = Scene::new(false);
        scene.log("line\n");
        assert_eq!(scene.written(), "line\n");
        scene.lines.flush(Duration::ZERO);
        let flushed = {
            let lines = scene.lines.clone();
            std::thread::spawn(move || lines.flush(PATIENCE))
        };
        scene.answer.send(Ok(())).unwrap();
        flushed.join().unwrap();
        assert!(!scene.lines.buffer.lock().writing);
    }

    #[test]
    fn a_line_for_the_journal_begins_with_its_priority() {
        let scene = Scene::new(true);
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::TRACE)
            .with_writer(scene.lines.clone())
            .without_time()
            .with_ansi(false)
            .finish();
        drop(scene.answer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!("a");
            tracing::warn!("b");
            tracing::info!("c");
            tracing::debug!("d");
        });
        scene.lines.flush(PATIENCE);
        let text: String = scene.written.try_iter().collect();
        let beginnings: Vec<_> = text.lines().map(|line| &line[..3]).collect();
        assert_eq!(beginnings, ["<3>", "<4>", "<6>", "<7>"], "{text}");
    }
}

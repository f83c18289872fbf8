//! The log: one line per event, on stderr.
//!
//! When the log is JSON, everything that the server prints is: announcements on
//! stdout ([`Announcer`]) and panics ([`start`]) too.

mod lines;

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write as _};
use std::os::fd::AsFd;
use std::time::Duration;

use chrono::SecondsFormat;
use serde_json::{Value, json};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

pub use self::lines::Lines;
use crate::clock;
use crate::config::{Log, LogFormat};

/// How long the end of the process waits for the last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The log while it runs. When this is dropped, what was logged is written.
pub struct RunningLog {
    level: reload::Handle<Targets, Registry>,
    lines: Lines,
    announcer: Announcer,
}

impl RunningLog {
    /// Logs from `level` on.
    pub fn set_level(&self, level: LevelFilter) {
        // Fails only when the log is gone, as it is never here.
        let _ = self.level.reload(targets(level));
    }

    /// The lines that wait to be written, and the count of those dropped.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Waits until what was logged is written, but not for ever.
    pub fn flush(&self) {
        self.lines.flush(LAST_LINES);
    }

    /// What prints announcements on stdout, in the format of the log.
    pub fn announcer(&self) -> Announcer {
        self.announcer
    }
}

impl Drop for RunningLog {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Prints what a person or script waits for from a command that goes on running
/// (where the server listens, say) on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announcer {
    /// As words.
    Text,
    /// As JSON, one object a line, with the log's members.
    Json,
}

impl Announcer {
    /// Prints `text`, or as JSON `message` with these fields.
    pub fn say(self, text: &str, message: &str, fields: &[(&str, &str)]) {
        let line = match self {
            Self::Text => format!("{text}\n"),
            Self::Json => {
                let now = clock::precise_now().to_rfc3339_opts(SecondsFormat::Micros, true);
                let first = [("timestamp", now.as_str()), ("level", "INFO"), ("message", message)];
                let all = first.iter().chain(fields).map(|(name, value)| ((*name).to_owned(), json!(value)));
                format!("{}\n", Value::Object(all.collect()))
            }
        };
        // Nobody may be reading: that is no reason to stop.
        let mut out = io::stdout().lock();
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }
}

/// Starts the log, and logs panics in it. Libraries are logged from `warn` on
/// only: what they log below that is of no use to an operator.
///
/// # Errors
/// When the thread that writes it cannot be started.
pub fn start(log: &Log) -> io::Result<RunningLog> {
    let terminal = io::stderr().is_terminal();
    let json = match log.format {
        LogFormat::Auto => !terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    // At the highest level: that lines are missing must be logged at any
    // setting.
    let say = |missing| tracing::error!(missing, "{}", lines::DROPPED);
    let lines = Lines::start(io::stderr(), is_the_journal(io::stderr()), say)?;
    let (levels, level) = reload::Layer::new(targets(log.level));
    // Fails only when a log runs already, as in tests.
    let _ = tracing_subscriber::registry()
        .with(output(lines.clone(), json, terminal).with_filter(levels))
        .try_init();
    let last = lines.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        log_panic(panic.payload(), &place, &Backtrace::capture());
        // It may be the end of the process.
        last.flush(LAST_LINES);
    }));
    Ok(RunningLog { level, lines, announcer: if json { Announcer::Json } else { Announcer::Text } })
}

fn targets(level: LevelFilter) -> Targets {
    Targets::new().with_target("sitewarden", level).with_default(level.min(LevelFilter::WARN))
}

fn output(lines: Lines, json: bool, colour: bool) -> Box<dyn Layer<Registry> + Send + Sync> {
    let layer = fmt::layer().with_writer(lines).with_target(false);
    if json { layer.json().flatten_event(true).boxed() } else { layer.with_ansi(colour).boxed() }
}

fn log_panic(payload: &(dyn Any + Send), place: &str, backtrace: &Backtrace) {
    let reason = payload.downcast_ref::<&str>().copied();
    let reason = reason.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown");
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or_default();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(
        reason,
        place,
        thread,
        backtrace,
        "a panic, which is a bug in sitewarden: please report it"
    );
}

/// Whether the journal reads this: it then takes a priority at the beginning
/// of each line, and no part of it as text (systemd.exec(5), `JOURNAL_STREAM`
/// and `SyslogLevelPrefix`).
fn is_the_journal(stream: impl AsFd) -> bool {
    let found = rustix::fs::fstat(stream).ok();
    found.is_some_and(|found| {
        std::env::var("JOURNAL_STREAM")
            .is_ok_and(|named| named == format!("{}:{}", found.st_dev, found.st_ino))
    })
}

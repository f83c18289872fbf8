//! The log: one line per event, on stderr.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{Log, LogFormat};

/// The log's level while it runs.
pub struct Level(reload::Handle<Targets, Registry>);

impl Level {
    /// Logs from `level` on.
    pub fn set(&self, level: LevelFilter) {
        // Fails only when the log is gone, as it is never here.
        let _ = self.0.reload(targets(level));
    }
}

/// Starts the log. Libraries are heard from `warn` on only: what they say
/// below that is of no use to an operator.
pub fn start(log: &Log) -> Level {
    let terminal = io::stderr().is_terminal();
    let json = match log.format {
        LogFormat::Auto => !terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let (levels, handle) = reload::Layer::new(targets(log.level));
    // Fails only when a log runs already, as in tests.
    let _ = tracing_subscriber::registry().with(output(json, terminal).with_filter(levels)).try_init();
    Level(handle)
}

fn targets(level: LevelFilter) -> Targets {
    Targets::new().with_target("sitewarden", level).with_default(level.min(LevelFilter::WARN))
}

fn output(json: bool, colour: bool) -> Box<dyn Layer<Registry> + Send + Sync> {
    let layer = fmt::layer().with_writer(io::stderr).with_target(false);
    if json { layer.json().flatten_event(true).boxed() } else { layer.with_ansi(colour).boxed() }
}

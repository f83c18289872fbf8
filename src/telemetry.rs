//! The log: one line per event, on stderr.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{Log, LogFormat};

/// Starts the log. Libraries are heard from `warn` on only: what they say
/// below that is of no use to an operator.
pub fn start(log: &Log) {
    let terminal = io::stderr().is_terminal();
    let json = match log.format {
        LogFormat::Auto => !terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let levels = Targets::new()
        .with_target("sitewarden", log.level)
        .with_default(log.level.min(tracing::level_filters::LevelFilter::WARN));
    // Fails only when a log runs already, as in tests.
    let _ = tracing_subscriber::registry().with(output(json, terminal).with_filter(levels)).try_init();
}

fn output(json: bool, colour: bool) -> Box<dyn Layer<Registry> + Send + Sync> {
    let layer = fmt::layer().with_writer(io::stderr).with_target(false);
    if json { layer.json().flatten_event(true).boxed() } else { layer.with_ansi(colour).boxed() }
}

//! What a monitoring system reads: counters and gauges in the text format of
//! Prometheus (version 0.0.4).
//!
//! Counted where things happen, measured where they can only be looked up:
//! the scrape does that. The registry is handed down, none is global.

pub mod cached;
mod labels;
mod process;
mod registrar;
mod sitewarden;

pub use self::labels::{HeartbeatOutcome, Throttle};
pub use self::sitewarden::Metrics;

//! What a monitoring system reads: counters and gauges in the text format of
//! Prometheus (version 0.0.4).
//!
//! Counted where things happen, measured where they can only be looked up:
//! the scrape does that. The registry is handed down, none is global.

pub mod kept;
mod process;

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder, Error, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, Result, TextEncoder,
};

use self::process::ProcessMetrics;
use crate::domain::{SiteStatus, Timestamp};
use crate::store::backups::BackupState;
use crate::store::{Commit, SiteStatistics};

/// Buckets of the duration of a request, in seconds.
const REQUEST_SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];
/// Buckets of the duration of a commit, in seconds.
const COMMIT_SECONDS: [f64; 9] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0];
/// Buckets of the writes in a commit; the last is the most that there are.
const COMMIT_WRITES: [f64; 6] = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0];
/// The labels of what has none.
const NONE: [&str; 0] = [];
/// Methods that are told apart: a client may send any word.
const METHODS: [&str; 5] = ["GET", "HEAD", "POST", "PUT", "DELETE"];

/// What became of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeartbeatOutcome {
    /// The site may work.
    Licensed,
    /// It is locked.
    Locked,
    /// It is not licensed.
    Unlicensed,
    /// Id or key was wrong.
    Refused,
    /// It came too soon.
    Throttled,
}

impl HeartbeatOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Licensed => "licensed",
            Self::Locked => "locked",
            Self::Unlicensed => "unlicensed",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
        }
    }
}

/// A limit that was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throttle {
    /// Failed logins.
    Login,
    /// Logins that wait to be checked.
    Queue,
    /// Heartbeats of a site.
    Site,
    /// Failed heartbeats of an address.
    Address,
    /// Connections of an address.
    Connection,
    /// Connections in all: an idle one gave way.
    Place,
    /// Bytes held for a connection.
    HeldByConnection,
    /// Bytes held for an address.
    HeldByAddress,
    /// Bytes held in all.
    Held,
}

impl Throttle {
    fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Queue => "login_queue",
            Self::Site => "heartbeat_site",
            Self::Address => "heartbeat_address",
            Self::Connection => "connection_address",
            Self::Place => "connection_idle",
            Self::HeldByConnection => "held_connection",
            Self::HeldByAddress => "held_address",
            Self::Held => "held",
        }
    }
}

/// All metrics.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    heartbeats: IntCounterVec,
    throttled: IntCounterVec,
    failed_logins: IntCounterVec,
    heads_refused: IntCounterVec,
    commit_seconds: Histogram,
    commit_writes: Histogram,
    writes_waiting: IntGauge,
    connections: IntGauge,
    log_lines_dropped: IntCounter,
    sites: IntGaugeVec,
    sites_expiring: IntGauge,
    longest_silence: Gauge,
    certificate_expiry: Gauge,
    backup_success: GaugeVec,
    backup_waiting: GaugeVec,
    backup_failed: IntGaugeVec,
    process: ProcessMetrics,
}

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    /// When two have the same name, or one has a bad one.
    pub fn new() -> Result<Self> {
        let registry = Registry::new();
        let build = IntGaugeVec::new(
            Opts::new("sitewarden_build_info", "The version that runs; always 1."),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        add(&registry, &build)?;
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            add(&registry, &counters)?;
            Ok::<_, Error>(counters)
        };
        let log_lines_dropped = IntCounter::new(
            "sitewarden_log_lines_dropped_total",
            "Lines of the log that were dropped because nobody read it fast enough.",
        )?;
        add(&registry, &log_lines_dropped)?;
        let failed_logins = counters(
            "sitewarden_failed_logins_total",
            "Logins with a wrong name or password, by whether they are kept one by one.",
            &["kept"],
        )?;
        for kept in ["yes", "no"] {
            failed_logins.with_label_values(&[kept]);
        }
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            add(&registry, &gauge)?;
            Ok::<_, Error>(gauge)
        };
        let seconds = |name: &str, help: &str| {
            let gauge = Gauge::new(name, help)?;
            add(&registry, &gauge)?;
            Ok::<_, Error>(gauge)
        };
        let optional = |name: &str, help: &str| {
            let gauge = GaugeVec::new(Opts::new(name, help), &[])?;
            add(&registry, &gauge)?;
            Ok::<_, Error>(gauge)
        };
        let backup_failed = IntGaugeVec::new(
            Opts::new("sitewarden_backup_failed", "1 when the last backup failed, else 0."),
            &[],
        )?;
        add(&registry, &backup_failed)?;
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let histogram = Histogram::with_opts(options)?;
            add(&registry, &histogram)?;
            Ok::<_, Error>(histogram)
        };
        let request_seconds = HistogramVec::new(
            HistogramOpts::new("sitewarden_request_duration_seconds", "How long requests took to answer.")
                .buckets(REQUEST_SECONDS.to_vec()),
            &["method", "route"],
        )?;
        add(&registry, &request_seconds)?;
        let sites = IntGaugeVec::new(Opts::new("sitewarden_sites", "Sites by status."), &["status"])?;
        add(&registry, &sites)?;
        Ok(Self {
            requests: counters(
                "sitewarden_requests_total",
                "Requests answered, by route and status.",
                &["method", "route", "status"],
            )?,
            request_seconds,
            heartbeats: counters(
                "sitewarden_heartbeats_total",
                "Heartbeats, by what became of them.",
                &["outcome"],
            )?,
            throttled: counters(
                "sitewarden_throttled_total",
                "Logins, heartbeats, connections and requests turned away, by the limit that they met.",
                &["limit"],
            )?,
            failed_logins,
            heads_refused: counters(
                "sitewarden_heads_refused_total",
                "Requests refused for their head, by what was wrong with it.",
                &["reason"],
            )?,
            commit_seconds: histogram(
                "sitewarden_store_commit_duration_seconds",
                "How long the store took to write a batch and have it on disk.",
                &COMMIT_SECONDS,
            )?,
            commit_writes: histogram(
                "sitewarden_store_commit_writes",
                "Writes that shared a commit.",
                &COMMIT_WRITES,
            )?,
            writes_waiting: gauge("sitewarden_store_writes_waiting", "Writes that wait for the store.")?,
            connections: gauge("sitewarden_connections", "Connections that are open.")?,
            log_lines_dropped,
            sites,
            sites_expiring: gauge(
                "sitewarden_sites_expiring_14d",
                "Licensed sites whose licence expires within 14 days.",
            )?,
            longest_silence: seconds(
                "sitewarden_heartbeat_longest_silence_seconds",
                "Seconds since the last heartbeat of the site, among those online or silent, that was heard \
                 longest ago.",
            )?,
            certificate_expiry: seconds(
                "sitewarden_certificate_expiry_timestamp_seconds",
                "When the certificate expires, in seconds since 1970; 0 where there is none.",
            )?,
            // Not there at all where backups are switched off.
            backup_success: optional(
                "sitewarden_backup_last_success_timestamp_seconds",
                "As of when the newest backup is, in seconds since 1970; 0 where there is none.",
            )?,
            backup_waiting: optional(
                "sitewarden_backup_waiting_seconds",
                "For how long the oldest change that no backup holds has waited; 0 when the newest holds all.",
            )?,
            backup_failed,
            process: ProcessMetrics::new(&registry)?,
            registry,
        })
    }

    /// Counts a request.
    pub fn request(&self, method: &str, route: &str, status: u16, took: Duration) {
        let method = if METHODS.contains(&method) { method } else { "other" };
        self.requests.with_label_values(&[method, route, &status.to_string()]).inc();
        self.request_seconds.with_label_values(&[method, route]).observe(took.as_secs_f64());
    }

    /// Counts a heartbeat.
    pub fn heartbeat(&self, outcome: HeartbeatOutcome) {
        self.heartbeats.with_label_values(&[outcome.as_str()]).inc();
    }

    /// Counts somebody turned away.
    pub fn throttled(&self, by: Throttle) {
        self.throttled.with_label_values(&[by.as_str()]).inc();
    }

    /// Counts a login with a wrong name or password.
    pub fn failed_login(&self, kept: bool) {
        self.failed_logins.with_label_values(&[if kept { "yes" } else { "no" }]).inc();
    }

    /// Counts the head of a request that was refused; `why` is one of a few.
    pub fn head_refused(&self, why: &'static str) {
        self.heads_refused.with_label_values(&[why]).inc();
    }

    /// Counts a commit.
    pub fn commit(&self, commit: Commit) {
        self.commit_seconds.observe(commit.took.as_secs_f64());
        self.commit_writes.observe(approximate(commit.writes));
    }

    /// Notes when the certificate expires; `None`: there is none.
    pub fn certificate_expires(&self, at: Option<Timestamp>) {
        self.certificate_expiry.set(seconds_of(at));
    }

    /// Notes how the last backups went.
    pub fn backed_up(&self, state: &BackupState) {
        self.backup_success.with_label_values(&NONE).set(seconds_of(state.last_success_at));
        self.backup_waiting.with_label_values(&NONE).set(state.waiting.unwrap_or_default().as_secs_f64());
        self.backup_failed.with_label_values(&NONE).set(state.last_error.is_some().into());
    }

    /// Notes how many lines of the log were dropped since the start.
    pub fn log_lines_dropped(&self, dropped: u64) {
        self.log_lines_dropped.inc_by(dropped.saturating_sub(self.log_lines_dropped.get()));
    }

    /// Notes what a scrape has looked up.
    pub fn measured(&self, sites: &SiteStatistics, writes_waiting: usize, connections: usize) {
        self.process.read();
        for (status, count) in SiteStatus::ALL.into_iter().zip(sites.by_status) {
            self.sites.with_label_values(&[status.as_str()]).set(clamped(count));
        }
        self.sites_expiring.set(clamped(sites.expiring));
        let silence = u32::try_from(sites.longest_silence_seconds).unwrap_or(u32::MAX);
        self.longest_silence.set(silence.into());
        self.writes_waiting.set(i64::try_from(writes_waiting).unwrap_or(i64::MAX));
        self.connections.set(i64::try_from(connections).unwrap_or(i64::MAX));
    }

    /// All of them as text.
    ///
    /// # Errors
    /// When one has no value at all; a bug.
    pub fn text(&self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, collector: &C) -> Result<()> {
    registry.register(Box::new(collector.clone()))
}

#[expect(clippy::cast_precision_loss, reason = "exact to 2^53 seconds")]
fn seconds_of(at: Option<Timestamp>) -> f64 {
    at.map_or(0.0, |at| at.unix() as f64)
}

fn clamped(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn approximate(count: usize) -> f64 {
    u32::try_from(count).unwrap_or(u32::MAX).into()
}

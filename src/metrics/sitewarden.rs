//! What this program tells of its work.

use std::time::Duration;

use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Registry, Result, TextEncoder,
};

use super::labels::{HeartbeatOutcome, Throttle, code_outcome};
use super::process::ProcessMetrics;
use super::registrar::Registrar;
use crate::domain::{ApiToken, SiteStatus, Timestamp};
use crate::store::backups::BackupState;
use crate::store::{CodeOutcome, Commit, SiteStatistics};

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

/// All metrics.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    heartbeats: IntCounterVec,
    throttled: IntCounterVec,
    failed_logins: IntCounterVec,
    codes: IntCounterVec,
    heads_refused: IntCounterVec,
    commit_seconds: Histogram,
    commit_writes: Histogram,
    writes_waiting: IntGauge,
    connections: IntGauge,
    log_lines_dropped: IntCounter,
    sites: IntGaugeVec,
    sites_expiring: IntGauge,
    tokens_expiring: IntGauge,
    token_expiry: Gauge,
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
        let new = Registrar::default();
        let build = new.gauges("sitewarden_build_info", "The version that runs; always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let failed_logins = new.counters(
            "sitewarden_failed_logins_total",
            "Logins with a wrong name or password, by whether they are kept one by one.",
            &["kept"],
        )?;
        for kept in ["yes", "no"] {
            failed_logins.with_label_values(&[kept]);
        }
        let codes = new.counters(
            "sitewarden_second_factor_codes_total",
            "Logins with a right password, and calls to step up, of admins with a second factor, by what became \
             of the code.",
            &["outcome"],
        )?;
        for outcome in ["app", "recovery_code", "missing", "wrong", "paused"] {
            codes.with_label_values(&[outcome]);
        }
        Ok(Self {
            requests: new.counters(
                "sitewarden_requests_total",
                "Requests answered, by route and status.",
                &["method", "route", "status"],
            )?,
            request_seconds: new.histograms(
                "sitewarden_request_duration_seconds",
                "How long requests took to answer.",
                &["method", "route"],
                &REQUEST_SECONDS,
            )?,
            heartbeats: new.counters(
                "sitewarden_heartbeats_total",
                "Heartbeats, by what became of them.",
                &["outcome"],
            )?,
            throttled: new.counters(
                "sitewarden_throttled_total",
                "Logins, heartbeats, connections and requests turned away, by the limit that they met.",
                &["limit"],
            )?,
            failed_logins,
            codes,
            heads_refused: new.counters(
                "sitewarden_heads_refused_total",
                "Requests refused for their head, by what was wrong with it.",
                &["reason"],
            )?,
            commit_seconds: new.histogram(
                "sitewarden_store_commit_duration_seconds",
                "How long the store took to write a batch and have it on disk.",
                &COMMIT_SECONDS,
            )?,
            commit_writes: new.histogram(
                "sitewarden_store_commit_writes",
                "Writes that shared a commit.",
                &COMMIT_WRITES,
            )?,
            writes_waiting: new.gauge("sitewarden_store_writes_waiting", "Writes that wait for the store.")?,
            connections: new.gauge("sitewarden_connections", "Connections that are open.")?,
            log_lines_dropped: new.counter(
                "sitewarden_log_lines_dropped_total",
                "Lines of the log that were dropped because nobody read it fast enough.",
            )?,
            sites: new.gauges("sitewarden_sites", "Sites by status.", &["status"])?,
            sites_expiring: new.gauge(
                "sitewarden_sites_expiring_14d",
                "Licensed sites whose licence expires within 14 days.",
            )?,
            tokens_expiring: new.gauge(
                "sitewarden_tokens_expiring_14d",
                "Tokens for programs that expire within 14 days.",
            )?,
            token_expiry: new.seconds(
                "sitewarden_token_expiry_timestamp_seconds",
                "When the token for programs that ends first expires, in seconds since 1970; 0 where there is none.",
            )?,
            longest_silence: new.seconds(
                "sitewarden_heartbeat_longest_silence_seconds",
                "Seconds since the last heartbeat of the site, among those online or silent, that was heard \
                 longest ago.",
            )?,
            certificate_expiry: new.seconds(
                "sitewarden_certificate_expiry_timestamp_seconds",
                "When the certificate expires, in seconds since 1970; 0 where there is none.",
            )?,
            // Not there at all where backups are switched off.
            backup_success: new.optional_seconds(
                "sitewarden_backup_last_success_timestamp_seconds",
                "As of when the newest backup is, in seconds since 1970; 0 where there is none.",
            )?,
            backup_waiting: new.optional_seconds(
                "sitewarden_backup_waiting_seconds",
                "For how long the oldest change that no backup holds has waited; 0 when the newest holds all.",
            )?,
            backup_failed: new.gauges(
                "sitewarden_backup_failed",
                "1 when the last backup failed, else 0.",
                &NONE,
            )?,
            process: ProcessMetrics::new(&new)?,
            registry: new.into_registry(),
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

    /// Counts what became of a code of a second factor.
    pub fn code(&self, outcome: &CodeOutcome) {
        if let Some(outcome) = code_outcome(outcome) {
            self.codes.with_label_values(&[outcome]).inc();
        }
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

    /// Notes how many of these tokens end soon at `now`, and when the first of
    /// them that still counts does.
    pub fn tokens<'a>(&self, tokens: impl Iterator<Item = &'a ApiToken>, now: Timestamp) {
        let (mut expiring, mut first) = (0, None::<Timestamp>);
        for token in tokens.filter(|token| !token.has_expired(now)) {
            expiring += i64::from(token.expires_soon(now));
            first = Some(first.map_or(token.expires_at, |first| first.min(token.expires_at)));
        }
        self.tokens_expiring.set(expiring);
        self.token_expiry.set(seconds_of(first));
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

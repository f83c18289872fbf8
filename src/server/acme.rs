//! Certificates from an ACME server (RFC 8555), got and renewed without a
//! person.
//!
//! # Promises
//! - There is always a certificate: the one in the database while it is
//!   valid, else the self-signed one.
//! - A restart orders nothing while the kept certificate is for the
//!   configured names and from the configured server.
//! - It is renewed when the server suggests (ARI, RFC 9773), else at about two
//!   thirds of its lifetime.
//! - What fails is tried again after a minute, then after twice as long each
//!   time, up to 6 hours, and not before the server permits (`Retry-After`),
//!   over restarts too. The log and `GET /api/tls` say what is in the way.

mod advice;
mod order;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use self::order::{Failed, Orders};
use super::challenges::Challenges;
use super::error::StartError;
use super::tls::{Certificates, Pair};
use crate::auth::random::random_bytes;
use crate::certificate::{CertificateFacts, CertificateState};
use crate::clock::now;
use crate::config::Acme;
use crate::domain::Timestamp;
use crate::outbound::{ClientError, check_roots};
use crate::store::{AcmeCertificate, AcmeSetback, Store, Unavailable};

/// For one certificate, from the first call to the last: an ACME server may
/// take its time over each check.
const ORDER_PATIENCE: Duration = Duration::from_secs(300);
/// How long to wait after a failure, at first and at most, in seconds.
const BACK_OFF_SECONDS: (i64, i64) = (60, 6 * 3600);
/// The longest wait that a server may demand, in seconds: a week, which is
/// the longest of Let's Encrypt's rate limits.
const MAX_DEMANDED_SECONDS: i64 = 7 * 24 * 3600;
/// Bounds on how long the server's word on when to renew stands, in seconds
/// (RFC 9773, section 4.3.3, leaves them to the client).
const ASK_AGAIN_SECONDS: (i64, i64) = (600, 24 * 3600);
/// The longest sleep, in seconds: the clock may be set, or stand still with
/// the machine.
const LOOK_AT_CLOCK_SECONDS: i64 = 600;

/// What the next run of the server is told of an order that has not ended.
const CUT_OFF: &str = "the server ended before the order did";

/// Refuses files that no order could be made with.
///
/// # Errors
/// [`StartError::Acme`].
pub(super) fn check(settings: &Acme) -> Result<(), StartError> {
    if let Some(path) = &settings.ca_file {
        check_roots(path).map_err(|error| StartError::Acme {
            path: path.clone(),
            key: "tls.ca_file",
            reason: match error {
                ClientError::Roots { reason, .. } => reason,
                error => error.to_string(),
            },
        })?;
    }
    if let Some(account) = &settings.external_account {
        order::hmac_key(account).map_err(|reason| StartError::Acme {
            path: account.hmac_key_file.clone(),
            key: "tls.eab_hmac_key_file",
            reason,
        })?;
    }
    Ok(())
}

/// The certificate that the database holds, when it can be served.
pub(super) async fn stored(
    store: &Store,
    settings: &Acme,
    now: Timestamp,
) -> Result<Option<(Pair, CurrentCertificate)>, Unavailable> {
    let Some(kept) = store.acme_certificate().await? else {
        return Ok(None);
    };
    let pair = match Pair::from_der(kept.chain.clone(), kept.private_key) {
        Ok(pair) => pair,
        Err(error) => {
            tracing::error!(%error, "the certificate in the database cannot be used; a new one will be ordered");
            return Ok(None);
        }
    };
    if pair.facts.not_after <= now {
        return Ok(None);
    }
    let wanted = kept.directory_url == settings.directory_url && is_for(&pair.facts, &settings.domains);
    let mut current = CurrentCertificate::new(pair.facts.clone(), kept.chain);
    if !wanted {
        // Better than a self-signed one until there is the right one.
        current.renew_at = now;
    }
    Ok(Some((pair, current)))
}

/// Whether a certificate is for these names and no others.
fn is_for(facts: &CertificateFacts, domains: &[String]) -> bool {
    facts.names.len() == domains.len() && domains.iter().all(|domain| facts.names.contains(domain))
}

/// A certificate in use, and when to renew it.
#[derive(Debug)]
pub(super) struct CurrentCertificate {
    facts: CertificateFacts,
    chain: Vec<Vec<u8>>,
    renew_at: Timestamp,
    /// The window that the server suggested (RFC 9773, section 4.2).
    window: Option<(Timestamp, Timestamp)>,
    /// When to ask the server for it again.
    ask_at: Timestamp,
}

impl CurrentCertificate {
    fn new(facts: CertificateFacts, chain: Vec<Vec<u8>>) -> Self {
        let renew_at = two_thirds(&facts, random());
        Self { facts, chain, renew_at, window: None, ask_at: Timestamp::MIN }
    }

    /// Takes the server's word on when to renew: some time in the window,
    /// chosen once for each window.
    fn suggest(&mut self, window: (Timestamp, Timestamp), random: f64) {
        if self.window != Some(window) {
            self.window = Some(window);
            self.renew_at = between(window.0, window.1, random);
        }
    }
}

/// Two thirds of the lifetime, up to a thirtieth of it later, so that those
/// who began together do not renew together. `random` is from 0 to 1.
fn two_thirds(facts: &CertificateFacts, random: f64) -> Timestamp {
    let lifetime = facts.not_after.seconds_since(facts.not_before);
    let start = facts.not_before.checked_add_seconds(lifetime * 2 / 3).unwrap_or(facts.not_after);
    let end = start.checked_add_seconds(lifetime / 30).unwrap_or(start);
    between(start, end, random)
}

fn between(start: Timestamp, end: Timestamp, random: f64) -> Timestamp {
    start.checked_add_seconds(part(end.seconds_since(start).max(0), random)).unwrap_or(start)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a number of seconds, of which the float keeps enough"
)]
fn part(seconds: i64, random: f64) -> i64 {
    (seconds as f64 * random) as i64
}

/// From 0 to 1.
fn random() -> f64 {
    // Without random bytes there is no jitter, and all else works.
    let bytes = random_bytes().unwrap_or_default();
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

/// How long to wait after this many failures in a row, in seconds; up to a
/// tenth more than a power of two of minutes. `random` is from 0 to 1.
fn back_off(failures: u32, demanded: Option<Duration>, random: f64) -> i64 {
    // 60 << 9 is beyond the bound.
    let doubled = BACK_OFF_SECONDS.0 << failures.saturating_sub(1).min(9);
    let own = doubled.min(BACK_OFF_SECONDS.1);
    let jitter = part(own / 10, random);
    let demanded = demanded.and_then(|wait| i64::try_from(wait.as_secs()).ok()).unwrap_or(0);
    (own + jitter).max(demanded.min(MAX_DEMANDED_SECONDS))
}

/// Gets certificates and puts them to use.
pub(super) struct AcmeWorker {
    store: Store,
    settings: Acme,
    certificates: Arc<Certificates>,
    state: Arc<CertificateState>,
    challenges: Arc<Challenges>,
    current: Option<CurrentCertificate>,
    failures: u32,
    retry_at: Option<Timestamp>,
    /// Checks that failed, by which one way of being checked after the other
    /// is tried.
    failed_checks: u64,
}

impl AcmeWorker {
    /// Keeps `current`, which is in use, or gets the first certificate.
    pub(super) fn new(
        store: Store,
        settings: Acme,
        certificates: Arc<Certificates>,
        state: Arc<CertificateState>,
        challenges: Arc<Challenges>,
        current: Option<CurrentCertificate>,
    ) -> Self {
        Self {
            store,
            settings,
            certificates,
            state,
            challenges,
            current,
            failures: 0,
            retry_at: None,
            failed_checks: 0,
        }
    }

    /// Goes on for ever.
    pub(super) async fn run(mut self) {
        self.resume(now()).await;
        loop {
            let now = now();
            self.ask_when_to_renew(now).await;
            let due = self.due(now);
            self.state.update(|status| status.next_renewal = Some(due));
            let wanted = if due > now { self.rest(due.seconds_since(now)).await } else { false };
            if wanted || due <= now {
                self.state.update(|status| status.renewing = true);
                self.renew().await;
                self.state.update(|status| status.renewing = false);
            }
        }
    }

    /// Takes up the waiting where the last run of the server left it, as long
    /// as what is configured is the same.
    async fn resume(&mut self, now: Timestamp) {
        let kept = match self.store.acme_setback().await {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(%error, "it is not known when a certificate was ordered last; one is ordered when it is due");
                return;
            }
        };
        let same = |kept: &AcmeSetback| {
            kept.directory_url == self.settings.directory_url && kept.domains == self.settings.domains
        };
        let Some(kept) = kept.filter(same) else { return };
        // The clock may have been ahead then.
        let latest = now.checked_add_seconds(MAX_DEMANDED_SECONDS).unwrap_or(Timestamp::MAX);
        let retry_at = kept.retry_at.min(latest);
        (self.failures, self.failed_checks) = (kept.failures, kept.failed_checks);
        self.retry_at = Some(retry_at);
        tracing::warn!(
            reason = kept.reason,
            next_try = %retry_at,
            "the last order gave no certificate; sitewarden tls renew tries again before its time"
        );
        self.state.update(|status| status.last_error = Some(kept.reason));
    }

    /// Keeps how long to wait for the next run of the server.
    async fn keep_setback(&self, failures: u32, retry_at: Timestamp, reason: String) {
        let setback = AcmeSetback {
            directory_url: self.settings.directory_url.clone(),
            domains: self.settings.domains.clone(),
            failures,
            failed_checks: self.failed_checks,
            retry_at,
            reason,
        };
        if let Err(error) = self.store.keep_acme_setback(setback).await {
            tracing::warn!(%error, "when to order the next certificate could not be kept for the next start");
        }
    }

    /// When to order next.
    fn due(&self, now: Timestamp) -> Timestamp {
        self.retry_at.unwrap_or_else(|| self.current.as_ref().map_or(now, |current| current.renew_at))
    }

    /// Waits at most this long; whether a renewal was asked for meanwhile.
    async fn rest(&self, seconds: i64) -> bool {
        let seconds = u64::try_from(seconds.clamp(1, LOOK_AT_CLOCK_SECONDS)).unwrap_or(1);
        tokio::select! {
            () = self.state.renewal_requested() => true,
            () = tokio::time::sleep(Duration::from_secs(seconds)) => false,
        }
    }

    /// Asks the server when to renew, where it is time to ask.
    async fn ask_when_to_renew(&mut self, now: Timestamp) {
        let Some(current) =
            self.current.as_mut().filter(|current| current.ask_at <= now && current.renew_at > now)
        else {
            return;
        };
        let orders = Orders::new(&self.store, &self.settings, &self.challenges);
        let again = match tokio::time::timeout(ORDER_PATIENCE, orders.renewal_window(&current.chain)).await {
            Ok(Ok(Some((window, again)))) => {
                current.suggest(window, random());
                i64::try_from(again.as_secs()).unwrap_or(i64::MAX)
            }
            Ok(Ok(None)) => ASK_AGAIN_SECONDS.1,
            Ok(Err(failed)) => {
                tracing::debug!(reason = failed.reason, "the ACME server did not say when to renew");
                ASK_AGAIN_SECONDS.0
            }
            Err(_) => ASK_AGAIN_SECONDS.0,
        };
        let again = again.clamp(ASK_AGAIN_SECONDS.0, ASK_AGAIN_SECONDS.1);
        current.ask_at = now.checked_add_seconds(again).unwrap_or(Timestamp::MAX);
    }

    async fn renew(&mut self) {
        // A server that ends in mid-order, again and again, waits as well.
        let failures = self.failures.saturating_add(1);
        let wait = back_off(failures, None, random());
        let retry_at = now().checked_add_seconds(wait).unwrap_or(Timestamp::MAX);
        self.keep_setback(failures, retry_at, CUT_OFF.to_owned()).await;
        let replaces = self.current.as_ref().filter(|current| current.window.is_some());
        let replaces = replaces.map(|current| current.chain.as_slice());
        let orders = Orders::new(&self.store, &self.settings, &self.challenges);
        let ordered = orders.certificate(self.failed_checks, replaces);
        let ordered = tokio::time::timeout(ORDER_PATIENCE, ordered).await;
        self.challenges.clear();
        let ordered = ordered.unwrap_or_else(|_| {
            let seconds = ORDER_PATIENCE.as_secs();
            Err(Failed::because(format!("the ACME server did not come to an end within {seconds} s")))
        });
        match ordered.and_then(|certificate| usable(certificate, &self.settings.domains)) {
            Ok((certificate, pair)) => self.use_now(certificate, pair).await,
            Err(failed) => self.note_failure(&failed).await,
        }
    }

    async fn use_now(&mut self, certificate: AcmeCertificate, pair: Pair) {
        let current = CurrentCertificate::new(pair.facts.clone(), certificate.chain.clone());
        let (names, not_after) = (pair.facts.names.join(", "), pair.facts.not_after);
        // Served first: also a database that takes no writes now must not
        // keep a good certificate from use.
        self.certificates.install(pair);
        if let Err(error) = self.store.keep_acme_certificate(certificate).await {
            tracing::error!(%error, "the new certificate is in use, but could not be kept for the next start");
        }
        tracing::info!(names, %not_after, issuer = current.facts.issuer, "a new certificate is in use");
        self.current = Some(current);
        self.failures = 0;
        self.retry_at = None;
        self.state.update(|status| status.last_error = None);
    }

    async fn note_failure(&mut self, failed: &Failed) {
        self.failures = self.failures.saturating_add(1);
        if failed.at_check {
            self.failed_checks = self.failed_checks.wrapping_add(1);
        }
        let wait = back_off(self.failures, failed.retry_after, random());
        let retry_at = now().checked_add_seconds(wait).unwrap_or(Timestamp::MAX);
        self.retry_at = Some(retry_at);
        self.keep_setback(self.failures, retry_at, failed.reason.clone()).await;
        let served = if self.current.is_some() { "the last good one" } else { "the self-signed one" };
        tracing::error!(
            reason = failed.reason,
            next_try = %retry_at,
            "no certificate was got; {served} is served meanwhile"
        );
        self.state.update(|status| status.last_error = Some(failed.reason.clone()));
    }
}

/// Checks what the server gave before it is used.
fn usable(certificate: AcmeCertificate, domains: &[String]) -> Result<(AcmeCertificate, Pair), Failed> {
    let pair =
        Pair::from_der(certificate.chain.clone(), certificate.private_key.clone()).map_err(|error| {
            Failed::because(format!("the ACME server gave a certificate that cannot be used: {error}"))
        })?;
    if !is_for(&pair.facts, domains) {
        let names = pair.facts.names.join(", ");
        return Err(Failed::because(format!("the ACME server gave a certificate for other names: {names}")));
    }
    Ok((certificate, pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    fn facts(not_before: i64, not_after: i64) -> CertificateFacts {
        CertificateFacts {
            names: vec!["a.example".into()],
            issuer: "CN=Test".into(),
            not_before: at(not_before),
            not_after: at(not_after),
            self_signed: false,
        }
    }

    #[test]
    fn without_a_suggestion_it_is_renewed_at_two_thirds_of_the_lifetime_or_a_little_later() {
        let facts = facts(0, 90_000);
        assert_eq!(two_thirds(&facts, 0.0), at(60_000));
        assert_eq!(two_thirds(&facts, 1.0), at(63_000));
    }

    #[test]
    fn a_time_is_chosen_once_for_each_suggested_window() {
        let mut current = CurrentCertificate::new(facts(0, 90_000), Vec::new());
        current.suggest((at(1000), at(2000)), 0.25);
        assert_eq!(current.renew_at, at(1250));
        current.suggest((at(1000), at(2000)), 0.75);
        assert_eq!(current.renew_at, at(1250));
        current.suggest((at(0), at(100)), 0.5);
        assert_eq!(current.renew_at, at(50));
    }

    #[test]
    fn waits_double_from_a_minute_to_six_hours_and_heed_the_server() {
        assert_eq!(back_off(1, None, 0.0), 60);
        assert_eq!(back_off(2, None, 0.0), 120);
        assert_eq!(back_off(3, None, 1.0), 264);
        assert_eq!(back_off(9, None, 0.0), 15_360);
        assert_eq!(back_off(10, None, 0.0), 21_600);
        assert_eq!(back_off(u32::MAX, None, 0.0), 21_600);
        assert_eq!(back_off(1, Some(Duration::from_secs(3600)), 0.0), 3600);
        assert_eq!(back_off(1, Some(Duration::from_secs(u64::MAX)), 0.0), 60);
        assert_eq!(back_off(1, Some(Duration::from_secs(99_999_999)), 0.0), 604_800);
    }

    #[test]
    fn a_certificate_is_kept_only_for_exactly_the_configured_names() {
        let mut facts = facts(0, 1);
        assert!(is_for(&facts, &["a.example".into()]));
        assert!(!is_for(&facts, &["a.example".into(), "b.example".into()]));
        facts.names.push("b.example".into());
        assert!(is_for(&facts, &["b.example".into(), "a.example".into()]));
        assert!(!is_for(&facts, &["a.example".into()]));
    }
}

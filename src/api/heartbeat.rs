//! The heartbeat: a site proves itself and learns what it may do.

use std::str::FromStr;
use std::sync::Arc;

use poem::Request;
use poem::web::Data;
use poem_openapi::param::Header;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};

use super::app::{App, Peer};
use super::field_errors::FieldErrors;
use super::fields::{Body, Fields, Readable};
use super::heartbeat_answer::{AnswerBody, Applied, HeartbeatAnswer, NonceText, REVISION};
use super::negotiation::prefers_lease;
use super::problem::{Failure, Problem, failure};
use super::tag::Group;
use super::wire::{Given, Nullable, Presented, Time};
use crate::clock::now;
use crate::domain::{Heartbeat, LeaseRequest, Network, SecretKey, SiteId, Verdict};
use crate::metrics::{HeartbeatOutcome, Throttle};
use crate::store::{Answer, Call, HeartbeatRefused};

/// Greatest `uptime_seconds`: 2^53 - 1, the greatest whole number that every
/// JSON reader keeps exact (RFC 8259, section 6).
pub(super) const MAX_UPTIME_SECONDS: u64 = 9_007_199_254_740_991;

/// What a local backend reports of itself. Unknown fields are ignored.
#[derive(Object)]
#[oai(rename = "Heartbeat", example)]
pub struct HeartbeatDocument {
    /// Version that the local backend runs, 1 to 64 characters.
    version: String,
    /// Seconds since the local backend started, 0 to 2^53 - 1.
    uptime_seconds: u64,
}

impl Example for HeartbeatDocument {
    fn example() -> Self {
        Self { version: "2.4.1".to_owned(), uptime_seconds: 86_400 }
    }
}

impl Readable for Heartbeat {
    type Document = HeartbeatDocument;
    const IGNORES_ALL_BUT: Option<&'static [&'static str]> = Some(&["version", "uptime_seconds"]);

    fn read(fields: &mut Fields) -> Option<Self> {
        let version = fields.required("version");
        let uptime_seconds = fields.required_integer("uptime_seconds", 0..=MAX_UPTIME_SECONDS);
        Some(Self { version: version?, uptime_seconds: uptime_seconds? })
    }
}

/// What the site may do until its next heartbeat.
#[derive(Object)]
#[oai(rename = "Verdict", example)]
pub struct VerdictDocument {
    /// The site is active and its licence has not expired.
    licensed: bool,
    /// The site is locked from afar.
    locked: bool,
    /// Why it is locked, 1 to 500 characters; null when it is not.
    lock_reason: Nullable<String>,
    /// When the licence expires or expired.
    expires_at: Time,
}

impl Example for VerdictDocument {
    fn example() -> Self {
        Self {
            licensed: true,
            locked: false,
            lock_reason: Nullable(None),
            expires_at: Time(super::example::example_expiry()),
        }
    }
}

impl From<Verdict> for VerdictDocument {
    fn from(verdict: Verdict) -> Self {
        Self {
            licensed: verdict.licensed,
            locked: verdict.lock_reason.is_some(),
            lock_reason: Nullable(verdict.lock_reason.map(|reason| reason.as_str().to_owned())),
            expires_at: Time(verdict.expires_at),
        }
    }
}

/// What a local backend proves itself with.
struct Credentials {
    site_id: SiteId,
    key: SecretKey,
}

impl Credentials {
    fn read(site_id: &Presented, key: &Presented) -> Option<Self> {
        let site_id = SiteId::from_str(site_id.0.as_deref()?.trim()).ok()?;
        Some(Self { site_id, key: SecretKey::presented(key.0.as_deref()?.trim()) })
    }
}

/// The route `/api/heartbeat`.
pub struct HeartbeatApi;

#[OpenApi(prefix_path = "/api", tag = "Group::Heartbeat")]
impl HeartbeatApi {
    /// Send a heartbeat
    ///
    /// Called by a site's local backend every 6 hours. A locked or expired
    /// site is answered 200 as well, and is recorded as seen: the body says
    /// what it may do. An error, or no answer, never means that a site is not
    /// licensed: keep to the last verdict and try again later, after
    /// `Retry-After` where it is given. 60 heartbeats an hour, at most 10 at
    /// once, are accepted from a site unless configured otherwise.
    ///
    /// With `Accept: application/vnd.sitewarden.lease+jwt` the answer is a lease
    /// instead: a JWS (RFC 7515) signed with ES256 by a key of
    /// `/.well-known/jwks.json`, on which the local backend may go on while the
    /// server cannot be reached.
    #[oai(path = "/heartbeat", method = "post", operation_id = "heartbeat")]
    async fn heartbeat(
        &self,
        app: Data<&Arc<App>>,
        peer: Data<&Peer>,
        /// The site's `site_id`.
        #[oai(name = "X-Site-ID")]
        site_id: Header<Presented>,
        /// The site's `secret_key`.
        #[oai(name = "X-Site-Key")]
        key: Header<Presented>,
        /// The `X-Verdict-Revision` of the last answer that the local backend has
        /// applied. One that was never answered is ignored.
        #[oai(name = "X-Verdict-Revision")]
        applied: Header<Given<Applied>>,
        /// A text that a lease is to repeat: 16 to 64 visible ASCII characters.
        #[oai(name = "X-Lease-Nonce")]
        nonce: Header<Given<NonceText>>,
        request: &Request,
        body: Body<Heartbeat>,
    ) -> Result<
        HeartbeatAnswer,
        Failure<
            {
                failure::MALFORMED
                    | failure::UNAUTHORIZED
                    | failure::BODY
                    | failure::INVALID
                    | failure::THROTTLED
                    | failure::UNAVAILABLE
            },
        >,
    > {
        let network = Network::of(peer.0.0);
        let refuse = || {
            app.metrics.heartbeat(HeartbeatOutcome::Refused);
            match app.heartbeats.fail(network) {
                Ok(()) => Problem::unknown_site(),
                Err(wait) => {
                    app.metrics.throttled(Throttle::Address);
                    wait.into()
                }
            }
        };
        let Some(credentials) = Credentials::read(&site_id.0, &key.0) else {
            return Err(refuse().into());
        };
        let mut errors = FieldErrors::default();
        let applied = applied.0.take(REVISION, &mut errors);
        let nonce = nonce.0.take("X-Lease-Nonce", &mut errors);
        if !errors.is_empty() {
            return Err(Problem { errors, ..Problem::malformed("a header cannot be understood") }.into());
        }
        let now = now();
        let lease = prefers_lease(request.headers())
            .then(|| LeaseRequest { nonce: nonce.map(|nonce| nonce.0), newest_key: app.lease_keys.newest() });
        let call = Call {
            site_id: credentials.site_id,
            key: credentials.key.hash(),
            heartbeat: body.0,
            ip: peer.0.0,
            applied: applied.map(|applied| applied.0),
            lease,
        };
        let throttle = Arc::clone(app.0);
        let admit = move |site| throttle.heartbeats.accept(site);
        match app.store.record_heartbeat(call, now, admit).await? {
            Ok(Answer { verdict, revision, wait_seconds, lease }) => {
                app.metrics.heartbeat(outcome_of(&verdict));
                let body = match lease {
                    Some(lease) => AnswerBody::Lease(app.lease_keys.sign(&lease, now)?),
                    None => AnswerBody::Verdict(verdict),
                };
                Ok(HeartbeatAnswer { body, revision, wait_seconds })
            }
            Err(HeartbeatRefused::Unknown) => Err(refuse().into()),
            Err(HeartbeatRefused::NotAdmitted(wait)) => {
                app.metrics.heartbeat(HeartbeatOutcome::Throttled);
                app.metrics.throttled(Throttle::Site);
                Err(wait.into())
            }
        }
    }
}

fn outcome_of(verdict: &Verdict) -> HeartbeatOutcome {
    match verdict {
        Verdict { lock_reason: Some(_), .. } => HeartbeatOutcome::Locked,
        Verdict { licensed: false, .. } => HeartbeatOutcome::Unlicensed,
        Verdict { .. } => HeartbeatOutcome::Licensed,
    }
}

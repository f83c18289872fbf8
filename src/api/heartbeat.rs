//! The heartbeat: a site proves itself and learns what it may do.

use std::str::FromStr;
use std::sync::Arc;

use poem::web::Data;
use poem::{IntoResponse, Response};
use poem_openapi::param::Header;
use poem_openapi::payload::Payload as _;
use poem_openapi::registry::{MetaResponses, Registry};
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde_json::Value;

use super::app::{App, Peer};
use super::fields::{Body, Fields, Json, Readable};
use super::problem::{Failure, Problem, failure};
use super::tag::Group;
use super::wire::{Nullable, Presented, Time};
use crate::clock::now;
use crate::domain::{Heartbeat, Network, SecretKey, SiteId, Verdict};
use crate::metrics::{HeartbeatOutcome, Throttle};
use crate::store::HeartbeatRefused;

/// The one path on which sites prove themselves.
pub(super) const PATH: &str = "/api/heartbeat";

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

/// A verdict as the answer to a heartbeat: a [`VerdictDocument`], written
/// straight out. As a tree of values first, as other answers are, it took a
/// dozen allocations more.
pub struct VerdictAnswer(pub Verdict);

impl VerdictAnswer {
    /// The document as JSON (RFC 8259).
    fn json(&self) -> String {
        let Verdict { licensed, lock_reason, expires_at } = &self.0;
        let locked = lock_reason.is_some();
        let lock_reason = Value::from(lock_reason.as_ref().map(|reason| reason.as_str()));
        format!(
            r#"{{"licensed":{licensed},"locked":{locked},"lock_reason":{lock_reason},"expires_at":"{expires_at}"}}"#
        )
    }
}

impl IntoResponse for VerdictAnswer {
    fn into_response(self) -> Response {
        Response::builder().content_type(Json::<VerdictDocument>::CONTENT_TYPE).body(self.json())
    }
}

impl ApiResponse for VerdictAnswer {
    fn meta() -> MetaResponses {
        Json::<VerdictDocument>::meta()
    }

    fn register(registry: &mut Registry) {
        <Json<VerdictDocument> as ApiResponse>::register(registry);
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
    #[oai(path = "/heartbeat", method = "post", operation_id = "heartbeat")]
    pub(super) async fn heartbeat(
        &self,
        app: Data<&Arc<App>>,
        peer: Data<&Peer>,
        /// The site's `site_id`.
        #[oai(name = "X-Site-ID")]
        site_id: Header<Presented>,
        /// The site's `secret_key`.
        #[oai(name = "X-Site-Key")]
        key: Header<Presented>,
        body: Body<Heartbeat>,
    ) -> Result<
        VerdictAnswer,
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
        let throttle = Arc::clone(app.0);
        let recorded = app
            .store
            .record_heartbeat(
                credentials.site_id,
                credentials.key.hash(),
                body.0,
                peer.0.0,
                now(),
                move |site| throttle.heartbeats.accept(site),
            )
            .await?;
        match recorded {
            Ok(verdict) => {
                app.metrics.heartbeat(outcome_of(&verdict));
                Ok(VerdictAnswer(verdict))
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

#[cfg(test)]
mod tests {
    use poem_openapi::types::ToJSON as _;

    use super::*;
    use crate::domain::{LockReason, Timestamp};

    #[test]
    fn a_verdict_is_written_as_its_document_is() {
        let hard = "\"\\/ é ☕ 👩‍🍳 </script>";
        let longest = "é".repeat(500);
        let reasons = [None, Some("unpaid"), Some(hard), Some(longest.as_str())];
        let times = [Timestamp::MIN, Timestamp::MAX, "2030-12-31T23:59:59Z".parse().unwrap()];
        for (licensed, reason) in [true, false].into_iter().flat_map(|it| reasons.map(|reason| (it, reason)))
        {
            for expires_at in times {
                let lock_reason: Option<LockReason> = reason.map(|reason| reason.parse().unwrap());
                let document = VerdictDocument {
                    licensed,
                    locked: lock_reason.is_some(),
                    lock_reason: Nullable(reason.map(|reason| reason.trim().to_owned())),
                    expires_at: Time(expires_at),
                };
                let answer = VerdictAnswer(Verdict { licensed, lock_reason, expires_at });
                assert_eq!(answer.json(), document.to_json_string());
            }
        }
    }
}

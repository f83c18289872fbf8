//! The keys that sign leases.

use std::sync::Arc;

use poem::http::{HeaderValue, StatusCode, header};
use poem::web::Data;
use poem::{IntoResponse as _, Request, Response};
use poem_openapi::{Object, OpenApi};

use super::app::App;
use super::authority::Authority;
use super::etag::Tags;
use super::fields::{Body, Fields, Json, Readable};
use super::problem::{Failure, Problem, failure};
use super::scope;
use super::tag::Group;
use super::wire::{Nullable, Time};
use crate::auth::lease_key::{KnownKey, LeaseKey, LeaseKeys, NotALeaseKey};
use crate::clock::now;
use crate::domain::Actor;
use crate::domain::lease_key::AlreadyAnnounced;
use crate::store::KeyWithSecret;

/// How long a key set may be used without asking again.
const SET_LASTS: &str = "public, max-age=3600";

/// The keys of these rows, ready to sign.
///
/// # Errors
/// [`NotALeaseKey`] when one cannot be read.
pub fn ready(keys: Vec<KeyWithSecret>) -> Result<Vec<KnownKey>, NotALeaseKey> {
    let known =
        |(stored, pkcs8): KeyWithSecret| LeaseKey::of_pkcs8(&pkcs8).map(|key| KnownKey { stored, key });
    keys.into_iter().map(known).collect()
}

/// A key that signs leases.
#[derive(Object)]
#[oai(rename = "LeaseKey")]
pub struct LeaseKeyDocument {
    /// Its number, from 1; a greater one is newer.
    number: u64,
    /// Its thumbprint (RFC 7638), by which leases name it.
    kid: String,
    /// `retired`, `signing` or `announced`.
    state: String,
    /// When it was made.
    created_at: Time,
    /// From when on it signs, until a newer one does.
    signs_from: Time,
    /// How many sites have not been handed it yet, in a lease that it signed or
    /// announced it; null for a retired one. Sites that never ask for leases
    /// count as well.
    sites_without: Nullable<u64>,
}

/// How a key is replaced.
#[derive(Object)]
#[oai(rename = "LeaseKeyRotation", example)]
pub struct LeaseKeyRotationDocument {
    /// true: the announced key, or a fresh one where none is, signs at once;
    /// for a key that has leaked. false: a fresh key is announced for 30 days.
    #[oai(skip_serializing_if_is_none)]
    now: Option<bool>,
}

impl poem_openapi::types::Example for LeaseKeyRotationDocument {
    fn example() -> Self {
        Self { now: Some(false) }
    }
}

/// Whether it is to be at once.
pub struct AtOnce(bool);

impl Readable for AtOnce {
    type Document = LeaseKeyRotationDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self(fields.optional_bool("now").unwrap_or(false)))
    }
}

/// The routes under `/api/lease-keys`.
pub struct LeaseKeysApi;

#[OpenApi(prefix_path = "/api/lease-keys", tag = "Group::Leases")]
impl LeaseKeysApi {
    /// List the keys that sign leases
    ///
    /// The oldest first, with how many sites have not been handed the ones in
    /// use.
    #[oai(path = "/", method = "get", operation_id = "list_lease_keys")]
    async fn list(
        &self,
        _admin: Authority<scope::Admin>,
        app: Data<&Arc<App>>,
    ) -> Result<Json<Vec<LeaseKeyDocument>>, Failure<{ failure::SYSADMIN }>> {
        Ok(Json(documents(&app).await?))
    }

    /// Replace the key that signs leases
    ///
    /// Makes a fresh key and announces it: for 30 days each lease hands it
    /// over, signed by the present key, and then it signs. With `now` it is at
    /// once, for a key that has leaked: local backends that have not been
    /// handed the new key refuse its leases until they are given the key set
    /// in another way. 409 while a key is announced, and where
    /// the key is given by systemd.
    #[oai(path = "/rotate", method = "post", operation_id = "rotate_lease_key")]
    async fn rotate(
        &self,
        admin: Authority<scope::Admin>,
        app: Data<&Arc<App>>,
        body: Body<AtOnce>,
    ) -> Result<
        Json<Vec<LeaseKeyDocument>>,
        Failure<
            {
                failure::SYSADMIN
                    | failure::MALFORMED
                    | failure::BODY
                    | failure::INVALID
                    | failure::CONFLICT
                    | failure::UNAVAILABLE
            },
        >,
    > {
        admin.with_recent_code(&app).await?;
        // To its end, though the client may go away: what is stored has to be
        // what signs.
        let done = tokio::spawn(rotate(Arc::clone(app.0), body.0.0, admin.actor())).await;
        done.map_err(|_| Problem::internal("replacing the lease key panicked"))??;
        Ok(Json(documents(&app).await?))
    }
}

async fn documents(app: &App) -> Result<Vec<LeaseKeyDocument>, Problem> {
    let mut documents = Vec::new();
    for (stored, state, kid) in app.lease_keys.list(now()) {
        let in_use = state != crate::domain::lease_key::KeyState::Retired;
        let without = match in_use {
            true => Some(app.store.sites_without_lease_key(stored.number).await?),
            false => None,
        };
        documents.push(LeaseKeyDocument {
            number: stored.number,
            kid,
            state: state.as_str().to_owned(),
            created_at: Time(stored.created_at),
            signs_from: Time(stored.signs_from),
            sites_without: Nullable(without),
        });
    }
    Ok(documents)
}

async fn rotate(app: Arc<App>, at_once: bool, by: Actor) -> Result<(), Problem> {
    let keys: &LeaseKeys = &app.lease_keys;
    if keys.is_given {
        return Err(Problem::conflict(
            "the lease key is not in the database: the credential lease-key of systemd's gives it; put \
             another one there and restart the server",
        ));
    }
    let unusable = |_| Problem::internal("a lease key could not be made or read");
    let fresh = LeaseKey::fresh_pkcs8().map_err(unusable)?;
    let _turn = keys.turn.lock().await;
    match app.store.rotate_lease_key(fresh, at_once, by.clone(), now()).await? {
        Ok(stored) => {
            keys.replace(ready(stored).map_err(unusable)?);
            tracing::info!(admin = by.name, at_once, "the lease key is being replaced");
            Ok(())
        }
        Err(AlreadyAnnounced) => Err(Problem::conflict(
            "a key is announced already and will sign when its time has come; with now it signs at once",
        )),
    }
}

/// `GET /.well-known/jwks.json`: the public halves of the keys (RFC 7517).
pub(super) fn key_set(app: &App, request: &Request) -> Response {
    let Ok(set) = serde_json::to_vec(&app.lease_keys.set()) else {
        return Problem::internal("the key set cannot be written").into_response();
    };
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &set);
    let tag: String = digest.as_ref().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let answer = Response::builder()
        .header(header::CACHE_CONTROL, HeaderValue::from_static(SET_LASTS))
        .header(header::ETAG, format!("\"{tag}\""));
    let conditions = request.headers().get_all(header::IF_NONE_MATCH).iter();
    let mut known = conditions.filter_map(|value| Tags::read(value.to_str().ok()?));
    if known.any(|tags| tags.weakly_match(&tag)) {
        return answer.status(StatusCode::NOT_MODIFIED).finish();
    }
    answer.content_type("application/jwk-set+json").body(set)
}

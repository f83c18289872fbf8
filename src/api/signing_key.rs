//! The key that signs access tokens.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi};

use super::app::App;
use super::authority::Authority;
use super::problem::{Failure, Problem, failure};
use super::scope;
use super::tag::Group;
use crate::auth::random::random_bytes;
use crate::clock::now;
use crate::domain::Actor;
use crate::store::{NoSigningKey, SigningKey};

/// Replaced.
#[derive(ApiResponse)]
enum RotateAnswer {
    /// Done: every access token has ended, yours too.
    #[oai(status = 204)]
    Done,
}

/// The route under `/api/signing-key`.
pub struct SigningKeyApi;

#[OpenApi(prefix_path = "/api/signing-key", tag = "Group::Login")]
impl SigningKeyApi {
    /// Replace the key that signs access tokens
    ///
    /// Every access token ends at once, that of this request too: everybody
    /// has to log in again. 409 where the key is given by
    /// `auth.signing_key_file` or by systemd: put another one there, and
    /// restart the server.
    #[oai(path = "/rotate", method = "post", operation_id = "rotate_signing_key")]
    async fn rotate(
        &self,
        admin: Authority<scope::Admin>,
        app: Data<&Arc<App>>,
    ) -> Result<RotateAnswer, Failure<{ failure::UNAUTHORIZED | failure::CONFLICT | failure::UNAVAILABLE }>>
    {
        admin.with_recent_code(&app).await?;
        if app.signing_key.given {
            return Err(Problem::conflict(
                "the signing key is not in the database: auth.signing_key_file, or the credential \
                 signing-key of systemd's, gives it; put another one there and restart the server",
            )
            .into());
        }
        // To its end, though the client may go away: the database has the new
        // key then, and the old one must not go on being good.
        let done = tokio::spawn(replace(Arc::clone(app.0), admin.actor())).await;
        done.map_err(|_| Problem::internal("replacing the signing key panicked"))??;
        Ok(RotateAnswer::Done)
    }
}

async fn replace(app: Arc<App>, by: Actor) -> Result<(), Problem> {
    let fresh = random_bytes()?;
    let _turn = app.signing_key.turn.lock().await;
    match app.store.rotate_signing_key(SigningKey(fresh), by.clone(), now()).await? {
        Ok(()) => {
            app.tokens.sign_with(&fresh);
            tracing::info!(admin = by.name, "the signing key was replaced; all logins have ended");
            Ok(())
        }
        Err(NoSigningKey) => Err(Problem::conflict(
            "there is no signing key in the database: the server makes one at its next start, unless it is \
             given one",
        )),
    }
}

//! A login after it was made: a code again, and its end.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi};

use super::app::{App, Peer};
use super::auth::TokenDocument;
use super::authority::Authority;
use super::fields::{Body, Json};
use super::problem::{Failure, Problem, failure};
use super::scope;
use super::tag::Group;
use crate::clock::now;
use crate::domain::{Network, TypedCode};
use crate::metrics::Throttle;
use crate::store::{CodeFault, CodeOutcome};

/// Ended.
#[derive(ApiResponse)]
enum LogoutAnswer {
    /// Done: the token has ended.
    #[oai(status = 204)]
    Done,
}

/// The routes under `/api/auth` for who is logged in.
pub struct SessionApi;

#[OpenApi(prefix_path = "/api/auth", tag = "Group::Login")]
impl SessionApi {
    /// Show the second factor again
    ///
    /// Where an admin has a second factor, backups, changes of admins, tokens,
    /// the signing key and batches over 10 sites ask a login for a code of the
    /// last 10 minutes: 401 with `error="insufficient_user_authentication"` and
    /// `max_age` in `WWW-Authenticate` (RFC 9470). Send the code here, and
    /// repeat the request with the token of the answer, which ends when the
    /// login does. A wrong code counts as a failed login.
    #[oai(path = "/step-up", method = "post", operation_id = "step_up")]
    async fn step_up(
        &self,
        admin: Authority<scope::Read>,
        app: Data<&Arc<App>>,
        peer: Data<&Peer>,
        body: Body<TypedCode>,
    ) -> Result<
        Json<TokenDocument>,
        Failure<
            {
                failure::SYSADMIN
                    | failure::MALFORMED
                    | failure::BODY
                    | failure::CONFLICT
                    | failure::THROTTLED
            },
        >,
    > {
        let Some((who, session)) = admin.login() else {
            return Err(Problem::conflict("only a login has a second factor to show").into());
        };
        let turned_away = |_: &_| app.metrics.throttled(Throttle::Login);
        let network = Network::of(peer.0.0);
        app.logins.claim(network).inspect_err(turned_away)?;
        let attempt = app.logins.attempt(network, &who.username.folded()).inspect_err(turned_away)?;
        let (app, id, code, ip) = (Arc::clone(app.0), session.id, body.0, peer.0.0);
        let (who, now) = (who.clone(), now());
        // To its end, though the client may go away: a wrong code counts.
        let done = tokio::spawn(async move {
            let outcome = app.store.step_up(who.id, id, code, ip, now).await?;
            app.metrics.code(&outcome);
            match outcome {
                CodeOutcome::Opened(session) => {
                    if let Some(attempt) = attempt {
                        attempt.succeeded();
                    }
                    Ok(TokenDocument::of(app.tokens.issue(&who, &session, now)?))
                }
                CodeOutcome::Refused(CodeFault::NoFactor) => {
                    Err(Problem::conflict("this admin has no second factor: nothing asks for a code"))
                }
                CodeOutcome::Refused(CodeFault::Gone) => Err(Problem::unauthorized()),
                CodeOutcome::Refused(CodeFault::Missing | CodeFault::Code(_)) => {
                    if let Some(attempt) = attempt {
                        attempt.failed();
                    }
                    Err(Problem::wrong_code())
                }
            }
        })
        .await;
        Ok(Json(done.map_err(|_| Problem::internal("looking at a code panicked"))??))
    }

    /// Log out
    ///
    /// The access token ends at once, before its time.
    #[oai(path = "/logout", method = "post", operation_id = "logout")]
    async fn logout(
        &self,
        admin: Authority<scope::Read>,
        app: Data<&Arc<App>>,
    ) -> Result<LogoutAnswer, Failure<{ failure::SYSADMIN | failure::CONFLICT }>> {
        let Some((who, session)) = admin.login() else {
            return Err(Problem::conflict("there is no login to end").into());
        };
        app.unsaved_sessions.end(who.id, Some(session.id));
        app.store.log_out(who.id, session.id, admin.actor(), now()).await?;
        Ok(LogoutAnswer::Done)
    }
}

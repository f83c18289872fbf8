//! What a login may do besides: answer for a second factor, and what asks for
//! a code again (step-up, RFC 9470).

use poem::http::StatusCode;

use super::app::App;
use super::authority::{Asker, Proof};
use super::problem::Problem;
use crate::clock::now;
use crate::domain::second_factor::is_recent;
use crate::domain::{SecondFactor, Session, Username};

/// The challenge where a code is asked for again; 600 s are
/// [`crate::domain::second_factor::STEP_UP_SECONDS`].
const STEP_UP: &str = "Bearer realm=\"sitewarden\", error=\"insufficient_user_authentication\", \
                       error_description=\"a code of the last 10 minutes is asked for\", max_age=\"600\"";

impl Asker {
    /// The login, where a token of one proved it.
    pub fn session(&self) -> Option<&Session> {
        self.login().map(|(_, session)| session)
    }

    /// For what an admin does with own hands, whatever a program may in the
    /// admin's name: with a second factor, and with logins.
    ///
    /// # Errors
    /// [`Problem::no_program`] for a token for programs.
    pub fn in_person(&self) -> Result<(), Problem> {
        match self.proof() {
            Proof::Login(..) | Proof::Host(_) => Ok(()),
            Proof::Token(..) => Err(Problem::no_program()),
        }
    }

    /// Whether the second factor of the admin `username` is this one's to
    /// change: the own, by a login, or any on the host.
    pub fn may_answer_for(&self, username: &Username) -> bool {
        match self.proof() {
            Proof::Login(admin, _) => admin.username.folded() == username.folded(),
            Proof::Token(..) => false,
            Proof::Host(_) => true,
        }
    }

    /// Passes who has no second factor, or showed it within the last 10
    /// minutes. A user of the host is not asked, and no token for programs: its
    /// scope says what it may do.
    ///
    /// # Errors
    /// [`Problem::second_factor_needed`].
    pub async fn with_recent_code(&self, app: &App) -> Result<(), Problem> {
        let Some((admin, session)) = self.login() else {
            return Ok(());
        };
        if session.second_factor_at.is_some_and(|shown| is_recent(shown, now())) {
            return Ok(());
        }
        match app.store.second_factor(admin.id).await? {
            Some(SecondFactor::On(_)) => Err(Problem::second_factor_needed()),
            Some(SecondFactor::Begun(_)) | None => Ok(()),
        }
    }
}

impl Problem {
    /// 401 for a login that has not shown its second factor of late (RFC 9470,
    /// section 3).
    pub fn second_factor_needed() -> Self {
        Self {
            challenge: Some(STEP_UP),
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                "this asks for a code of the last 10 minutes: send one to POST /api/auth/step-up (on the \
                 command line: sitewarden login again), and repeat the request with the token of the answer",
            )
        }
    }

    /// 401 for a code that does not count, whatever is wrong with it.
    pub fn wrong_code() -> Self {
        Self {
            challenge: Some(STEP_UP),
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                "the code does not count: wait for the next one of the app and try again",
            )
        }
    }

    /// 403: it is for the admin alone whom the path names.
    pub fn of_another_admin() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "only the admin whose second factor it is may do this; on the host: sitewarden admin otp",
        )
    }

    /// 404 for an id that names no open login.
    pub fn no_such_session() -> Self {
        Self::new(StatusCode::NOT_FOUND, "this admin has no open login with this id")
    }
}

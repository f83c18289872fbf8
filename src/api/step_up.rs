//! What a login may do besides: answer for a second factor, and what asks for
//! a code again (step-up, RFC 9470).

use super::app::App;
use super::auth::Sysadmin;
use super::problem::Problem;
use crate::clock::now;
use crate::domain::second_factor::is_recent;
use crate::domain::{SecondFactor, Session, Username};

impl Sysadmin {
    /// The login, where a token of one proved it.
    pub fn session(&self) -> Option<&Session> {
        self.login().map(|(_, session)| session)
    }

    /// Whether the second factor of the admin `username` is this one's to
    /// change: the own, or any on the host.
    pub fn may_answer_for(&self, username: &Username) -> bool {
        self.login().is_none_or(|(admin, _)| admin.username.folded() == username.folded())
    }

    /// Passes who has no second factor, or showed it within the last 10
    /// minutes. A user of the host is not asked.
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

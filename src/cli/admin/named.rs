//! The admins as the server tells of them, and what verbs ask about one.

use serde::Deserialize;

use crate::cli::client::{Client, Shown, needed};
use crate::cli::error::CommandError;
use crate::cli::password::{self, Asked};
use crate::domain::Username;

/// Where the API has the admins.
pub(crate) const PATH: &str = "/api/admins";

/// An admin, as far as the verbs have a use for one.
#[derive(Deserialize)]
pub(crate) struct Named {
    #[serde(deserialize_with = "needed")]
    username: Shown,
}

/// Refuses a name that no admin has before anything is asked of a person.
///
/// # Errors
/// Where there is none, or the server does not say.
pub(crate) fn check_known(client: &Client, name: &str) -> Result<(), CommandError> {
    let folded = |name: &str| Some(name.parse::<Username>().ok()?.folded());
    let wanted = folded(name);
    let admins: Vec<Named> = client.get(PATH)?.read()?;
    if wanted.is_some() && admins.iter().any(|admin| folded(admin.username.as_sent()) == wanted) {
        return Ok(());
    }
    Err(CommandError::Failed("there is no admin of this name".to_owned()))
}

/// Asks for the password that an admin is to have.
///
/// # Errors
/// Where there is nobody to ask, or what is given cannot be one.
pub(crate) fn new_password(name: &str) -> Result<String, CommandError> {
    password::ask(&format!("New password of {name}: "), Asked::Twice).map_err(CommandError::Failed)
}

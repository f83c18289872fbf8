//! The first admin, whose password the server makes and hands over, and what
//! earlier versions left that must not stay.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;

use super::error::StartError;
use crate::api::App;
use crate::auth::initial_password::{self, FIRST_ADMIN};
use crate::auth::password::Passwords;
use crate::auth::random::{NoRandomness, random_bytes};
use crate::auth::token::fresh_epoch;
use crate::clock;
use crate::domain::{NewPassword, Username};
use crate::store::Store;
use crate::telemetry::Announcer;

/// Makes the first admin when there is none, and hands over its password: on
/// the terminal, where that is one for words, else in a file that only this
/// user can read. The file is written before the admin is, so that a crash
/// between leaves no admin whose password nobody knows. Tells whether it made
/// one.
///
/// # Errors
/// [`StartError`].
pub(super) async fn make_first_admin(
    store: &Store,
    passwords: &Passwords,
    data_dir: &Path,
    announcer: Announcer,
) -> Result<bool, StartError> {
    if store.has_admin().await? {
        return Ok(false);
    }
    let username: Username = FIRST_ADMIN.parse().map_err(|_| NoRandomness)?;
    let password = random_password()?;
    let hash = passwords.hash(password.clone()).await?;
    let terminal = io::stderr().is_terminal() && announcer == Announcer::Text;
    let path = initial_password::path(data_dir);
    if !terminal {
        initial_password::write(data_dir, &password)
            .map_err(|source| StartError::DataDir { path: path.clone(), source })?;
    }
    let epoch = fresh_epoch()?;
    let made = store.create_first_admin(username, hash, epoch, clock::now()).await?;
    if made {
        if terminal {
            show(&format!("first start: log in as {FIRST_ADMIN} with the password {}", password.expose()));
        } else {
            tracing::info!(
                username = FIRST_ADMIN,
                password_file = %path.display(),
                "first start: the password of the first admin is in this file, which goes when you change it"
            );
        }
    }
    Ok(made)
}

/// Warns while the password of the first start works, and removes its file
/// when it does not.
pub(super) async fn look_at_initial_password(app: Arc<App>) {
    let path = initial_password::path(&app.data_dir);
    let cannot = |error: &dyn std::fmt::Display| {
        tracing::warn!(%error, password_file = %path.display(), "cannot tell whether the initial password still works");
    };
    let password = match initial_password::read(&app.data_dir) {
        Ok(Some(password)) => password,
        Ok(None) => return,
        Err(error) => return cannot(&error),
    };
    let Ok(username) = FIRST_ADMIN.parse::<Username>() else {
        return;
    };
    let admin = match app.store.admin_named(username.clone()).await {
        Ok(admin) => admin,
        Err(error) => return cannot(&error),
    };
    match initial_password::opens(password, admin, &app.passwords).await {
        Ok(true) => tracing::warn!(
            username = FIRST_ADMIN,
            password_file = %path.display(),
            "the password of the first start still works and lies in this file: change it with \
             sitewarden admin passwd {FIRST_ADMIN}, which removes the file"
        ),
        Ok(false) => initial_password::forget(&app.data_dir, &username).await,
        Err(error) => cannot(&error),
    }
}

/// Draws epochs in place of those that version 0.1 counted. Its backups hold
/// them beside the key that signs, so who has one could make tokens for ever.
///
/// # Errors
/// [`StartError::Store`].
pub(super) async fn replace_counted_epochs(store: &Store) -> Result<(), StartError> {
    for admin in store.list_admins().await? {
        if admin.token_epoch.may_be_counted() {
            let epoch = fresh_epoch()?;
            store.renew_token_epoch(admin.id, admin.token_epoch, epoch).await?;
            tracing::info!(username = %admin.username, "ended the logins of earlier versions");
        }
    }
    Ok(())
}

/// Shows a secret to the person at the terminal; never goes through the log.
#[expect(clippy::print_stderr, reason = "a secret for the person who looks on, which must not be logged")]
fn show(line: &str) {
    eprintln!("{line}");
}

/// 24 characters of base64url: 144 random bits.
fn random_password() -> Result<NewPassword, NoRandomness> {
    use base64::Engine as _;
    let bits: [u8; 18] = random_bytes()?;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bits).parse().map_err(|_| NoRandomness)
}

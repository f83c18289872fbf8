//! `sitewarden admin otp …`: the second factor of an admin.

use std::io::{self, IsTerminal as _};

use clap::Subcommand;
use qrcodegen::{QrCode, QrCodeEcc};
use serde::Deserialize;
use serde_json::json;

use super::named::{PATH, check_known};
use crate::cli::client::{Client, Shown, Target, needed};
use crate::cli::error::CommandError;
use crate::cli::password;
use crate::cli::path::segment;
use crate::cli::screen::{Ended, print, print_json};

/// The second factor of an admin: codes of an authenticator app
#[derive(Debug, Subcommand)]
pub(crate) enum Otp {
    /// Show a secret for an authenticator app, confirm it with a code, and show
    /// the recovery codes
    Enroll {
        /// Name of the admin; over --url, the one who is logged in
        name: String,
    },
    /// Confirm the secret that was shown last with a code of the app, and show
    /// the recovery codes
    Confirm {
        /// Name of the admin
        name: String,
    },
    /// Take off the second factor of the admin who is logged in
    Disable {
        /// Name of the admin
        name: String,
    },
    /// Take off the second factor of an admin who has lost the device; on the
    /// server's host, whether it runs or not
    Reset {
        /// Name of the admin
        name: String,
    },
}

#[derive(Deserialize)]
struct Secret {
    #[serde(deserialize_with = "needed")]
    secret: Shown,
    #[serde(deserialize_with = "needed")]
    uri: Shown,
}

#[derive(Deserialize)]
struct Recovery {
    recovery_codes: Vec<Shown>,
}

impl Otp {
    pub(crate) fn run(&self, client: &Client, target: &Target) -> Result<Ended, CommandError> {
        match self {
            Self::Enroll { name } => enroll(client, target, name),
            Self::Confirm { name } => confirm(client, target, name),
            Self::Disable { name } => remove(client, target, name, "took off the second factor"),
            Self::Reset { name } => remove(client, target, name, "reset the second factor"),
        }
    }
}

fn enroll(client: &Client, target: &Target, name: &str) -> Result<Ended, CommandError> {
    check_known(client, name)?;
    let begun = client.post(&format!("{PATH}/{}/otp", segment(name)), None)?;
    let Secret { secret, uri } = begun.read()?;
    if target.json {
        return Ok(print_json(&begun.body));
    }
    let qr = QrCode::encode_text(uri.as_sent(), QrCodeEcc::Low);
    let qr = qr.map_err(|_| CommandError::Failed("the secret is too long for a QR code".to_owned()))?;
    print(&format!(
        "Scan this with an authenticator app, or type the secret into it:\n\n{}\nsecret: {secret}\n\n",
        blocks(&qr)
    ));
    if !io::stdin().is_terminal() {
        return Ok(print(&format!("then: sitewarden admin otp confirm {name}\n")));
    }
    confirm(client, target, name)
}

fn confirm(client: &Client, target: &Target, name: &str) -> Result<Ended, CommandError> {
    let code = password::ask_code("Code of the app: ").map_err(CommandError::Failed)?;
    let path = format!("{PATH}/{}/otp/confirm", segment(name));
    let answer = client.post(&path, Some(&json!({ "otp": code })))?;
    let Recovery { recovery_codes } = answer.read()?;
    if target.json {
        return Ok(print_json(&answer.body));
    }
    let codes: String = recovery_codes.iter().map(|code| format!("  {code}\n")).collect();
    Ok(print(&format!(
        "logins of {name} need a code from now on; the others that were open have ended\n\nRecovery codes, each \
         good for one login without the app. They are shown this once: keep them apart\nfrom the device.\n\n{codes}"
    )))
}

fn remove(client: &Client, target: &Target, name: &str, did: &str) -> Result<Ended, CommandError> {
    check_known(client, name)?;
    client.delete(&format!("{PATH}/{}/otp", segment(name)))?;
    let words = format!("{did} of {name}: logins need the password alone\n");
    Ok(target.tell(&json!({ "username": name, "second_factor": false }), &words))
}

/// The code for a terminal: two modules to a character, light ones as blocks,
/// since most terminals are dark.
fn blocks(code: &QrCode) -> String {
    const QUIET: i32 = 2;
    let light = |x: i32, y: i32| y >= code.size() + QUIET || !code.get_module(x, y);
    let mut text = String::new();
    for y in (-QUIET..code.size() + QUIET).step_by(2) {
        for x in -QUIET..code.size() + QUIET {
            let below = y + 1 < code.size() + QUIET && light(x, y + 1);
            text.push(match (light(x, y), below) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qr_code_is_drawn_two_modules_to_a_character_with_a_light_margin() {
        let code = QrCode::encode_text("otpauth://totp/x", QrCodeEcc::Low).unwrap();
        let text = blocks(&code);
        let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
        let width = usize::try_from(code.size()).unwrap() + 4;
        assert!(lines.iter().all(|line| line.len() == width), "{text}");
        assert_eq!(lines.len(), width.div_ceil(2));
        assert!(lines[0].iter().all(|block| *block == '█'), "{text}");
        for y in 0..code.size() {
            for x in 0..code.size() {
                let block = lines[usize::try_from((y + 2) / 2).unwrap()][usize::try_from(x + 2).unwrap()];
                let light = if (y + 2) % 2 == 0 { "█▀" } else { "█▄" }.contains(block);
                assert_eq!(light, !code.get_module(x, y), "{x} {y}");
            }
        }
    }
}

//! Passwords from a person or a pipe, never from the argument list, which
//! every user of the host can read.

use std::io::{self, BufRead, IsTerminal, Write as _};

use crate::domain::NewPassword;

/// How often a person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// To prove a password.
    Once,
    /// To set one: it must be typed the same again.
    Twice,
}

/// The password: prompted for without echo where stdin is a terminal, else
/// the next line of stdin.
///
/// # Errors
/// A reason for the user.
pub(super) fn ask(prompt: &str, asked: Asked) -> Result<String, String> {
    let unreadable = |error: io::Error| format!("cannot read the password: {error}");
    if !io::stdin().is_terminal() {
        let mut line = String::new();
        let length = io::stdin().lock().read_line(&mut line).map_err(unreadable)?;
        return match length {
            0 => Err("no password on standard input: give it as a line".to_owned()),
            _ => Ok(line.trim_end_matches(['\n', '\r']).to_owned()),
        };
    }
    let password = rpassword::prompt_password(prompt).map_err(unreadable)?;
    if asked == Asked::Twice
        && let Err(unfit) = password.parse::<NewPassword>()
    {
        return Err(format!("the password {unfit}; nothing was changed"));
    }
    if asked == Asked::Twice && rpassword::prompt_password("Again: ").map_err(unreadable)? != password {
        return Err("the two passwords differ; nothing was changed".to_owned());
    }
    Ok(password)
}

/// A code of a second factor: asked for in the open where stdin is a terminal,
/// since it is good once, else the next line of stdin.
///
/// # Errors
/// A reason for the user.
pub(super) fn ask_code(prompt: &str) -> Result<String, String> {
    let code = next_code(prompt)?;
    code.ok_or_else(|| "no code on standard input: give it as a line".to_owned())
}

/// As [`ask_code`], where there may be none: an empty line, or no more lines.
///
/// # Errors
/// A reason for the user.
pub(super) fn ask_code_if_any(prompt: &str) -> Result<Option<String>, String> {
    Ok(next_code(prompt)?.filter(|code| !code.trim().is_empty()))
}

fn next_code(prompt: &str) -> Result<Option<String>, String> {
    let unreadable = |error: io::Error| format!("cannot read the code: {error}");
    if io::stdin().is_terminal() {
        let mut stderr = io::stderr();
        stderr.write_all(prompt.as_bytes()).and_then(|()| stderr.flush()).map_err(unreadable)?;
    }
    let mut line = String::new();
    let length = io::stdin().lock().read_line(&mut line).map_err(unreadable)?;
    Ok((length > 0).then(|| line.trim_end_matches(['\n', '\r']).to_owned()))
}

//! What a command prints, what it asks, and how it ends.
//!
//! Results go to stdout, everything else to stderr.

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal, Write as _};
use std::process::ExitCode;

use serde_json::Value;

use super::printable;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// 0
    Done,
    /// 1: refused, or failed.
    Failed,
    /// 2: wrong usage.
    Misused,
    /// 3: the server cannot be reached, or cannot answer now.
    Unreachable,
    /// 10: a heartbeat learnt that the site is locked or not licensed.
    NotAllowed,
}

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> Self {
        Self::from(match ended {
            Ended::Done => 0,
            Ended::Failed => 1,
            Ended::Misused => 2,
            Ended::Unreachable => 3,
            Ended::NotAllowed => 10,
        })
    }
}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// Standard input is no terminal.
    #[error("this is no terminal, so the question cannot be asked: give --yes")]
    NobodyToAsk,
    /// The terminal cannot be read.
    #[error(transparent)]
    Unreadable(#[from] io::Error),
}

/// A result for people, on stdout, with nothing in it that a terminal obeys.
pub(super) fn print(text: &str) -> Ended {
    print_as_it_is(&printable::lines(text))
}

/// A result for programs, on stdout.
pub(super) fn print_json(document: &Value) -> Ended {
    print_as_it_is(&printable::json(document))
}

/// A result that is all our own, on stdout. A reader that went away ends the
/// command quietly.
pub(super) fn print_as_it_is(text: &str) -> Ended {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ended::Done,
        Err(_) => Ended::Failed,
    }
}

/// Why a command did not do its work, on stderr, in one line: parts of it may
/// be a server's.
#[expect(clippy::print_stderr, reason = "diagnostics of the command line")]
pub(super) fn complain(reason: impl Display) {
    eprintln!("sitewarden: {}", printable::line(&reason.to_string()));
}

/// Asks a person; only `y` or `yes` is a yes. Else it says that nothing was
/// changed.
///
/// # Errors
/// Where nobody can be asked.
#[expect(clippy::print_stderr, reason = "a question to the person at the terminal")]
pub(super) fn confirm(question: &str) -> Result<bool, Unanswered> {
    if !io::stdin().is_terminal() {
        return Err(Unanswered::NobodyToAsk);
    }
    eprint!("{} [y/N] ", printable::line(question));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    let is_yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if !is_yes {
        complain("nothing was changed");
    }
    Ok(is_yes)
}

//! How far long work has come, for a person at a terminal; nothing is shown
//! where standard error is none.

use std::io::{self, IsTerminal, Write as _};

/// Shows how far work on many things has come, on a line that is written over.
pub(super) fn show_bar(what: &str, done: usize, all: usize) {
    if io::stderr().is_terminal() {
        let filled = (24 * done).checked_div(all).unwrap_or(0);
        let bar = "#".repeat(filled) + &"-".repeat(24 - filled);
        let _ = write!(io::stderr(), "\r\x1b[K{what} [{bar}] {done}/{all}");
    }
}

/// Takes the line away.
pub(super) fn clear_bar() {
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
}

/// How much of a download has come.
#[derive(Default)]
pub(super) struct Download {
    done: u64,
    shown: Option<u64>,
}

impl Download {
    /// Counts what came, and shows whole percents where the length is known.
    #[expect(clippy::print_stderr, reason = "progress for the person at the terminal")]
    pub(super) fn add(&mut self, bytes: u64, whole: Option<u64>) {
        self.done += bytes;
        let percent = whole.filter(|&whole| whole > 0).map(|whole| self.done.saturating_mul(100) / whole);
        if percent != self.shown && io::stderr().is_terminal() {
            self.shown = percent;
            eprint!("\r{:>3} % of {} bytes", percent.unwrap_or(0), whole.unwrap_or(0));
        }
    }

    /// The bytes that came.
    pub(super) fn bytes(&self) -> u64 {
        self.done
    }

    /// Takes the line away.
    #[expect(clippy::print_stderr, reason = "progress for the person at the terminal")]
    pub(super) fn end(&self) {
        if self.shown.is_some() {
            eprint!("\r{:40}\r", "");
        }
    }
}

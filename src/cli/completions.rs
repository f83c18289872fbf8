//! `sitewarden completions SHELL`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Arguments, Ended, print};

/// Print completions for a shell.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// bash, zsh, fish, elvish or powershell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Ended {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "sitewarden", &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}

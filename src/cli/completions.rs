//! `sitewarden completions SHELL`

use clap::{Arg, Args, Command, ValueHint};
use clap_complete::Shell;

use super::screen::{Ended, print_as_it_is};

/// Print completions for a shell
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// bash, zsh, fish, elvish or powershell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self, program: Command) -> Ended {
        let mut script = Vec::new();
        let mut program = hinted(program);
        clap_complete::generate(self.shell, &mut program, "sitewarden", &mut script);
        print_as_it_is(&String::from_utf8_lossy(&script))
    }
}

/// Says of each value whether it is a file. Shells offer the names of files
/// for whatever they know nothing of.
fn hinted(command: Command) -> Command {
    let hinted_argument = |argument: Arg| {
        let name = argument.get_value_names().and_then(|names| names.first()).map(|name| name.as_str());
        let hint = match name {
            Some("FILE" | "FILE.csv" | "PATH") => ValueHint::FilePath,
            Some("DIR") => ValueHint::DirPath,
            _ => ValueHint::Other,
        };
        if argument.get_action().takes_values() { argument.value_hint(hint) } else { argument }
    };
    command.mut_args(hinted_argument).mut_subcommands(hinted)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::arguments::Arguments;

    /// What bash offers after a flag, as the script says it.
    fn offered(flag: &str) -> Vec<String> {
        let mut script = Vec::new();
        clap_complete::generate(Shell::Bash, &mut hinted(Arguments::command()), "sitewarden", &mut script);
        let script = String::from_utf8(script).unwrap();
        let mut lines = script.lines();
        let mut offered = Vec::new();
        while lines.any(|line| line.trim() == format!("{flag})")) {
            let reply = lines.find(|line| line.trim().starts_with("COMPREPLY=")).unwrap();
            offered.push(reply.trim().to_owned());
        }
        offered.sort();
        offered.dedup();
        offered
    }

    #[test]
    fn values_are_offered_where_they_are_known_and_files_where_a_file_is_meant() {
        let values = |words: &str| [format!("COMPREPLY=($(compgen -W \"{words}\" -- \"${{cur}}\"))")];
        assert_eq!(offered("--status"), values("inactive locked expired never_seen silent online"));
        assert_eq!(offered("--tls-mode"), values("self-signed files acme off"));
        assert_eq!(offered("--log-level"), values("error warn info debug trace"));
        assert_eq!(offered("--log-format"), values("auto text json"));
        let files = ["COMPREPLY=($(compgen -f \"${cur}\"))"];
        assert_eq!(
            (offered("--cacert"), offered("--socket")),
            (files.map(Into::into).into(), files.map(Into::into).into())
        );
        let nothing = ["COMPREPLY=(\"${cur}\")"];
        assert_eq!(
            (offered("--reason"), offered("--url")),
            (nothing.map(Into::into).into(), nothing.map(Into::into).into())
        );
    }
}

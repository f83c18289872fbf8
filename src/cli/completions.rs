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
        print_as_it_is(&with_sites(self.shell, &String::from_utf8_lossy(&script)))
    }
}

/// The script, which asks the running server for sites where one is meant.
/// clap_complete can ask a program for values too, but calls that unstable and
/// may change it in any release (4.6); what is put in here are the names of its
/// functions for users, whom no command of ours takes.
fn with_sites(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => format!("{script}\n{BASH}"),
        Shell::Zsh => {
            let words = "_sitewarden() {\n    local -a sitewarden_words=(\"${words[@]:0:$CURRENT}\")\n";
            let script =
                script.replacen("_sitewarden() {\n", words, 1).replace("_users", "_sitewarden_sites");
            match script.split_once('\n') {
                Some((first, rest)) => format!("{first}\n{ZSH}{rest}"),
                None => script,
            }
        }
        Shell::Fish => format!("{}\n{FISH}", script.replace("__fish_complete_users", "__sitewarden_sites")),
        _ => script.to_owned(),
    }
}

/// A word that is not begun in quotes is quoted as a whole.
const BASH: &str = r#"_sitewarden_or_sites() {
    local line quoted
    local -a found
    mapfile -t found < <(command sitewarden complete-site -- "${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)
    if [[ ${#found[@]} -eq 0 ]]; then
        _sitewarden "$@"
        return
    fi
    COMPREPLY=()
    for line in "${found[@]}"; do
        line=${line%%$'\t'*}
        case ${COMP_WORDS[COMP_CWORD]} in
            [\"\']*) COMPREPLY+=("$line") ;;
            *) printf -v quoted %q "$line"; COMPREPLY+=("$quoted") ;;
        esac
    done
}
complete -o bashdefault -o default -F _sitewarden_or_sites sitewarden
"#;

const ZSH: &str = r#"
_sitewarden_sites() {
    local line
    local -a found names descriptions
    found=("${(@f)$(command sitewarden complete-site -- "${sitewarden_words[@]}" 2>/dev/null)}")
    for line in "${found[@]}"; do
        [[ -n $line ]] || continue
        names+=("${line%%$'\t'*}")
        descriptions+=("${line/$'\t'/  -- }")
    done
    (( $#names )) && compadd -l -d descriptions -a names
}
"#;

const FISH: &str = r#"function __sitewarden_sites
    command sitewarden complete-site -- (commandline -opc) (commandline -ct) 2>/dev/null
end
complete -c sitewarden -n "__fish_seen_subcommand_from site" -f -k -a "(__sitewarden_sites)"
"#;

/// Says of each value whether it is a file. Shells offer the names of files
/// for whatever they know nothing of.
fn hinted(command: Command) -> Command {
    let hinted_argument = |argument: Arg| {
        let name = argument.get_value_names().and_then(|names| names.first()).map(|name| name.as_str());
        let hint = match name {
            Some("FILE" | "FILE.csv" | "PATH") => ValueHint::FilePath,
            Some("DIR") => ValueHint::DirPath,
            // As which the scripts know no sites: they are put in their place.
            Some("SITE") => ValueHint::Username,
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

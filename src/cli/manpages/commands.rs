//! A page for each command.
//!
//! Names, options and subcommands come from the command line's own
//! definition; what that does not know (exit codes, variables, files) is here,
//! for all commands in one place.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::sections::{SOURCE, section};
use super::settings;

use crate::cli::environment::{CACERT_VARIABLE, TOKEN_VARIABLE, URL_VARIABLE};
use crate::cli::host::{PACKAGED_CONFIG, PACKAGED_SOCKET};
use crate::cli::screen::{Ended, complain};

/// Writes a page for each command that is not hidden, and that of the
/// configuration file.
pub(crate) fn run(program: Command, directory: &Path) -> Ended {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let written = write_all(&program, directory).and_then(|()| {
        let mut page = File::create(directory.join(settings::FILE_NAME))?;
        settings::page().to_writer(&mut page)
    });
    match written {
        Ok(()) => Ended::Done,
        Err(error) => {
            complain(format!("cannot write the man pages to {}: {error}", directory.display()));
            Ended::Failed
        }
    }
}

fn write_all(command: &Command, directory: &Path) -> io::Result<()> {
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        write_all(command, directory)?;
    }
    let man = Man::new(command.clone()).source(SOURCE);
    let mut page = File::create(directory.join(man.get_filename()))?;
    write(command, &man, &mut page)
}

fn write(command: &Command, man: &Man, page: &mut impl Write) -> io::Result<()> {
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(page)?;
    }
    if command.get_subcommands().any(|command| !command.is_hide_set()) {
        man.render_subcommands_section(page)?;
    }
    more(command).to_writer(page)
}

/// What the definition of the command line does not know.
fn more(command: &Command) -> Roff {
    let mut roff = Roff::new();
    section(&mut roff, "EXIT STATUS", &exit_status(command));
    section(&mut roff, "ENVIRONMENT", &environment(command));
    section(&mut roff, "FILES", &files(command));
    roff.control("SH", ["SEE ALSO"]);
    let mut also = vec![bold("sitewarden.toml"), roman("(5)")];
    if command.get_name() != "sitewarden" {
        also.splice(0..0, [bold("sitewarden"), roman("(1), ")]);
    }
    roff.text(also);
    roff
}

fn has(command: &Command, argument: &str) -> bool {
    command.get_arguments().any(|known| known.get_id() == argument)
}

fn exit_status(command: &Command) -> Vec<(&'static str, &'static str)> {
    if command.get_name() == "heartbeat" {
        return vec![
            ("0", "The site is licensed and not locked."),
            ("1", "The server refused the heartbeat, or what answered is no sitewarden."),
            ("2", "Wrong usage."),
            ("3", "No answer, or none that the server can give now: keep to the last verdict."),
            ("10", "The site is locked or not licensed."),
        ];
    }
    let mut codes =
        vec![("0", "Done."), ("1", "Refused, or failed; standard error says why."), ("2", "Wrong usage.")];
    if has(command, "url") || command.get_name() == "sitewarden" {
        codes.push(("3", "The server cannot be reached, or cannot answer now."));
    }
    if command.get_name() == "sitewarden" {
        codes.push(("10", "With heartbeat only: the site is locked or not licensed."));
    }
    codes
}

fn environment(command: &Command) -> Vec<(&'static str, &'static str)> {
    let all = command.get_name() == "sitewarden";
    let heartbeat = command.get_name() == "heartbeat";
    let mut variables = Vec::new();
    if all || has(command, "url") {
        variables.push((
            URL_VARIABLE,
            "The server to talk to, where --url does not name one. Left alone where --socket, --config or \
             --data-dir names the server on this host.",
        ));
        variables.push((CACERT_VARIABLE, "Certificates to trust, where --cacert does not name any."));
    }
    if all || has(command, "token") {
        variables
            .push((TOKEN_VARIABLE, "An access token for that server, or a token for programs (sitewarden-token(1)), where --token does not \
                           name a file."));
        variables.push(("XDG_CONFIG_HOME, HOME", "Where sitewarden login keeps its tokens."));
    }
    if all || heartbeat {
        variables.push(("SITEWARDEN_SITE_ID, SITEWARDEN_SITE_KEY", "For heartbeat: the site's id and key."));
    }
    if all || has(command, "config") {
        variables.push((
            "SITEWARDEN_*",
            "Settings, over those of the configuration file: see sitewarden.toml(5).",
        ));
    }
    if all || command.get_name() == "serve" {
        variables.push((
            "CREDENTIALS_DIRECTORY",
            "Set by systemd: the file signing-key in it holds the key that signs logins.",
        ));
    }
    variables
}

fn files(command: &Command) -> Vec<(&'static str, &'static str)> {
    let all = command.get_name() == "sitewarden";
    let mut files = Vec::new();
    if all || has(command, "config") {
        files.push((
            PACKAGED_CONFIG,
            "The package's configuration, which commands on the server's host read.",
        ));
    }
    if all || has(command, "socket") {
        files.push((PACKAGED_SOCKET, "The control socket of the package's server."));
        files.push((
            "./data/control.sock",
            "That of a server started by hand in this directory. It is used where root or you serve there; one of \
             another user has to be named with --socket.",
        ));
    }
    if all || has(command, "token") {
        files.push((
            "~/.config/sitewarden/logins.json",
            "The tokens of sitewarden login, readable by you alone.",
        ));
    }
    if all || has(command, "data_dir") {
        files.push((
            "/var/lib/sitewarden/sitewarden.redb",
            "The package's database. Not to be copied while the server runs.",
        ));
        files.push(("/var/lib/sitewarden/backup/sitewarden.redb", "A copy of it that may be, at any time."));
    }
    files
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::arguments::Arguments;

    fn page(path: &[&str]) -> String {
        let mut program = Arguments::command().disable_help_subcommand(true);
        program.build();
        let command = path.iter().fold(&program, |command, name| command.find_subcommand(name).unwrap());
        let mut bytes = Vec::new();
        write(command, &Man::new(command.clone()).source(SOURCE), &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn each_page_tells_exit_codes_and_of_variables_and_files_those_that_matter() {
        let head = |text: &str| format!("\n.SH {text}\n");
        for path in [&["site", "add"][..], &["admin", "passwd"], &["backup"], &[]] {
            let page = page(path);
            for title in ["\"EXIT STATUS\"", "ENVIRONMENT", "FILES", "\"SEE ALSO\""] {
                assert!(page.contains(&head(title)), "{title}: {page}");
            }
            assert!(
                page.contains("SITEWARDEN_URL") && page.contains("/run/sitewarden/control.sock"),
                "{page}"
            );
        }
        let check = page(&["check"]);
        assert!(check.contains(&head("\"EXIT STATUS\"")) && !check.contains(&head("ENVIRONMENT")), "{check}");
        assert!(page(&["heartbeat"]).contains("SITEWARDEN_SITE_KEY"));
        assert!(page(&["serve"]).contains("CREDENTIALS_DIRECTORY"));
    }
}

//! A terminal of its own, with a person at it, for one command.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::server::{PATIENCE, sitewarden, until};

/// What the person does at a prompt.
#[derive(Clone, Copy)]
pub(crate) enum Typed {
    /// Answers a question, and sees the answer.
    Answer(&'static str),
    /// Types a password, which must not be seen.
    Password(&'static str),
}

/// Runs a command in `directory` at a terminal of so many columns. Each text
/// of `person` is waited for, then answered. Gives what was to be seen, and
/// the exit code.
pub(crate) fn at_terminal(
    directory: &Path,
    columns: u16,
    arguments: &[&str],
    person: &[(&str, Typed)],
) -> (String, Option<i32>) {
    at_terminal_with(directory, columns, &[("TERM", "xterm")], arguments, person)
}

/// The same with these variables and none but `HOME` beside them.
pub(crate) fn at_terminal_with(
    directory: &Path,
    columns: u16,
    variables: &[(&str, &str)],
    arguments: &[&str],
    person: &[(&str, Typed)],
) -> (String, Option<i32>) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&master, size).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let line = File::options().read(true).write(true).open(name).unwrap();
    let end = || Stdio::from(OwnedFd::from(line.try_clone().unwrap()));
    // Passwords are asked for on /dev/tty, which the command has in a session
    // of its own.
    let usual = sitewarden(arguments);
    let mut command = Command::new("/usr/bin/setsid");
    command.args(["--ctty", "--wait"]).arg(usual.get_program()).args(usual.get_args());
    command.env_clear().envs(variables.iter().copied()).env("HOME", directory).current_dir(directory);
    let mut child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    drop((command, line));

    let mut terminal = File::from(master);
    let (seen, screen) = channel();
    let mut reader = terminal.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        // Reading fails when the last user of the terminal is gone.
        while let Ok(length @ 1..) = reader.read(&mut bytes) {
            let _ = seen.send(bytes[..length].to_vec());
        }
    });
    let (mut text, mut answered) = (Vec::new(), 0);
    let mut person = person.iter();
    let mut next = person.next();
    while let Ok(bytes) = screen.recv_timeout(PATIENCE) {
        text.extend(bytes);
        while let Some((prompt, typed)) = next {
            let so_far = String::from_utf8_lossy(&text[answered..]).into_owned();
            if !so_far.contains(prompt) {
                break;
            }
            answered = text.len();
            let line = match typed {
                Typed::Answer(line) => line,
                Typed::Password(line) => {
                    wait_for_hiding(&terminal);
                    line
                }
            };
            terminal.write_all(format!("{line}\n").as_bytes()).unwrap();
            next = person.next();
        }
    }
    let _ = child.kill();
    let status = child.wait().unwrap();
    let text = String::from_utf8(text).unwrap().replace("\r\n", "\n");
    assert!(next.is_none(), "a prompt did not come:\n{text}");
    (text, status.code())
}

fn wait_for_hiding(terminal: &File) {
    until("the password is not seen", || {
        !tcgetattr(terminal).unwrap().local_modes.contains(LocalModes::ECHO)
    });
}

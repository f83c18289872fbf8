//! What a person at a terminal would have seen: commands, what they printed
//! and how they ended, held against a committed transcript.
//!
//! Ids, keys and times are numbered or named, since they are others in every
//! run. `SITEWARDEN_WRITE_TRANSCRIPTS=1 cargo test` writes the files again:
//! read their diffs.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::server::{program_for_anybody, sitewarden};
use crate::terminal::{Typed, at_terminal};

pub(crate) struct Transcript {
    name: &'static str,
    directory: PathBuf,
    text: String,
    /// The program, and the user who runs it, where it is another one.
    other_user: Option<(PathBuf, u32)>,
}

impl Transcript {
    /// Commands run in `directory`.
    pub(crate) fn new(name: &'static str, directory: &Path) -> Self {
        Self { name, directory: directory.to_owned(), text: String::new(), other_user: None }
    }

    /// Runs what follows as the user with this number.
    pub(crate) fn as_user(&mut self, uid: u32) {
        self.other_user = Some((program_for_anybody(&self.directory), uid));
    }

    /// What was seen so far.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Runs a command and gives its stdout.
    pub(crate) fn run(&mut self, arguments: &[&str]) -> String {
        self.run_with(arguments, "", |_| {})
    }

    /// Runs a command with this standard input, set up further by `with`.
    pub(crate) fn run_with(
        &mut self,
        arguments: &[&str],
        stdin: &str,
        with: impl FnOnce(&mut Command),
    ) -> String {
        let usual = sitewarden(arguments);
        let mut command = match &self.other_user {
            None => usual,
            Some((program, uid)) => {
                let mut command = Command::new(program);
                command.args(arguments).env_clear().uid(*uid).gid(*uid);
                command
            }
        };
        command.current_dir(&self.directory).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        with(&mut command);
        let mut child = command.spawn().unwrap();
        // A command that reads nothing may be gone already.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        let shown: Vec<String> = arguments.iter().map(|argument| quoted(argument)).collect();
        self.text += &format!("$ sitewarden {}\n{stdout}", shown.join(" "));
        for line in stderr.lines() {
            self.text += &format!("! {line}\n");
        }
        self.text += &format!("[exit {}]\n\n", output.status.code().unwrap());
        stdout
    }

    /// Runs a command of which only the first lines are shown.
    pub(crate) fn run_head(&mut self, arguments: &[&str], lines: usize) {
        let start = self.text.len();
        let stdout = self.run(arguments);
        let shown: String = stdout.split_inclusive('\n').take(lines).collect();
        let run = self.text.split_off(start);
        self.text += &run.replace(&stdout, &format!("{shown}(and so on)\n"));
    }

    /// Runs a command at a terminal of so many columns.
    pub(crate) fn run_at_terminal(&mut self, columns: u16, arguments: &[&str], person: &[(&str, Typed)]) {
        let (seen, code) = at_terminal(&self.directory, columns, arguments, person);
        let shown: Vec<String> = arguments.iter().map(|argument| quoted(argument)).collect();
        // A line that is written over is shown as the lines that were seen.
        let seen = seen.replace("\r\x1b[K", "<line anew>");
        let end = if seen.ends_with('\n') { "" } else { "\n" };
        let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        self.text += &format!(
            "(at a terminal of {columns} columns)\n$ sitewarden {}\n{seen}{end}[exit {code}]\n\n",
            shown.join(" ")
        );
    }

    /// Shows a file, with its mode.
    pub(crate) fn show(&mut self, path: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let full = self.directory.join(path);
        let mode = full.metadata().unwrap().permissions().mode() & 0o777;
        self.text += &format!("({path}, {mode:o})\n{}\n", std::fs::read_to_string(full).unwrap());
    }

    /// Shows the mode of a file or directory.
    pub(crate) fn show_mode(&mut self, path: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = self.directory.join(path).metadata().unwrap().permissions().mode() & 0o777;
        self.text += &format!("({path}, {mode:o})\n\n");
    }

    /// What stands between two texts, where they stand last.
    pub(crate) fn between(&self, start: &str, end: &str) -> String {
        let (_, rest) = self.text.rsplit_once(start).unwrap();
        rest.split_once(end).unwrap().0.to_owned()
    }

    /// Holds it against the committed one. `names` are replaced in it.
    pub(crate) fn check(self, names: &[(&str, &str)]) {
        let mut text = self.text.replace(&self.directory.display().to_string(), "DIR");
        for (name, placeholder) in names {
            text = text.replace(name, placeholder);
        }
        let text = normalised(&text);
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/black_box/transcripts")
            .join(format!("{}.txt", self.name));
        if std::env::var_os("SITEWARDEN_WRITE_TRANSCRIPTS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            return;
        }
        let committed = std::fs::read_to_string(&path).unwrap();
        assert!(text == committed, "{} has changed; now it is:\n{text}", path.display());
    }
}

fn quoted(argument: &str) -> String {
    if argument.contains([' ', '#']) { format!("'{argument}'") } else { argument.to_owned() }
}

/// Names ids and keys by their order, and the times of this century's first
/// nine decades: later ones are those that tests give.
fn normalised(text: &str) -> String {
    let (mut ids, mut keys) = (Vec::new(), Vec::new());
    let mut normal = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (replaced, length) = if let Some(id) = rest.get(..36).filter(|text| is_uuid(text)) {
            (format!("<site {}>", number(&mut ids, id)), 36)
        } else if let Some(key) = rest.get(..47).filter(|text| text.starts_with("swk_")) {
            (format!("<key {}>", number(&mut keys, key)), 47)
        } else if rest.get(..42).is_some_and(is_token) {
            ("<token>".to_owned(), 42)
        } else if rest.get(..20).is_some_and(is_recent_time) {
            ("<time>".to_owned(), 20)
        } else {
            (first.to_string(), first.len_utf8())
        };
        normal += &replaced;
        rest = &rest[length..];
    }
    normal
}

fn number<'a>(known: &mut Vec<&'a str>, text: &'a str) -> usize {
    known.iter().position(|known| *known == text).map_or_else(
        || {
            known.push(text);
            known.len()
        },
        |place| place + 1,
    )
}

fn like(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(byte, kind)| match kind {
            b'x' => byte.is_ascii_hexdigit(),
            b'9' => byte.is_ascii_digit(),
            _ => byte == kind,
        })
}

fn is_token(text: &str) -> bool {
    text.starts_with("swt_") && text[4..].bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_uuid(text: &str) -> bool {
    like(text, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") && !text.starts_with("00000000")
}

fn is_recent_time(text: &str) -> bool {
    // Those of examples are no times of this run.
    like(text, "9999-99-99T99:99:99Z")
        && !text.starts_with("2030")
        && !text.starts_with("209")
        && !text.starts_with("21")
}

//! Backups, checks and restores as an operator makes them: with the binary.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is the failure")]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_sitewarden");

/// A server on a data directory; killed when dropped.
struct Server {
    process: Child,
    data: PathBuf,
}

impl Server {
    fn start(data: &Path) -> Self {
        let mut process = Command::new(BINARY)
            .args(["serve", "--tls-mode", "off", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        assert!(lines.map(Result::unwrap).any(|line| line.contains("\"listening on\"")));
        Self { process, data: data.to_owned() }
    }

    fn socket(&self) -> PathBuf {
        self.data.join("control.sock")
    }

    /// Runs a command against this server.
    fn command(&self, arguments: &[&str]) -> Output {
        sitewarden(arguments, &["--socket", self.socket().to_str().unwrap()])
    }

    fn stop(mut self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").arg(&id).status().unwrap().success());
        assert!(self.process.wait().unwrap().success());
    }

    /// Head and body of the answer to a GET on the control socket.
    fn get(&self, path: &str) -> (String, Vec<u8>) {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
        (head, answer[end + 4..].to_vec())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn sitewarden(arguments: &[&str], more: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).args(more).env_remove("SITEWARDEN_DATA_DIR").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn add_site(server: &Server, name: &str) {
    let added = server.command(&[
        "site",
        "add",
        "--name",
        name,
        "--email",
        "a@example.com",
        "--expires",
        "2040-01-01T00:00:00Z",
    ]);
    assert!(added.status.success(), "{}", said(&added));
}

fn sites_in(file: &Path) -> u64 {
    let checked = sitewarden(&["check", "--json"], &[file.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", said(&checked));
    let report: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(report["good"], true);
    report["counts"]["sites"].as_u64().unwrap()
}

#[test]
fn a_backup_of_the_running_server_is_checked_restored_and_served() {
    let directory = tempfile::tempdir().unwrap();
    let (data, file) = (directory.path().join("data"), directory.path().join("backup.redb"));
    let file_name = file.to_str().unwrap();
    let data_name = data.to_str().unwrap();
    let server = Server::start(&data);
    add_site(&server, "One");

    let made = server.command(&["backup", file_name]);
    assert!(made.status.success() && said(&made).contains(" 1 sites, checked"), "{}", said(&made));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(sites_in(&file), 1);
    let refused = server.command(&["backup", file_name]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("give --force"), "{}", said(&refused));
    add_site(&server, "Two");
    assert!(server.command(&["backup", "--force", file_name]).status.success());
    assert_eq!(sites_in(&file), 2);
    add_site(&server, "Three");

    // While the server runs its file is neither checked nor replaced.
    let database = data.join("sitewarden.redb");
    let in_use = sitewarden(&["check", database.to_str().unwrap()], &[]);
    assert!(in_use.status.code() == Some(1) && said(&in_use).contains("in use"), "{}", said(&in_use));
    let restore = ["restore", file_name, "--yes", "--data-dir", data_name];
    let running = sitewarden(&restore, &[]);
    assert!(
        running.status.code() == Some(1) && said(&running).contains("stop it first"),
        "{}",
        said(&running)
    );
    server.stop();
    assert_eq!(sites_in(&database), 3);
    assert_eq!(sites_in(&data.join("backup/sitewarden.redb")), 3);

    // Nobody is there to ask.
    let unasked = sitewarden(&["restore", file_name, "--data-dir", data_name], &[]);
    assert!(unasked.status.code() == Some(1) && said(&unasked).contains("--yes"), "{}", said(&unasked));
    // The backup beside what is there, which has one site more.
    let sites: Vec<_> = said(&unasked)
        .lines()
        .find(|line| line.starts_with("sites "))
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .unwrap_or_default();
    assert_eq!(sites, ["sites", "2", "3"], "{}", said(&unasked));
    assert_eq!(sites_in(&database), 3);
    let restored = sitewarden(&restore, &[]);
    assert!(restored.status.success() && said(&restored).contains("before-restore-"), "{}", said(&restored));
    assert_eq!(sites_in(&database), 2);
    let server = Server::start(&data);
    add_site(&server, "Three again");
    server.stop();

    // With the server down the file itself is copied.
    let down = sitewarden(
        &["backup", "--force", file_name, "--data-dir", data_name],
        &["--socket", data.join("control.sock").to_str().unwrap()],
    );
    assert!(down.status.success(), "{}", said(&down));
    assert_eq!(sites_in(&file), 3);
}

#[test]
fn a_backup_over_the_api_is_a_whole_file_with_a_dated_name() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("data"));
    add_site(&server, "One");
    let (head, body) = server.get("/api/backup");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-type: application/octet-stream"), "{head}");
    assert!(head.contains("content-disposition: attachment; filename=\"sitewarden-2"), "{head}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    let file = directory.path().join("backup.redb");
    std::fs::write(&file, body).unwrap();
    assert_eq!(sites_in(&file), 1);
}

#[test]
fn a_sysadmin_is_told_of_the_backups_by_health() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("data"));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let (_, body) = server.get("/health");
        let health: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(health["status"], "ok");
        assert!(health["backup"]["last_error"].is_null() && health["backup"].is_object(), "{health}");
        if health["backup"]["last_success_at"].is_string() {
            assert!(health["backup"]["age_seconds"].is_u64());
            break;
        }
        assert!(std::time::Instant::now() < deadline, "no backup was made");
    }
}

#[test]
fn check_refuses_what_is_no_database_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("x.redb");
    std::fs::write(&file, "no database at all").unwrap();
    let refused = sitewarden(&["check", "--json", file.to_str().unwrap()], &[]);
    assert_eq!(refused.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(report["good"], false);
    let missing = sitewarden(&["check", "/nonexistent/x.redb"], &[]);
    assert!(missing.status.code() == Some(1) && said(&missing).contains("cannot read /nonexistent/x.redb"));
}

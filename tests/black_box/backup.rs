//! Backups, checks and restores, over the wire and as an operator makes them.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::server::{PATIENCE, Server, Setup, run_to_end, sitewarden, until};

/// Runs a command against this server.
fn on(server: &Server, arguments: &[&str]) -> Output {
    run(arguments, &["--socket", server.data_dir().join("control.sock").to_str().unwrap()])
}

fn run(arguments: &[&str], more: &[&str]) -> Output {
    run_to_end(sitewarden(&[arguments, more].concat()))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn add_site(server: &Server, name: &str) {
    let site = ["--name", name, "--email", "a@example.com", "--expires", "2040-01-01T00:00:00Z"];
    let added = on(server, &[&["site", "add"], &site[..]].concat());
    assert!(added.status.success(), "{}", said(&added));
}

fn sites_in(file: &Path) -> u64 {
    let checked = run(&["check", "--json"], &[file.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", said(&checked));
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(report["good"], true);
    report["counts"]["sites"].as_u64().unwrap()
}

/// Head, in lower case, and body of the answer to a GET on the control socket.
fn on_the_host(server: &Server, path: &str) -> (String, Vec<u8>) {
    let mut socket = server.control_socket();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    (String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase(), answer[end + 4..].to_vec())
}

#[test]
fn a_backup_is_one_file_that_check_finds_good_and_only_an_admin_gets_it() {
    let server = Server::start();
    for path in ["/api/backup", "/api/backup/"] {
        let stranger = server.get(path).send();
        stranger.assert_problem(401);
    }
    let token = server.login();
    let site = server.register(&token);
    let with_its_key = server.get("/api/backup").bearer(site["secret_key"].as_str().unwrap()).send();
    with_its_key.assert_problem(401);
    let backup = server.get("/api/backup").bearer(&token).send();
    assert_eq!((backup.status, backup.header("Content-Type")), (200, "application/octet-stream"));
    assert_eq!(backup.header("Content-Length"), backup.body.len().to_string());
    assert_eq!(backup.header("Cache-Control"), "no-store");
    let name = backup.header("Content-Disposition");
    assert!(name.starts_with("attachment; filename=\"sitewarden-") && name.ends_with("Z.redb\""), "{name}");

    let file = server.data_dir().join("downloaded.redb");
    std::fs::write(&file, &backup.body).unwrap();
    assert_eq!(sites_in(&file), 1);
    let left: Vec<_> = std::fs::read_dir(server.data_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".part"))
        .collect();
    assert!(left.is_empty(), "{left:?}");

    // To who asks on the host, too.
    let (head, body) = on_the_host(&server, "/api/backup");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-type: application/octet-stream"), "{head}");
    assert!(head.contains("content-disposition: attachment; filename=\"sitewarden-2"), "{head}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    std::fs::write(&file, body).unwrap();
    assert_eq!(sites_in(&file), 1);
}

#[test]
fn a_backup_of_the_running_server_is_checked_restored_and_served() {
    let setup = Setup::new();
    let (data, file) = (setup.data_dir(), setup.directory().join("backup.redb"));
    let (data_name, file_name) = (data.to_str().unwrap(), file.to_str().unwrap());
    let server = setup.start();
    add_site(&server, "One");

    let made = on(&server, &["backup", file_name]);
    assert!(made.status.success() && said(&made).contains(" 1 sites, checked"), "{}", said(&made));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(sites_in(&file), 1);
    let refused = on(&server, &["backup", file_name]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("give --force"), "{}", said(&refused));
    add_site(&server, "Two");
    assert!(on(&server, &["backup", "--force", file_name]).status.success());
    assert_eq!(sites_in(&file), 2);
    add_site(&server, "Three");

    // While the server runs its file is neither checked nor replaced.
    let database = data.join("sitewarden.redb");
    let in_use = run(&["check", database.to_str().unwrap()], &[]);
    assert!(in_use.status.code() == Some(1) && said(&in_use).contains("in use"), "{}", said(&in_use));
    let restore = ["restore", file_name, "--yes", "--data-dir", data_name];
    let running = run(&restore, &[]);
    assert!(
        running.status.code() == Some(1) && said(&running).contains("stop it first"),
        "{}",
        said(&running)
    );
    let setup = server.stop_for_another_start();
    assert_eq!(sites_in(&database), 3);
    assert_eq!(sites_in(&data.join("backup/sitewarden.redb")), 3);

    // Nobody is there to ask.
    let unasked = run(&["restore", file_name, "--data-dir", data_name], &[]);
    assert!(unasked.status.code() == Some(1) && said(&unasked).contains("--yes"), "{}", said(&unasked));
    // The backup beside what is there, which has one site more.
    let sites: Vec<_> = said(&unasked)
        .lines()
        .find(|line| line.starts_with("sites "))
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .unwrap_or_default();
    assert_eq!(sites, ["sites", "2", "3"], "{}", said(&unasked));
    assert_eq!(sites_in(&database), 3);
    let restored = run(&restore, &[]);
    assert!(restored.status.success() && said(&restored).contains("before-restore-"), "{}", said(&restored));
    assert_eq!(sites_in(&database), 2);
    let server = setup.start();
    add_site(&server, "Three again");
    let _setup = server.stop_for_another_start();

    // With the server down the file itself is copied.
    let down = run(
        &["backup", "--force", file_name, "--data-dir", data_name],
        &["--socket", data.join("control.sock").to_str().unwrap()],
    );
    assert!(down.status.success(), "{}", said(&down));
    assert_eq!(sites_in(&file), 3);
}

#[test]
fn a_sysadmin_is_told_of_the_backups_by_health() {
    let server = Server::start();
    let mut health = Value::Null;
    until("a backup is made", || {
        health = serde_json::from_slice(&on_the_host(&server, "/health").1).unwrap();
        assert_eq!(health["status"], "ok");
        assert!(health["backup"]["last_error"].is_null() && health["backup"].is_object(), "{health}");
        health["backup"]["last_success_at"].is_string()
    });
    assert!(health["backup"]["age_seconds"].is_u64(), "{health}");
}

#[test]
fn check_refuses_what_is_no_database_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("x.redb");
    std::fs::write(&file, "no database at all").unwrap();
    let refused = run(&["check", "--json", file.to_str().unwrap()], &[]);
    assert_eq!(refused.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(report["good"], false);
    let missing = run(&["check", "/nonexistent/x.redb"], &[]);
    assert!(missing.status.code() == Some(1) && said(&missing).contains("cannot read /nonexistent/x.redb"));
}

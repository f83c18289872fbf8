//! What answers and is no sitewarden: a captive portal, a proxy's page, another
//! service. No command takes it for one.

use std::io::Write as _;
use std::process::{Output, Stdio};

use serde_json::json;

use super::{MISSING, serving};
use crate::server::sitewarden;

const MARKED: &str = "Content-Type: application/json\r\nX-Request-Id: 1\r\n";

/// Every command that asks a server for something, and the answers that a
/// sitewarden would give before the one that counts.
fn commands() -> Vec<Vec<&'static str>> {
    let mut commands: Vec<Vec<&'static str>> = [
        "healthcheck",
        "login",
        "heartbeat",
        "audit",
        "audit --json",
        "backup -",
        "backup one.redb",
        "tls status",
        "tls status --json",
        "tls renew",
        "admin list",
        "admin list --json",
        "admin create anna",
        "admin passwd anna",
        "admin delete anna --yes",
        "admin rotate-signing-key",
        "site list",
        "site list --json",
        "site export",
        "site export --json",
        "site extend --days 1 --status expired --yes",
        "site rm --q x --yes",
        "site show Bar",
        "site show #1",
        "site history #1",
        "statistics",
        "statistics --json",
        "audit --site Bar",
        "site import sites.csv",
        "site import sites.csv --apply --allow-duplicates",
    ]
    .map(|line| line.split(' ').collect())
    .into();
    for verb in [
        "show",
        "history",
        "lock --reason unpaid",
        "unlock",
        "update --owner x",
        "rotate-key",
        "rm",
        "rm --yes",
    ] {
        let mut words = vec!["site"];
        words.extend(verb.split(' '));
        words.insert(2, MISSING);
        commands.push(words);
    }
    let add = ["site", "add", "--name", "x", "--email", "x", "--expires", "2099-12-31T00:00:00Z"];
    commands.push(add.to_vec());
    commands
}

/// What a command makes of this one answer.
fn told(arguments: &[&str], (status, head, body): (u16, &str, &str)) -> Output {
    let (url, server) = serving(vec![(status, head.to_owned(), body.to_owned())]);
    let directory = tempfile::tempdir().unwrap();
    let table = "name,contact_email,license_expires_at\nA,a@example.com,2099-12-31T00:00:00Z\n";
    std::fs::write(directory.path().join("sites.csv"), table).unwrap();
    let mut command = sitewarden(arguments);
    command.current_dir(directory.path()).env("HOME", directory.path());
    command.env("SITEWARDEN_URL", &url).env("SITEWARDEN_TOKEN", "t");
    command.env("SITEWARDEN_SITE_ID", "x").env("SITEWARDEN_SITE_KEY", "y").stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(b"correct horse battery\n");
    let output = child.wait_with_output().unwrap();
    server.join().unwrap();
    assert!(!directory.path().join("one.redb").exists(), "{arguments:?}");
    output
}

#[test]
fn no_command_takes_another_server_for_a_sitewarden() {
    let html = "Content-Type: text/html\r\n";
    let json = "Content-Type: application/json\r\n";
    let file = "Content-Type: application/octet-stream\r\n";
    let answers = [
        (200, html, "<html>log in</html>"),
        (200, json, "{}"),
        (200, json, "[]"),
        (200, "", "[]"),
        (200, file, "<html>log in</html>"),
        (200, MARKED, "{}"),
        (200, MARKED, "null"),
        (201, MARKED, "{}"),
        (204, "", ""),
        (302, "Location: /login\r\n", ""),
    ];
    for arguments in commands() {
        for answer in answers {
            let output = told(&arguments, answer);
            let words = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{arguments:?} {answer:?}: {words}");
            assert!(output.stdout.is_empty(), "{arguments:?} {answer:?}: {:?}", output.stdout);
            assert!(words.contains("--url"), "{arguments:?} {answer:?}: {words}");
        }
    }
}

#[test]
fn a_healthcheck_waits_for_a_silent_server_no_longer_than_it_is_told() {
    // Its system accepts, and nobody answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let mut command = sitewarden(&["healthcheck", "--timeout", "1", "--url", &url]);
    let output = command.env("HOME", directory.path()).output().unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{words}");
    assert!(words.contains("no answer within 1 s"), "{words}");
}

#[test]
fn the_answer_about_another_site_is_not_taken_for_that_about_this_one() {
    let other = json!({ "site_id": MISSING.replace('4', "5"), "license_expires_at": "2099-12-31T00:00:00Z" });
    for verb in ["show", "lock --reason unpaid", "unlock", "update --owner x"] {
        let mut words = vec!["site"];
        words.extend(verb.split(' '));
        words.insert(2, MISSING);
        let output = told(&words, (200, MARKED, &other.to_string()));
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{verb}: {words}");
        assert!(words.contains("another site") && output.stdout.is_empty(), "{verb}: {words}");
    }
}

#[test]
fn a_backup_is_passed_on_only_where_it_begins_as_a_database_does() {
    let head = "Content-Type: application/octet-stream\r\n";
    for body in ["redb", "", "redb\u{1a}\n not quite"] {
        let output = told(&["backup", "-"], (200, head, body));
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{body}: {output:?}");
    }
}

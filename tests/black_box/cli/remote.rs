//! The same commands from elsewhere, with a token.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{MISSING, answering, session};
use crate::server::{Server, sitewarden};
use crate::transcript::Transcript;

#[test]
fn a_login_from_elsewhere_is_kept_for_its_user_alone_and_ends_with_the_password() {
    let server = Server::start();
    let url = server.url().to_owned();
    let password = server.password() + "\n";
    let mut t = session("login", &server);
    let home = server.directory().to_owned();
    let run = |t: &mut Transcript, arguments: &[&str], stdin: &str| {
        t.run_with(arguments, stdin, |command| {
            command.env("HOME", &home);
        })
    };
    let trusted = ["--cacert", "data/tls-certificate.pem"];
    run(&mut t, &["login"], "");
    run(&mut t, &["site", "list", "--url", &url], "");
    run(&mut t, &[&["healthcheck", "--url", &url], &trusted[..]].concat(), "");
    run(&mut t, &["login", "--url", &url], &password);
    run(&mut t, &[&["login", "--url", &url], &trusted[..]].concat(), "");
    run(&mut t, &[&["login", "--url", &url], &trusted[..]].concat(), "wrong password\n");
    run(&mut t, &[&["login", "--url", &url], &trusted[..]].concat(), &password);
    t.show_mode(".config/sitewarden/logins.json");
    t.show_mode(".config/sitewarden");
    run(&mut t, &["site", "list", "--url", &url], "");
    run(&mut t, &["site", "list", "--url", &format!("{url}/")], "");
    run(&mut t, &["admin", "create", "anna", "--url", &url], "correct horse battery\n");
    run(&mut t, &["admin", "passwd", "sysadmin"], "correct horse battery\n");
    run(&mut t, &["site", "list", "--url", &url], "");
    run(
        &mut t,
        &[&["login", "anna", "--json", "--url", &url], &trusted[..]].concat(),
        "correct horse battery\n",
    );
    run(&mut t, &["healthcheck", "--url", &url], "");
    run(&mut t, &["login", "--url", "http://licences.example.com"], &password);
    t.check(&[(&url, "URL")]);
}

#[test]
fn a_token_comes_from_a_file_or_standard_input_and_not_from_the_argument_list() {
    let server = Server::start();
    let url = server.url().to_owned();
    let token = server.login();
    let mut t = session("token-file", &server);
    let home = server.directory().to_owned();
    std::fs::write(home.join("token"), format!("{token}\n")).unwrap();
    std::fs::write(home.join("empty"), "\n").unwrap();
    let mut list = |with: &[&str], stdin: &str| {
        let url = ["--url", &url, "--cacert", "data/tls-certificate.pem"];
        t.run_with(&[&["admin", "list"], &url[..], with].concat(), stdin, |command| {
            command.env("HOME", &home);
        });
    };
    list(&["--token", "token"], "");
    list(&["--token", "-"], &token);
    list(&["--token", "empty"], "");
    list(&["--token", "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"], "");
    list(&["--token", "-"], "no token");
    t.run(&["admin", "list", "--token", "token"]);
    t.check(&[(&url, "URL")]);
}

#[test]
fn the_variables_of_a_local_backend_are_the_defaults_of_url_and_cacert() {
    let server = Server::start();
    let url = server.url().to_owned();
    let password = server.password() + "\n";
    let site = server.register(&server.login());
    let mut t = session("variables", &server);
    let home = server.directory().to_owned();
    let mut run = |arguments: &[&str], stdin: &str| {
        t.run_with(arguments, stdin, |command| {
            command.env("HOME", &home).env("SITEWARDEN_URL", &url);
            command.env("SITEWARDEN_CACERT", "data/tls-certificate.pem");
            command.env("SITEWARDEN_SITE_ID", site["site_id"].as_str().unwrap());
            command.env("SITEWARDEN_SITE_KEY", site["secret_key"].as_str().unwrap());
        });
    };
    run(&["heartbeat"], "");
    run(&["admin", "list"], "");
    run(&["login"], &password);
    run(&["admin", "create", "anna"], "correct horse battery\n");
    // Who did it tells which way it went.
    run(&["audit", "--admin", "anna"], "");
    run(&["admin", "list", "--url", "https://127.0.0.1:1"], "");
    // A flag that is about this host means this host.
    for flag in [["--socket", "data/none.sock"], ["--config", "none.toml"], ["--data-dir", "none"]] {
        run(&[&["admin", "list"], &flag[..]].concat(), "");
    }
    run(&["backup", "one.redb", "--data-dir", "none"], "");
    let address = url.strip_prefix("https://").unwrap();
    t.check(&[(&url, "URL"), (address, "ADDRESS")]);
}

/// Colours, a title, a clipboard, a line that is written over, the other
/// direction; the one-byte form of an escape sequence too.
const HOSTILE: &str = "x\u{1b}[31m\u{1b}]0;t\u{7}\u{9b}2J\rroot\n# \u{8}\u{7f}\u{202e}\u{2066}\u{2028}y";

/// A command, and the answers that it gets.
type Case<'a> = (&'a [&'a str], Vec<(u16, &'a Value)>);

#[test]
fn what_a_server_sends_commands_no_terminal() {
    let mut site = json!({ "site_id": MISSING, "secret_key": HOSTILE, "old_key_valid_until": HOSTILE });
    for name in
        ["name", "owner_name", "status", "license_expires_at", "last_version", "contact_email", HOSTILE]
    {
        site[name] = json!(HOSTILE);
    }
    let problem = json!({ "detail": HOSTILE });
    let fields = json!({ "errors": [{ "field": HOSTILE, "message": HOSTILE }] });
    let admins = json!([{ "username": HOSTILE, "id": HOSTILE, "role": HOSTILE, "created_at": HOSTILE }]);
    let change = json!({ "field": HOSTILE, "before": HOSTILE, "after": HOSTILE });
    let entries =
        json!([{ "at": HOSTILE, "actor": HOSTILE, "ip": HOSTILE, "action": HOSTILE, "changes": [change] }]);
    let tls = json!({ "mode": HOSTILE, "names": [HOSTILE], "issuer": HOSTILE, "last_error": HOSTILE });
    let health = json!({ "status": HOSTILE, "version": HOSTILE });
    let verdict = json!({ "licensed": true, "locked": false, "lock_reason": HOSTILE });
    let login = json!({ "access_token": "t", "expires_at": HOSTILE });
    let done = json!({ "results": [{ "detail": HOSTILE }] });
    let sites = json!([site]);
    let many = json!({ "matched": 2, "first": [site] });
    let other = MISSING.replace('4', "5");
    let cases: [Case<'_>; 25] = [
        (&["site", "list"], vec![(200, &sites)]),
        (&["site", "list", "--json"], vec![(200, &sites)]),
        (&["site", "export"], vec![(200, &sites)]),
        (&["site", "export", "--json"], vec![(200, &sites)]),
        (&["site", "show", MISSING], vec![(200, &site)]),
        (&["site", "show", MISSING, "--json"], vec![(200, &site)]),
        (&["site", "show", MISSING], vec![(404, &problem)]),
        (&["site", "update", MISSING, "--owner", "x"], vec![(422, &fields)]),
        (&["site", "update", MISSING, "--owner", "x"], vec![(200, &site)]),
        (
            &["site", "add", "--name", "x", "--email", "x", "--expires", "2099-12-31T00:00:00Z"],
            vec![(201, &site)],
        ),
        (&["site", "rotate-key", MISSING], vec![(200, &site)]),
        (
            &["site", "extend", "--days", "1", "--status", "expired", "--yes"],
            vec![(200, &many), (409, &problem)],
        ),
        (&["site", "rm", "--q", "y", "--dry-run"], vec![(200, &many)]),
        (&["site", "tag", "vip", MISSING], vec![(200, &done)]),
        (&["site", "show", "yyy"], vec![(200, &sites)]),
        (&["site", "rm", MISSING, &other, "--yes"], vec![(404, &problem), (404, &problem)]),
        (&["admin", "list"], vec![(200, &admins)]),
        (&["audit"], vec![(200, &entries)]),
        (&["audit", "--json"], vec![(200, &entries)]),
        (&["tls", "status"], vec![(200, &tls)]),
        (&["healthcheck"], vec![(200, &health)]),
        (&["healthcheck"], vec![(503, &problem)]),
        (&["heartbeat"], vec![(200, &verdict)]),
        (&["heartbeat"], vec![(401, &problem)]),
        (&["login"], vec![(200, &login)]),
    ];
    for (arguments, answers) in cases {
        let answers = answers.into_iter().map(|(status, body)| (status, body.to_string())).collect();
        let (url, server) = answering(answers);
        let directory = tempfile::tempdir().unwrap();
        let mut command = sitewarden(arguments);
        command.current_dir(directory.path()).env("HOME", directory.path());
        command.env("SITEWARDEN_URL", url).env("SITEWARDEN_TOKEN", "t");
        command.env("SITEWARDEN_SITE_ID", "x").env("SITEWARDEN_SITE_KEY", "y").stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(b"correct horse battery\n");
        let output = child.wait_with_output().unwrap();
        server.join().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let obeyed = |c: char| {
            (c.is_control() && c != '\n') || ('\u{2028}'..='\u{202e}').contains(&c) || c == '\u{2066}'
        };
        assert!(!text.contains(obeyed), "{arguments:?}: {text:?}");
        // No line is the server's own.
        assert!(!text.lines().any(|line| line.starts_with("# ")), "{arguments:?}: {text:?}");
        assert!(text.contains('y'), "{arguments:?}: {text:?}");
    }
}

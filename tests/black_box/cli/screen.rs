//! What only a person at a terminal sees: questions, progress, and tables
//! that fit.

use serde_json::json;

use super::{MISSING, session};
use crate::server::Server;
use crate::terminal::Typed::{Answer, Password};
use crate::terminal::at_terminal_with;

#[test]
fn a_table_fits_the_terminal_or_becomes_one_field_a_line() {
    let server = Server::start();
    server.register(&server.login());
    let mut t = session("narrow", &server);
    t.run_at_terminal(200, &["site", "list"], &[]);
    t.run_at_terminal(60, &["site", "list"], &[]);
    t.run_at_terminal(50, &["site", "list"], &[]);
    t.run_at_terminal(40, &["site", "list"], &[]);
    t.run_at_terminal(80, &["site", "list", "--color", "never"], &[]);
    t.run_at_terminal(80, &["site", "list", "--columns", "name,owner_name,contact_email,last_seen_at"], &[]);
    t.run_at_terminal(10, &["admin", "list"], &[]);
    t.check(&[]);
}

#[test]
fn a_person_is_asked_before_anything_is_destroyed_and_types_passwords_twice_unseen() {
    let server = Server::start();
    let token = server.login();
    let site = server.register(&token);
    let id = site["site_id"].as_str().unwrap();
    let mut t = session("questions", &server);
    t.run_at_terminal(200, &["site", "rm", id, MISSING], &[("[y/N]", Answer("n"))]);
    let differing =
        [("New password", Password("correct horse battery")), ("Again", Password("correct horse"))];
    t.run_at_terminal(200, &["admin", "create", "anna"], &differing);
    let short = [("New password", Password("correct"))];
    t.run_at_terminal(200, &["admin", "create", "anna"], &short);
    let alike =
        [("New password", Password("correct horse battery")), ("Again", Password("correct horse battery"))];
    t.run_at_terminal(200, &["admin", "create", "anna"], &alike);
    t.run_at_terminal(200, &["admin", "delete", "anna"], &[("[y/N]", Answer("y"))]);
    t.run_at_terminal(200, &["admin", "passwd", "nobody"], &[]);
    t.run_at_terminal(200, &["backup", "-"], &[]);
    t.run_at_terminal(200, &["site", "rm", id], &[("[y/N]", Answer("y"))]);
    assert_eq!(server.get("/api/sites").bearer(&token).send().json(), json!([]));
    t.check(&[]);
}

#[test]
fn many_changes_show_how_far_they_have_come() {
    let server = Server::start();
    let directory = server.directory().to_owned();
    let rows: String =
        (0..150).map(|row| format!("Site {row:03},site{row}@example.com,2099-12-31T00:00:00Z\n")).collect();
    std::fs::write(directory.join("sites.csv"), format!("name,contact_email,license_expires_at\n{rows}"))
        .unwrap();
    let arguments = ["site", "import", "sites.csv", "--apply"];
    let (seen, code) = crate::terminal::at_terminal(&directory, 120, &arguments, &[]);
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("\r\x1b[Kregistering [------------------------] 0/150"), "{seen:?}");
    assert!(seen.contains("\r\x1b[Kregistering [################--------] 100/150\r\x1b[K"), "{seen:?}");
    assert!(seen.ends_with("150 registered; their keys are in sites.csv.keys.csv\n"), "{seen:?}");
}

#[test]
fn colours_are_for_terminals_whose_person_wants_them() {
    let server = Server::start();
    server.register(&server.login());
    let coloured = |variables: &[(&str, &str)], arguments: &[&str]| {
        let arguments = [&["site", "list"], arguments].concat();
        let (seen, code) = at_terminal_with(server.directory(), 80, variables, &arguments, &[]);
        assert_eq!(code, Some(0), "{seen}");
        assert!(seen.contains("never_seen"), "{seen}");
        seen.contains("\x1b[36mnever_seen\x1b[0m")
    };
    let xterm = ("TERM", "xterm");
    assert!(coloured(&[xterm], &[]));
    assert!(coloured(&[xterm, ("NO_COLOR", "")], &[]), "an empty one says nothing");
    assert!(!coloured(&[xterm, ("NO_COLOR", "1")], &[]));
    assert!(!coloured(&[("TERM", "dumb")], &[]));
    assert!(!coloured(&[xterm], &["--color", "never"]));
    assert!(coloured(&[xterm, ("NO_COLOR", "1")], &["--color", "always"]), "who asks for them gets them");
}

//! The key that signs logins: replaced by hand, and left out of backups.

use serde_json::{Value, json};

use crate::server::{Server, Setup, run_to_end, sitewarden};

fn is_let_in(server: &Server, token: &str) -> bool {
    match server.get("/api/auth/me").bearer(token).send().status {
        200 => true,
        401 => false,
        status => panic!("{status}"),
    }
}

fn newest(server: &Server) -> Value {
    server.get("/api/audit?action=signing_key_rotated&limit=1").bearer(&server.login()).send().json()
}

/// Runs `admin rotate-signing-key` in the directory of `setup`: what it said,
/// and its exit code.
fn rotate(directory: &std::path::Path, arguments: &[&str]) -> (String, String, Option<i32>) {
    let mut command = sitewarden(&[&["admin", "rotate-signing-key"], arguments].concat());
    command.current_dir(directory);
    let output = run_to_end(command);
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (stdout, stderr, output.status.code())
}

#[test]
fn a_rotation_over_the_api_ends_all_logins_at_once_and_for_good() {
    let server = Server::start();
    let (mine, other) = (server.login(), server.login());
    for path in ["/api/signing-key/rotate", "/api/signing-key/rotate/"] {
        server.post(path).send().assert_problem(401);
    }
    assert!(is_let_in(&server, &mine) && is_let_in(&server, &other));
    let answer = server.post("/api/signing-key/rotate").bearer(&mine).send();
    assert_eq!((answer.status, answer.body.len()), (204, 0), "{}", answer.text());
    assert!(!is_let_in(&server, &mine) && !is_let_in(&server, &other));
    let after = server.login();
    assert!(is_let_in(&server, &after));
    let entry = &newest(&server)[0];
    assert_eq!((&entry["actor"], &entry["ip"]), (&json!("sysadmin"), &json!("127.0.0.1")));
    // The database has the key that the server signs with.
    let server = server.restart();
    assert!(!is_let_in(&server, &mine) && is_let_in(&server, &after));
}

#[test]
fn a_rotation_at_the_command_line_works_on_the_server_and_on_its_database_at_rest() {
    let server = Server::start();
    let token = server.login();
    let directory = server.directory().to_owned();
    let done = "replaced the key that signs logins; all logins have ended\n".to_owned();
    assert_eq!(rotate(&directory, &[]), (done.clone(), String::new(), Some(0)));
    assert!(!is_let_in(&server, &token));
    let token = server.login();
    let setup = server.stop_for_another_start();
    let at_rest = "sitewarden: no server runs: working on the database in ./data\n".to_owned();
    assert_eq!(rotate(setup.directory(), &[]), (done, at_rest.clone(), Some(0)));
    let json = ("{\"rotated\":true}\n".to_owned(), at_rest, Some(0));
    assert_eq!(rotate(setup.directory(), &["--json"]), json);
    let server = setup.start();
    assert!(!is_let_in(&server, &token));
    assert_eq!(newest(&server)[0]["actor_kind"], "system");
}

#[test]
fn a_key_that_a_file_gives_is_not_ours_to_replace() {
    let setup = Setup::new().config("[auth]\nsigning_key_file = \"key\"\n");
    std::fs::write(setup.directory().join("key"), "0123456789abcdef0123456789abcdef").unwrap();
    let server = setup.start();
    let token = server.login();
    let answer = server.post("/api/signing-key/rotate").bearer(&token).send();
    answer.assert_problem(409);
    assert!(answer.text().contains("auth.signing_key_file"), "{}", answer.text());
    assert!(is_let_in(&server, &token));
    let setup = server.stop_for_another_start();
    let (_, stderr, code) = rotate(setup.directory(), &["--config", "sitewarden.toml"]);
    assert!(code == Some(1) && stderr.contains("auth.signing_key_file"), "{stderr}");
}

#[test]
fn a_restored_backup_ends_logins_and_the_server_makes_a_key_of_its_own() {
    let server = Server::start();
    let token = server.login();
    let site = server.register(&token);
    let directory = server.directory().to_owned();
    let backup = server.get("/api/backup").bearer(&token).send().body;
    std::fs::write(directory.join("copy.redb"), backup).unwrap();
    let setup = server.stop_for_another_start();
    let mut restore = sitewarden(&["restore", "copy.redb", "--yes"]);
    restore.current_dir(&directory);
    let output = run_to_end(restore);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("all logins end"), "{said}");
    // Before its first start there is no key to replace.
    let (_, stderr, code) = rotate(&directory, &[]);
    assert!(code == Some(1) && stderr.contains("makes one at its next start"), "{stderr}");
    let server = setup.start();
    assert!(!is_let_in(&server, &token));
    assert_eq!(server.heartbeat(&site).send().status, 200);
    let token = server.login();
    let server = server.restart();
    assert!(is_let_in(&server, &token), "it keeps the key that it made");
}

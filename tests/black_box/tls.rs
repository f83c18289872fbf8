//! What the routes on the certificate promise, and what becomes of orders.

use serde_json::Value;

use crate::server::{Server, Setup};

/// An ACME server that nobody runs: port 1 of this host.
const NO_ACME: &str = "[tls]\nmode = \"acme\"\ndomains = [\"licences.example\"]\n\
                       directory_url = \"https://127.0.0.1:1/directory\"\n";

/// The actions in the audit trail, newest first, with who did them.
fn audited(server: &Server, token: &str) -> Vec<(String, String)> {
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap().to_owned();
    let entries = server.get("/api/audit").bearer(token).send().json();
    entries.as_array().unwrap().iter().map(|entry| (text(entry, "action"), text(entry, "actor"))).collect()
}

#[test]
fn a_renewal_is_in_the_audit_trail_and_one_that_cannot_be_is_not() {
    let server = Server::start();
    let token = server.login();
    server.post("/api/tls/renew").bearer(&token).send().assert_problem(409);
    let login = ("login_succeeded".to_owned(), "sysadmin".to_owned());
    assert_eq!(audited(&server, &token), std::slice::from_ref(&login));

    let server = Setup::new().config(NO_ACME).start();
    let token = server.login();
    let answer = server.post("/api/tls/renew").bearer(&token).send();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let renewal = ("certificate_renewal_requested".to_owned(), "sysadmin".to_owned());
    assert_eq!(audited(&server, &token), [renewal, login]);
}

#[test]
fn an_order_that_failed_is_not_repeated_by_a_restart_but_by_other_names() {
    let failed = |line: &str| line.contains("no certificate was got");
    let resumed = |line: &str| line.contains("the last order gave no certificate");
    let server = Setup::new().config(NO_ACME).start();
    server.log_line(failed);
    let server = server.restart();
    server.log_line(resumed);
    let standing = server.get("/api/tls").bearer(&server.login()).send().json();
    let reason = standing["last_error"].as_str().unwrap();
    assert!(reason.contains("cannot be reached"), "{standing}");
    // The minute of the first failure is not over.
    assert_eq!(standing["renewing"], false, "{standing}");
    assert!(!server.log().contains("no certificate was got"), "{}", server.log());

    // By hand it is tried at once.
    assert_eq!(server.post("/api/tls/renew").bearer(&server.login()).send().status, 200);
    server.log_line(failed);

    let setup = server.stop_for_another_start();
    let server = setup.config(&NO_ACME.replace("licences.", "other.")).start();
    let log = server.log_line(|line| failed(line) || resumed(line));
    assert!(failed(&log), "{log}");
}

//! A clock that is wrong, or was.

use std::path::Path;

use redb::{Database, TableDefinition};
use serde_json::Value;

use crate::server::{Server, Setup, sitewarden};

/// Has the database in `setup` know this time, in seconds since 1970, and none
/// after it.
fn know(setup: &Setup, seconds: i64) {
    let meta = TableDefinition::<&str, &[u8]>::new("meta_v1");
    let database = Database::open(setup.data_dir().join("sitewarden.redb")).unwrap();
    let writing = database.begin_write().unwrap();
    writing.open_table(meta).unwrap().insert("known_time", seconds.to_le_bytes().as_slice()).unwrap();
    writing.commit().unwrap();
}

fn health(server: &Server) -> Value {
    server.get("/health").bearer(&server.login()).send().json()
}

#[test]
fn a_clock_years_ahead_of_what_is_known_is_warned_of_and_told_to_sysadmins() {
    let server = Server::start();
    assert_eq!(health(&server)["clock"]["state"], "believed");
    assert!(server.get("/health").send().json().get("clock").is_none(), "strangers are not told");
    let setup = server.stop_for_another_start();
    let now = chrono::Utc::now().timestamp();
    know(&setup, now - 800 * 86_400);
    let server = setup.start();
    let health_then = health(&server);
    assert_eq!(health_then["clock"]["state"], "ahead");
    let warning = server.log_line(|line| line.contains("ahead of the newest time that is known"));
    let warning: Value = serde_json::from_str(&warning).unwrap();
    assert_eq!((&warning["level"], &warning["known"]), (&"WARN".into(), &health_then["clock"]["known_at"]));
    // Nothing that happened under it vouches for it at the next start.
    let server = server.restart();
    assert_eq!(health(&server)["clock"], health_then["clock"]);
    let setup = server.stop_for_another_start();
    know(&setup, now + 800 * 86_400);
    assert_eq!(health(&setup.start())["clock"]["state"], "behind");
}

fn tls_status(directory: &Path) -> Value {
    let shown = sitewarden(&["tls", "status", "--json"]).current_dir(directory).output().unwrap();
    serde_json::from_slice(&shown.stdout).unwrap()
}

#[test]
fn a_certificate_that_is_not_valid_yet_is_warned_of() {
    let setup = Setup::new();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2099, 1, 1);
    params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    let (cert_file, key_file) = (setup.directory().join("cert.pem"), setup.directory().join("key.pem"));
    std::fs::write(&cert_file, params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    let server = setup.tls_files(&cert_file, &key_file).start();
    let status = tls_status(server.directory());
    assert_eq!(status["not_before"], "2099-01-01T00:00:00Z");
    assert!(status["warning"].as_str().unwrap().contains("not valid yet"), "{status}");
    server.log_line(|line| line.contains("the certificate is not valid yet"));
}

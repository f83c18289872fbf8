//! The trail of changes, at the command line.

use redb::ReadableTable as _;
use serde_json::json;

use super::{MISSING, session};
use crate::server::{Server, sitewarden};

#[test]
fn the_trail_is_a_table_that_site_admin_and_time_narrow_down() {
    let server = Server::start();
    let token = server.login();
    let site = server.register(&token);
    let id = site["site_id"].as_str().unwrap();
    let other = server.register_as(&token, &json!({ "name": "Bar Centrale" }));
    let send = |method, path: String, body: serde_json::Value| {
        let answer = server.call(method, &path).bearer(&token).json(&body).send();
        assert!(answer.status < 300, "{}", answer.text());
    };
    send("POST", format!("/api/sites/{id}/lock"), json!({ "reason": "Payment overdue" }));
    send("PUT", format!("/api/sites/{id}"), json!({ "owner_name": "", "is_active": false }));
    send("POST", format!("/api/sites/{id}/rotate-key"), json!({ "overlap_hours": 24 }));
    let wrong = json!({ "username": "Anna", "password": "wrong password" });
    assert_eq!(server.post("/api/auth/login").json(&wrong).send().status, 401);

    let mut t = session("audit", &server);
    t.run(&["site", "rm", other["site_id"].as_str().unwrap(), "--yes"]);
    t.run(&["audit"]);
    t.run(&["audit", "--site", id, "--limit", "2"]);
    t.run(&["audit", "--site", MISSING]);
    t.run(&["audit", "--admin", "anna"]);
    t.run(&["audit", "--admin", "ANNA", "--json"]);
    t.run(&["audit", "--since", "2099-01-01T00:00:00Z"]);
    t.run(&["audit", "--until", "2099-01-01T02:00:00+02:00", "--site", id, "--limit", "1"]);
    t.run(&["audit", "--since", "yesterday", "--site", "x"]);
    t.run(&["audit", "--actor-kind", "stranger"]);
    t.run(&["audit", "--action", "site_locked"]);
    t.run(&["audit", "--action", "login"]);
    t.run(&["audit", "--limit", "0"]);
    let trail = server.get("/api/audit?limit=1").bearer(&token).send().json();
    let user = trail[0]["actor"].as_str().unwrap();
    t.check(&[(&format!("{user:<8}  socket"), "USER      socket")]);
}

/// What `sitewarden audit` says in `directory`: the exit code, and both its
/// streams.
fn audit(directory: &std::path::Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = sitewarden(&[&["audit"], arguments].concat());
    let output = command.current_dir(directory).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// Changes a text in a database that no server has open, with what redb needs
/// for its checksums.
fn rewrite(path: &std::path::Path, entry: u64, from: &str, to: &str) {
    let database = redb::Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut audit = transaction.open_table(redb::TableDefinition::<u64, &[u8]>::new("audit_v1")).unwrap();
    let mut bytes = audit.get(entry).unwrap().unwrap().value().to_vec();
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    audit.insert(entry, bytes.as_slice()).unwrap();
    drop(audit);
    transaction.commit().unwrap();
}

#[test]
fn the_trail_is_verified_on_a_server_at_rest_and_in_a_backup_and_who_rewrites_it_is_found() {
    let server = Server::start();
    let token = server.login();
    let site = server.register(&token);
    let path = format!("/api/sites/{}/lock", site["site_id"].as_str().unwrap());
    let lock = |reason: &str| {
        assert_eq!(server.post(&path).bearer(&token).json(&json!({ "reason": reason })).send().status, 200);
    };
    lock("told by Anna");
    let directory = server.directory().to_owned();
    let (code, head) = audit(&directory, &["head"]);
    let head = head.trim();
    assert!(code == Some(0) && head.starts_with("3:") && head.len() == 66, "{head}");
    let whole =
        |entries: u64, same: &str| format!("the audit trail is whole{same}: {entries} entries, head ");
    let same = ", and up to the expected head the same";
    let (code, said) = audit(&directory, &["verify", "--expect", head]);
    assert!(code == Some(0) && said.starts_with(&whole(3, same)), "{said}");
    assert_eq!(audit(&directory, &["--site", MISSING, "head"]).0, Some(2));
    assert_eq!(audit(&directory, &["verify", "--expect", "3"]).0, Some(2));
    let backup = directory.join("copy.redb");
    let mut command = sitewarden(&["backup", "copy.redb"]);
    assert!(command.current_dir(&directory).output().unwrap().status.success());
    lock("told by Bert");

    let setup = server.stop_for_another_start();
    let (code, said) = audit(&directory, &["verify", "--expect", head]);
    assert!(code == Some(0) && said.contains(&whole(5, same)), "{said}");
    let newest = audit(&directory, &["head", "--json"]).1;
    let mut documents = serde_json::Deserializer::from_str(&newest).into_iter::<serde_json::Value>();
    let newest = documents.next().unwrap().unwrap();
    let newest = newest["head"].as_str().unwrap().to_owned();
    assert!(newest.starts_with("5:"), "{newest}");
    let (code, said) = audit(&directory, &["verify", "copy.redb", "--expect", head]);
    assert!(code == Some(0) && said.starts_with(&whole(3, same)), "{said}");
    assert_eq!(audit(&directory, &["head", "copy.redb"]), (Some(0), format!("{head}\n")));
    let (code, said) = audit(&directory, &["verify", "copy.redb", "--expect", &newest]);
    assert_eq!(code, Some(1));
    assert!(said.contains("ends with entry 3, before entry 5 that was expected"), "{said}");

    rewrite(&backup, 3, "told by Anna", "told by Carl");
    let (code, said) = audit(&directory, &["verify", "copy.redb", "--json"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("entry 3 of the audit trail is not what was recorded"), "{said}");
    assert!(said.contains("\"kind\": \"changed\"") || said.contains("\"kind\":\"changed\""), "{said}");
    assert_eq!(audit(&directory, &["head", "copy.redb"]).0, Some(1));
    rewrite(&setup.data_dir().join("sitewarden.redb"), 3, "Anna", "Carl");
    assert_eq!(audit(&directory, &["verify"]).0, Some(1));
    // And by a server that goes on with it.
    let server = setup.start();
    let (code, said) = audit(server.directory(), &["verify"]);
    assert!(code == Some(1) && said.contains("entry 3 of the audit trail"), "{said}");
}

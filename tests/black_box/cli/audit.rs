//! The trail of changes, at the command line.

use serde_json::json;

use super::{MISSING, session};
use crate::server::Server;

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

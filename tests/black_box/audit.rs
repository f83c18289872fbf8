//! Who changed what.

use std::time::Instant;

use serde_json::{Value, json};
use sitewarden::domain::Timestamp;
use sitewarden::store::{FILE_NAME, Store};

use crate::server::{PATIENCE, Server};

struct Trail {
    server: Server,
    token: String,
}

impl Trail {
    fn start() -> Self {
        let server = Server::start();
        let token = server.login();
        Self { server, token }
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.server.call(method, path).bearer(&self.token).json(body).send();
        assert!(answer.status < 300, "{method} {path}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    fn read(&self, query: &str) -> Vec<Value> {
        let answer = self.server.get(&format!("/api/audit{query}")).bearer(&self.token).send();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json().as_array().unwrap().clone()
    }

    fn newest(&self) -> Value {
        self.read("?limit=1").remove(0)
    }
}

fn path_of(site: &Value) -> String {
    format!("/api/sites/{}", site["site_id"].as_str().unwrap())
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect()
}

#[test]
fn every_change_leaves_who_from_where_what_and_the_values_before_and_after() {
    let trail = Trail::start();
    let site = trail.server.register(&trail.token);
    let path = path_of(&site);
    let entry = trail.newest();
    let fields: Vec<&String> = entry.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["id", "at", "actor", "actor_kind", "ip", "action", "site_id", "admin", "changes"]);
    assert_eq!(
        (&entry["actor"], &entry["actor_kind"], &entry["ip"], &entry["site_id"]),
        (&json!("sysadmin"), &json!("admin"), &json!("127.0.0.1"), &site["site_id"])
    );
    assert_eq!(
        entry["changes"][0],
        json!({ "field": "name", "before": null, "after": "Trattoria Da Mario" })
    );
    let change = |field: &str, before: Value, after: Value| json!([{ "field": field, "before": before, "after": after }]);
    trail.send("PUT", &path, &json!({ "owner_name": "Luigi", "name": "Trattoria Da Mario" }));
    assert_eq!(trail.newest()["changes"], change("owner_name", json!("Mario Rossi"), json!("Luigi")));
    trail.send("PUT", &path, &json!({ "extend_days": 30 }));
    let extended = change("license_expires_at", json!("2099-12-31T00:00:00Z"), json!("2100-01-30T00:00:00Z"));
    assert_eq!(trail.newest()["changes"], extended);
    trail.send("POST", &format!("{path}/lock"), &json!({ "reason": "unpaid" }));
    assert_eq!(trail.newest()["changes"], change("lock_reason", Value::Null, json!("unpaid")));
    trail.send("POST", &format!("{path}/unlock"), &json!({}));
    assert_eq!(trail.newest()["changes"], change("lock_reason", json!("unpaid"), Value::Null));
    let rotated = trail.send("POST", &format!("{path}/rotate-key"), &json!({ "overlap_hours": 24 }));
    let until = change("old_key_valid_until", Value::Null, rotated["old_key_valid_until"].clone());
    assert_eq!(trail.newest()["changes"], until);
    trail.send("DELETE", &path, &json!({}));
    assert_eq!(trail.newest()["action"], "site_deleted");
    let last = json!({ "field": "owner_name", "before": "Luigi", "after": null });
    assert!(trail.newest()["changes"].as_array().unwrap().contains(&last), "{}", trail.newest());

    trail.send("POST", "/api/admins", &json!({ "username": "anna", "password": "correct horse battery" }));
    trail.send("PUT", "/api/admins/anna/password", &json!({ "password": "another horse battery" }));
    trail.send("DELETE", "/api/admins/anna", &json!({}));
    let entries = trail.read("");
    assert_eq!(
        actions(&entries),
        [
            "admin_deleted",
            "admin_password_changed",
            "admin_created",
            "site_deleted",
            "site_key_rotated",
            "site_unlocked",
            "site_locked",
            "site_updated",
            "site_updated",
            "site_registered",
            "login_succeeded",
        ]
    );
    let text = serde_json::to_string(&entries).unwrap();
    let secrets =
        ["swk_", "$argon2", "horse battery", &trail.token, &trail.server.password()].map(str::to_owned);
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret}: {text}");
    }
}

#[test]
fn what_changed_nothing_or_was_refused_leaves_no_entry() {
    let trail = Trail::start();
    let site = trail.server.register(&trail.token);
    let path = path_of(&site);
    trail.send("PUT", &path, &json!({ "name": "Trattoria Da Mario" }));
    trail.send("POST", &format!("{path}/unlock"), &json!({}));
    let refused = |method: &str, path: &str, body: Value, status| {
        let answer = trail.server.call(method, path).bearer(&trail.token).json(&body).send();
        assert_eq!(answer.status, status, "{}", answer.text());
    };
    refused("PUT", &path, json!({ "extend_days": 0 }), 422);
    refused("DELETE", "/api/admins/sysadmin", json!({}), 409);
    refused("DELETE", "/api/sites/00000000-0000-4000-8000-000000000000", json!({}), 404);
    assert_eq!(actions(&trail.read("")), ["site_registered", "login_succeeded"]);
}

#[test]
fn a_login_and_a_backup_are_in_the_trail_with_their_address() {
    let trail = Trail::start();
    let entry = trail.newest();
    assert_eq!(
        (&entry["action"], &entry["actor_kind"], &entry["actor"], &entry["ip"], &entry["admin"]),
        (
            &json!("login_succeeded"),
            &json!("admin"),
            &json!("sysadmin"),
            &json!("127.0.0.1"),
            &json!("sysadmin")
        )
    );
    let backup = trail.server.get("/api/backup").bearer(&trail.token).send();
    assert_eq!(backup.status, 200);
    let entry = trail.newest();
    assert_eq!(
        (&entry["action"], &entry["actor"], &entry["ip"], &entry["admin"], &entry["changes"]),
        (&json!("backup_taken"), &json!("sysadmin"), &json!("127.0.0.1"), &Value::Null, &json!([]))
    );
    let copy = trail.server.data_dir().join("copy.redb");
    let mut command = crate::server::sitewarden(&["backup", "--socket"]);
    command.arg(trail.server.data_dir().join("control.sock")).arg(&copy);
    assert!(crate::server::run_to_end(command).status.success());
    let entry = trail.newest();
    assert_eq!(
        (&entry["action"], &entry["actor_kind"], &entry["ip"]),
        (&json!("backup_taken"), &json!("system"), &Value::Null)
    );
    // Nor does one that nobody is let have make an entry, or one of the
    // server's own.
    trail.server.get("/api/backup").send().assert_problem(401);
    assert_eq!(actions(&trail.read("?action=backup_taken")).len(), 2);
}

#[test]
fn failed_logins_are_kept_apart_with_their_address_and_no_name_that_is_no_admins() {
    let trail = Trail::start();
    for (name, password, kept) in [
        ("SYSadmin", "wrong password", json!("sysadmin")),
        ("correct horse battery", "swk_secret-typed-here", Value::Null),
    ] {
        let body = json!({ "username": name, "password": password });
        assert_eq!(trail.server.post("/api/auth/login").json(&body).send().status, 401);
        let entry = trail.read("?actor_kind=stranger&limit=1").remove(0);
        let fields: Vec<&String> = entry.as_object().unwrap().keys().collect();
        assert_eq!(
            fields,
            ["id", "at", "actor", "actor_kind", "ip", "action", "site_id", "admin", "changes"]
        );
        assert_eq!(
            (&entry["action"], &entry["actor_kind"], &entry["actor"], &entry["ip"], &entry["admin"]),
            (&json!("login_failed"), &json!("stranger"), &kept, &json!("127.0.0.1"), &kept)
        );
        assert_eq!((&entry["site_id"], &entry["changes"]), (&Value::Null, &json!([])));
        assert!(!entry.to_string().contains(password), "{entry}");
        assert!(!trail.server.log().contains("horse"), "{}", trail.server.log());
    }
    assert_eq!(actions(&trail.read("")), ["login_succeeded"], "nothing of it is in the trail");
    assert_eq!(trail.read("?action=login_failed"), trail.read("?actor_kind=stranger"));
    assert_eq!(trail.read("?actor_kind=stranger&admin=Sysadmin").len(), 1);
    let page = trail.server.get("/api/audit?actor_kind=stranger&limit=1").bearer(&trail.token).send();
    assert_eq!(page.header("X-Total-Count"), "2");
    let link = page.header("Link").to_owned();
    let next = link.trim_start_matches('<').split('>').next().unwrap();
    assert!(next.contains("actor_kind=stranger"), "{next}");
    let next = trail.server.get(next).bearer(&trail.token).send();
    assert_eq!((next.json()[0]["id"].as_u64(), next.has("Link")), (Some(1), false));
}

#[test]
fn failed_logins_are_forgotten_after_30_days_or_with_the_trail_if_that_goes_sooner() {
    for (config, days) in [("", 30), ("[audit]\nkeep_days = 0\n", 30), ("[audit]\nkeep_days = 7\n", 7)] {
        let setup = Server::start().stop_for_another_start().config(config);
        let store = Store::open(&setup.data_dir().join(FILE_NAME)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for age in [days + 1, days - 1] {
            let then = Timestamp::from_clock(chrono::Utc::now() - chrono::TimeDelta::days(age));
            let ip = "192.0.2.1".parse().unwrap();
            runtime.block_on(store.record_failed_login(None, ip, then)).unwrap();
        }
        store.close();
        let server = setup.start();
        let trail = Trail { token: server.login(), server };
        let deadline = Instant::now() + PATIENCE;
        let left = loop {
            let left = trail.read("?actor_kind=stranger");
            if left.len() == 1 {
                break left;
            }
            assert!(Instant::now() < deadline, "{left:?}");
        };
        assert_eq!(left[0]["id"], 2, "{days} days");
    }
}

#[test]
fn failed_logins_are_there_after_a_restart_and_in_no_backup() {
    let trail = Trail::start();
    let wrong = json!({ "username": "sysadmin", "password": "wrong password" });
    assert_eq!(trail.server.post("/api/auth/login").json(&wrong).send().status, 401);
    let backup = trail.server.get("/api/backup").bearer(&trail.token).send().body;
    let file = trail.server.data_dir().join("copy.redb");
    std::fs::write(&file, backup).unwrap();
    let mut check = crate::server::sitewarden(&["check", "--json"]);
    check.arg(&file);
    let report: Value = serde_json::from_slice(&crate::server::run_to_end(check).stdout).unwrap();
    assert_eq!(report["counts"]["strangers"], 0);
    let trail = Trail { server: trail.server.restart(), token: trail.token };
    assert_eq!(trail.read("?actor_kind=stranger").len(), 1);
}

#[test]
fn the_trail_is_read_to_its_end_by_its_links_newest_first() {
    let trail = Trail::start();
    for number in 0..5 {
        trail.server.register_as(&trail.token, &json!({ "name": format!("Site {number}") }));
    }
    let (mut next, mut ids, mut pages) = ("/api/audit?limit=2&admin=SysAdmin".to_owned(), Vec::new(), 0);
    loop {
        let page = trail.server.get(&next).bearer(&trail.token).send();
        assert_eq!(page.header("X-Total-Count"), "6");
        ids.extend(page.json().as_array().unwrap().iter().map(|entry| entry["id"].as_u64().unwrap()));
        pages += 1;
        if !page.has("Link") {
            break;
        }
        let link = page.header("Link").strip_suffix(">; rel=\"next\"").unwrap();
        next = link.strip_prefix('<').unwrap().to_owned();
        assert!(next.contains("limit=2"), "{next}");
    }
    assert_eq!((pages, ids), (3, vec![6, 5, 4, 3, 2, 1]));
}

#[test]
fn the_trail_is_narrowed_down_by_site_admin_action_and_time() {
    let trail = Trail::start();
    let [a, b] = [trail.server.register(&trail.token), trail.server.register(&trail.token)];
    trail.send("POST", &format!("{}/lock", path_of(&a)), &json!({ "reason": "unpaid" }));
    trail.send("POST", "/api/admins", &json!({ "username": "Anna", "password": "correct horse battery" }));
    let of = |query: String| actions(&trail.read(&query)).len();
    let id = |site: &Value| site["site_id"].as_str().unwrap().to_owned();
    assert_eq!((of(format!("?site_id={}", id(&a))), of(format!("?site_id={}", id(&b)))), (2, 1));
    assert_eq!(of("?admin=anna".to_owned()), 1, "acted on");
    assert_eq!(of("?admin=sysadmin".to_owned()), 5, "acted");
    assert_eq!(of("?action=site_registered".to_owned()), 2);
    assert_eq!(of(format!("?action=site_locked&site_id={}", id(&b))), 0);
    assert_eq!((of("?actor_kind=admin".to_owned()), of("?actor_kind=system".to_owned())), (5, 0));
    assert_eq!(of(format!("?admin=anna&site_id={}", id(&a))), 0);
    let newest = trail.newest()["at"].as_str().unwrap().to_owned();
    assert!(of(format!("?since={newest}")) >= 1, "from that second on");
    assert_eq!(of(format!("?since={newest}")) + of(format!("?until={newest}")), 5, "each in one of them");
    assert_eq!(of("?since=2099-01-01T00:00:00Z".to_owned()), 0);
    assert_eq!(of("?until=2001-01-01T00:00:00%2B01:00".to_owned()), 0);
    let bad = "/api/audit?site_id=x&admin=&since=yesterday&until=2030&limit=0&after=x&action=login&actor_kind=unproven";
    let answer = trail.server.get(bad).bearer(&trail.token).send();
    answer
        .assert_names(422, &["site_id", "admin", "since", "until", "limit", "after", "action", "actor_kind"]);
    let told = answer.json()["errors"].to_string();
    assert!(told.contains("must be one of admin, system, stranger"), "{told}");
    assert!(told.contains("must be one of site_registered, ") && told.contains(", login_failed"), "{told}");
}

#[test]
fn a_user_of_the_host_is_in_the_trail_under_the_name_of_the_system() {
    let trail = Trail::start();
    let mut command = crate::server::sitewarden(&["admin", "create", "anna", "--socket"]);
    let password = trail.server.data_dir().join("password");
    std::fs::write(&password, "correct horse battery\n").unwrap();
    command.arg(trail.server.data_dir().join("control.sock"));
    command.stdin(std::fs::File::open(&password).unwrap());
    assert!(crate::server::run_to_end(command).status.success());
    let entry = trail.newest();
    let uid = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let user = users.lines().find(|line| line.split(':').nth(2) == Some(&uid));
    let user = user.map_or(uid.as_str(), |line| line.split(':').next().unwrap());
    assert_eq!(
        (&entry["actor"], &entry["actor_kind"], &entry["ip"], &entry["admin"]),
        (&json!(user), &json!("system"), &Value::Null, &json!("anna"))
    );
}

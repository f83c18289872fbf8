//! Who changed what.

use serde_json::{Value, json};

use crate::server::Server;

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
    assert_eq!(actions(&trail.read("")), ["site_registered"]);
}

#[test]
fn a_failed_login_is_kept_with_its_address_and_an_unproven_name_and_without_the_password() {
    let trail = Trail::start();
    for (name, password) in [("Sysadmin", "wrong password"), ("nobody", "swk_secret-typed-here")] {
        let body = json!({ "username": name, "password": password });
        assert_eq!(trail.server.post("/api/auth/login").json(&body).send().status, 401);
        let entry = trail.newest();
        assert_eq!(
            (&entry["action"], &entry["actor_kind"], &entry["actor"], &entry["ip"], &entry["changes"]),
            (&json!("login_failed"), &json!("unproven"), &json!(name), &json!("127.0.0.1"), &json!([]))
        );
        assert!(!entry.to_string().contains(password), "{entry}");
    }
    trail.server.login();
    assert_eq!(trail.read("").len(), 2, "a login that succeeds changes nothing");
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
        assert_eq!(page.header("X-Total-Count"), "5");
        ids.extend(page.json().as_array().unwrap().iter().map(|entry| entry["id"].as_u64().unwrap()));
        pages += 1;
        if !page.has("Link") {
            break;
        }
        let link = page.header("Link").strip_suffix(">; rel=\"next\"").unwrap();
        next = link.strip_prefix('<').unwrap().to_owned();
        assert!(next.contains("limit=2"), "{next}");
    }
    assert_eq!((pages, ids), (3, vec![5, 4, 3, 2, 1]));
}

#[test]
fn the_trail_is_narrowed_down_by_site_admin_and_time() {
    let trail = Trail::start();
    let [a, b] = [trail.server.register(&trail.token), trail.server.register(&trail.token)];
    trail.send("POST", &format!("{}/lock", path_of(&a)), &json!({ "reason": "unpaid" }));
    trail.send("POST", "/api/admins", &json!({ "username": "Anna", "password": "correct horse battery" }));
    let of = |query: String| actions(&trail.read(&query)).len();
    let id = |site: &Value| site["site_id"].as_str().unwrap().to_owned();
    assert_eq!((of(format!("?site_id={}", id(&a))), of(format!("?site_id={}", id(&b)))), (2, 1));
    assert_eq!(of("?admin=anna".to_owned()), 1, "acted on");
    assert_eq!(of("?admin=sysadmin".to_owned()), 4, "acted");
    assert_eq!(of(format!("?admin=anna&site_id={}", id(&a))), 0);
    let newest = trail.newest()["at"].as_str().unwrap().to_owned();
    assert!(of(format!("?since={newest}")) >= 1, "from that second on");
    assert_eq!(of(format!("?since={newest}")) + of(format!("?until={newest}")), 4, "each in one of them");
    assert_eq!(of("?since=2099-01-01T00:00:00Z".to_owned()), 0);
    assert_eq!(of("?until=2001-01-01T00:00:00%2B01:00".to_owned()), 0);
    let bad = "/api/audit?site_id=x&admin=&since=yesterday&until=2030&limit=0&after=x";
    let answer = trail.server.get(bad).bearer(&trail.token).send();
    answer.assert_names(422, &["site_id", "admin", "since", "until", "limit", "after"]);
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

//! Who changed what.

use serde_json::{Value, json};
use sitewarden::domain::Timestamp;
use sitewarden::store::{FILE_NAME, Store};

use crate::server::{Server, path_of, until};
use crate::sysadmin::Sysadmin;

impl Sysadmin {
    /// Makes a change that must be taken, and gives its answer.
    fn change(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.call(method, path).json(body).send();
        assert!(answer.status < 300, "{method} {path}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    fn audit(&self, query: &str) -> Vec<Value> {
        let answer = self.get(&format!("/api/audit{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json().as_array().unwrap().clone()
    }

    pub(crate) fn newest_in_audit(&self) -> Value {
        self.audit("?limit=1").remove(0)
    }
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect()
}

#[test]
fn every_change_leaves_who_from_where_what_and_the_values_before_and_after() {
    let admin = Sysadmin::start();
    let site = admin.server.register(&admin.token);
    let path = path_of(&site);
    let entry = admin.newest_in_audit();
    let fields: Vec<&String> = entry.as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        [
            "id",
            "at",
            "actor",
            "actor_kind",
            "token",
            "ip",
            "action",
            "site_id",
            "site_name",
            "admin",
            "changes"
        ]
    );
    assert_eq!(
        (&entry["actor"], &entry["actor_kind"], &entry["ip"], &entry["site_id"]),
        (&json!("sysadmin"), &json!("admin"), &json!("127.0.0.1"), &site["site_id"])
    );
    assert_eq!(
        entry["changes"][0],
        json!({ "field": "name", "before": null, "after": "Trattoria Da Mario" })
    );
    let change = |field: &str, before: Value, after: Value| json!([{ "field": field, "before": before, "after": after }]);
    admin.change("PUT", &path, &json!({ "owner_name": "Luigi", "name": "Trattoria Da Mario" }));
    assert_eq!(
        admin.newest_in_audit()["changes"],
        change("owner_name", json!("Mario Rossi"), json!("Luigi"))
    );
    admin.change("PUT", &path, &json!({ "extend_days": 30 }));
    let extended = change("license_expires_at", json!("2099-12-31T00:00:00Z"), json!("2100-01-30T00:00:00Z"));
    assert_eq!(admin.newest_in_audit()["changes"], extended);
    admin.change("POST", &format!("{path}/lock"), &json!({ "reason": "unpaid" }));
    assert_eq!(admin.newest_in_audit()["changes"], change("lock_reason", Value::Null, json!("unpaid")));
    admin.change("POST", &format!("{path}/unlock"), &json!({}));
    assert_eq!(admin.newest_in_audit()["changes"], change("lock_reason", json!("unpaid"), Value::Null));
    let rotated = admin.change("POST", &format!("{path}/rotate-key"), &json!({ "overlap_hours": 24 }));
    let until = change("old_key_valid_until", Value::Null, rotated["old_key_valid_until"].clone());
    assert_eq!(admin.newest_in_audit()["changes"], until);
    admin.change("DELETE", &path, &json!({}));
    assert_eq!(admin.newest_in_audit()["action"], "site_deleted");
    // Of a deleted site each entry has the name that it had.
    let on_it = admin.audit(&format!("?site_id={}", site["site_id"].as_str().unwrap()));
    assert!(on_it.len() > 2 && on_it.iter().all(|entry| entry["site_name"] == site["name"]), "{on_it:?}");
    let last = json!({ "field": "owner_name", "before": "Luigi", "after": null });
    assert!(
        admin.newest_in_audit()["changes"].as_array().unwrap().contains(&last),
        "{}",
        admin.newest_in_audit()
    );

    admin.change("POST", "/api/admins", &json!({ "username": "anna", "password": "correct horse battery" }));
    admin.change("PUT", "/api/admins/anna/password", &json!({ "password": "another horse battery" }));
    admin.change("DELETE", "/api/admins/anna", &json!({}));
    let entries = admin.audit("");
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
        ["swk_", "$argon2", "horse battery", &admin.token, &admin.server.password()].map(str::to_owned);
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret}: {text}");
    }
}

#[test]
fn what_changed_nothing_or_was_refused_leaves_no_entry() {
    let admin = Sysadmin::start();
    let site = admin.server.register(&admin.token);
    let path = path_of(&site);
    admin.change("PUT", &path, &json!({ "name": "Trattoria Da Mario" }));
    admin.change("POST", &format!("{path}/unlock"), &json!({}));
    let refused = |method: &str, path: &str, body: Value, status| {
        let answer = admin.server.call(method, path).bearer(&admin.token).json(&body).send();
        assert_eq!(answer.status, status, "{}", answer.text());
    };
    refused("PUT", &path, json!({ "extend_days": 0 }), 422);
    refused("DELETE", "/api/admins/sysadmin", json!({}), 409);
    refused("DELETE", "/api/sites/00000000-0000-4000-8000-000000000000", json!({}), 404);
    assert_eq!(actions(&admin.audit("")), ["site_registered", "login_succeeded"]);
}

#[test]
fn a_login_and_a_backup_are_in_the_trail_with_their_address() {
    let admin = Sysadmin::start();
    let entry = admin.newest_in_audit();
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
    let backup = admin.server.get("/api/backup").bearer(&admin.token).send();
    assert_eq!(backup.status, 200);
    let entry = admin.newest_in_audit();
    assert_eq!(
        (&entry["action"], &entry["actor"], &entry["ip"], &entry["admin"], &entry["changes"]),
        (&json!("backup_taken"), &json!("sysadmin"), &json!("127.0.0.1"), &Value::Null, &json!([]))
    );
    let copy = admin.server.data_dir().join("copy.redb");
    let mut command = crate::server::sitewarden(&["backup", "--socket"]);
    command.arg(admin.server.data_dir().join("control.sock")).arg(&copy);
    assert!(crate::server::run_to_end(command).status.success());
    let entry = admin.newest_in_audit();
    assert_eq!(
        (&entry["action"], &entry["actor_kind"], &entry["ip"]),
        (&json!("backup_taken"), &json!("system"), &Value::Null)
    );
    // Nor does one that nobody is let have make an entry, or one of the
    // server's own.
    admin.server.get("/api/backup").send().assert_problem(401);
    assert_eq!(actions(&admin.audit("?action=backup_taken")).len(), 2);
}

#[test]
fn failed_logins_are_kept_apart_with_their_address_and_no_name_that_is_no_admins() {
    let admin = Sysadmin::start();
    for (name, password, kept) in [
        ("SYSadmin", "wrong password", json!("sysadmin")),
        ("correct horse battery", "swk_secret-typed-here", Value::Null),
    ] {
        let body = json!({ "username": name, "password": password });
        assert_eq!(admin.server.post("/api/auth/login").json(&body).send().status, 401);
        let entry = admin.audit("?actor_kind=stranger&limit=1").remove(0);
        let fields: Vec<&String> = entry.as_object().unwrap().keys().collect();
        assert_eq!(
            fields,
            [
                "id",
                "at",
                "actor",
                "actor_kind",
                "token",
                "ip",
                "action",
                "site_id",
                "site_name",
                "admin",
                "changes"
            ]
        );
        assert_eq!(
            (&entry["action"], &entry["actor_kind"], &entry["actor"], &entry["ip"], &entry["admin"]),
            (&json!("login_failed"), &json!("stranger"), &kept, &json!("127.0.0.1"), &kept)
        );
        assert_eq!((&entry["site_id"], &entry["changes"]), (&Value::Null, &json!([])));
        assert!(!entry.to_string().contains(password), "{entry}");
        assert!(!admin.server.log().contains("horse"), "{}", admin.server.log());
    }
    assert_eq!(actions(&admin.audit("")), ["login_succeeded"], "nothing of it is in the trail");
    assert_eq!(admin.audit("?action=login_failed"), admin.audit("?actor_kind=stranger"));
    assert_eq!(admin.audit("?actor_kind=stranger&admin=Sysadmin").len(), 1);
    let page = admin.server.get("/api/audit?actor_kind=stranger&limit=1").bearer(&admin.token).send();
    assert_eq!(page.header("X-Total-Count"), "2");
    let link = page.header("Link").to_owned();
    let next = link.trim_start_matches('<').split('>').next().unwrap();
    assert!(next.contains("actor_kind=stranger"), "{next}");
    let next = admin.server.get(next).bearer(&admin.token).send();
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
        let admin = Sysadmin::of(server);
        let mut left = Vec::new();
        until("one of the two is left", || {
            left = admin.audit("?actor_kind=stranger");
            left.len() == 1
        });
        assert_eq!(left[0]["id"], 2, "{days} days");
    }
}

#[test]
fn failed_logins_are_there_after_a_restart_and_in_no_backup() {
    let admin = Sysadmin::start();
    let wrong = json!({ "username": "sysadmin", "password": "wrong password" });
    assert_eq!(admin.server.post("/api/auth/login").json(&wrong).send().status, 401);
    let backup = admin.server.get("/api/backup").bearer(&admin.token).send().body;
    let file = admin.server.data_dir().join("copy.redb");
    std::fs::write(&file, backup).unwrap();
    let mut check = crate::server::sitewarden(&["check", "--json"]);
    check.arg(&file);
    let report: Value = serde_json::from_slice(&crate::server::run_to_end(check).stdout).unwrap();
    assert_eq!(report["counts"]["strangers"], 0);
    let admin = admin.restart();
    assert_eq!(admin.audit("?actor_kind=stranger").len(), 1);
}

#[test]
fn the_trail_is_read_to_its_end_by_its_links_newest_first() {
    let admin = Sysadmin::start();
    for number in 0..5 {
        admin.server.register_as(&admin.token, &json!({ "name": format!("Site {number}") }));
    }
    let (mut next, mut ids, mut pages) = ("/api/audit?limit=2&admin=SysAdmin".to_owned(), Vec::new(), 0);
    loop {
        let page = admin.server.get(&next).bearer(&admin.token).send();
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
    let admin = Sysadmin::start();
    let [a, b] = [admin.server.register(&admin.token), admin.server.register(&admin.token)];
    admin.change("POST", &format!("{}/lock", path_of(&a)), &json!({ "reason": "unpaid" }));
    admin.change("POST", "/api/admins", &json!({ "username": "Anna", "password": "correct horse battery" }));
    let of = |query: String| actions(&admin.audit(&query)).len();
    let id = |site: &Value| site["site_id"].as_str().unwrap().to_owned();
    assert_eq!((of(format!("?site_id={}", id(&a))), of(format!("?site_id={}", id(&b)))), (2, 1));
    assert_eq!(of("?admin=anna".to_owned()), 1, "acted on");
    assert_eq!(of("?admin=sysadmin".to_owned()), 5, "acted");
    assert_eq!(of("?action=site_registered".to_owned()), 2);
    assert_eq!(of(format!("?action=site_locked&site_id={}", id(&b))), 0);
    assert_eq!((of("?actor_kind=admin".to_owned()), of("?actor_kind=system".to_owned())), (5, 0));
    assert_eq!(of(format!("?admin=anna&site_id={}", id(&a))), 0);
    let newest = admin.newest_in_audit()["at"].as_str().unwrap().to_owned();
    assert!(of(format!("?since={newest}")) >= 1, "from that second on");
    assert_eq!(of(format!("?since={newest}")) + of(format!("?until={newest}")), 5, "each in one of them");
    assert_eq!(of("?since=2099-01-01T00:00:00Z".to_owned()), 0);
    assert_eq!(of("?until=2001-01-01T00:00:00%2B01:00".to_owned()), 0);
    let bad = "/api/audit?site_id=x&admin=&since=yesterday&until=2030&limit=0&after=x&action=login&actor_kind=unproven";
    let answer = admin.server.get(bad).bearer(&admin.token).send();
    answer
        .assert_names(422, &["site_id", "admin", "since", "until", "limit", "after", "action", "actor_kind"]);
    let told = answer.json()["errors"].to_string();
    assert!(told.contains("must be one of admin, system, stranger"), "{told}");
    assert!(told.contains("must be one of site_registered, ") && told.contains(", login_failed"), "{told}");
}

#[test]
fn a_user_of_the_host_is_in_the_trail_under_the_name_of_the_system() {
    let admin = Sysadmin::start();
    let mut command = crate::server::sitewarden(&["admin", "create", "anna", "--socket"]);
    let password = admin.server.data_dir().join("password");
    std::fs::write(&password, "correct horse battery\n").unwrap();
    command.arg(admin.server.data_dir().join("control.sock"));
    command.stdin(std::fs::File::open(&password).unwrap());
    assert!(crate::server::run_to_end(command).status.success());
    let entry = admin.newest_in_audit();
    let uid = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let user = users.lines().find(|line| line.split(':').nth(2) == Some(&uid));
    let user = user.map_or(uid.as_str(), |line| line.split(':').next().unwrap());
    assert_eq!(
        (&entry["actor"], &entry["actor_kind"], &entry["ip"], &entry["admin"]),
        (&json!(user), &json!("system"), &Value::Null, &json!("anna"))
    );
}

/// The hash of an entry as the API tells of it, by the words of the
/// documentation alone.
fn hash_after(before: &[u8], entry: &Value) -> Vec<u8> {
    let mut bytes = before.to_vec();
    let mut tell = |text: Option<String>| {
        bytes.push(u8::from(text.is_some()));
        if let Some(text) = text {
            bytes.extend((text.len() as u64).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    tell(Some("sitewarden audit entry 1".to_owned()));
    tell(Some(entry["id"].to_string()));
    for field in ["at", "actor", "actor_kind", "token", "ip", "action", "site_id", "admin"] {
        tell(text(&entry[field]));
    }
    let changes = entry["changes"].as_array().unwrap();
    tell(Some(changes.len().to_string()));
    for change in changes {
        for field in ["field", "before", "after"] {
            tell(text(&change[field]));
        }
    }
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes).as_ref().to_vec()
}

#[test]
fn who_reads_the_trail_can_compute_the_head_that_the_server_tells_sysadmins() {
    let admin = Sysadmin::start();
    let site = admin.register(json!({ "name": "Trattoria \"Ünal\" 🍕" }));
    admin.change("POST", &format!("{}/lock", path_of(&site)), &json!({ "reason": "unpaid" }));
    admin.change("POST", &format!("{}/unlock", path_of(&site)), &json!({}));
    let mut entries = admin.audit("");
    entries.reverse();
    let hash = entries.iter().fold(vec![0; 32], |before, entry| hash_after(&before, entry));
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let head = admin.get("/api/audit/head").json();
    let number = entries.len();
    let expected = json!({ "number": number, "hash": hash, "head": format!("{number}:{hash}") });
    assert_eq!(head, expected);
    let health = |call: crate::client::Call| call.send().json()["audit"].clone();
    assert_eq!(health(admin.server.get("/health").bearer(&admin.token)), expected);
    assert_eq!(health(admin.server.get("/health")), Value::Null, "strangers are not told");
    let verify = admin.get(&format!("/api/audit/verify?expect={number}:{hash}")).json();
    assert_eq!(
        verify,
        json!({
            "good": true, "entries": number, "head": expected, "fault": null, "expected": "met",
            "chained_at_upgrade": 0, "forgotten": [],
        })
    );
    let bad = admin.server.get("/api/audit/verify?expect=7").bearer(&admin.token).send();
    bad.assert_names(422, &["expect"]);
    for path in ["/api/audit/head", "/api/audit/verify"] {
        assert_eq!(admin.server.get(path).send().status, 401);
    }
}

//! Tokens for programs: made, used, ended.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use crate::client::Answer;
use crate::server::{Server, Setup, run_to_end, sitewarden, until};
use crate::sysadmin::Sysadmin;

fn create(admin: &Sysadmin, body: &Value) -> Answer {
    admin.call("POST", "/api/tokens").json(body).send()
}

/// A token with these fields besides.
fn made(admin: &Sysadmin, name: &str, scope: &str, fields: &Value) -> Value {
    let mut body = json!({ "name": name, "scope": scope });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let answer = create(admin, &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

fn text(token: &Value) -> String {
    token["token"].as_str().unwrap().to_owned()
}

fn in_days(days: i64) -> String {
    (Utc::now() + TimeDelta::days(days)).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn me(admin: &Sysadmin, token: &str) -> Answer {
    admin.server.get("/api/auth/me").bearer(token).send()
}

#[test]
fn a_token_is_shown_once_does_its_work_and_is_dead_when_it_is_ended() {
    let admin = Sysadmin::start();
    let answer = create(&admin, &json!({ "name": " shop ", "scope": "operate" }));
    assert_eq!(answer.status, 201, "{}", answer.text());
    let fields =
        ["id", "name", "admin", "scope", "created_at", "expires_at", "networks", "last_used_on", "token"];
    assert_eq!(answer.fields(), fields);
    let token = answer.json();
    assert_eq!(
        (&token["id"], &token["name"], &token["admin"]),
        (&json!(1), &json!("shop"), &json!("sysadmin"))
    );
    assert_eq!((&token["networks"], &token["last_used_on"]), (&json!([]), &Value::Null));
    let day = |text: &Value| text.as_str().unwrap()[..10].parse::<chrono::NaiveDate>().unwrap();
    assert_eq!((day(&token["expires_at"]) - day(&token["created_at"])).num_days(), 90);
    let secret = text(&token);
    assert!(secret.starts_with("swt_") && secret.len() == 42, "{secret}");

    let told = me(&admin, &secret).json();
    assert_eq!(
        (&told["username"], &told["scope"], &told["token"]),
        (&json!("sysadmin"), &json!("operate"), &json!("shop"))
    );
    assert_eq!(told["expires_at"], token["expires_at"]);
    let login = admin.get("/api/auth/me").json();
    assert_eq!((&login["scope"], &login["token"]), (&json!("admin"), &Value::Null));
    let site = admin.server.register(&secret);

    let list = admin.get("/api/tokens");
    assert!(!list.text().contains(&secret[4..36]), "{}", list.text());
    assert_eq!(list.json()[0].as_object().unwrap().keys().collect::<Vec<_>>(), fields[..8]);

    // What was done with it is told of as the admin's, and as the token's.
    let trail = admin.get("/api/audit").json();
    let entry = |action: &str| {
        trail.as_array().unwrap().iter().find(|entry| entry["action"] == action).unwrap().clone()
    };
    let registered = entry("site_registered");
    assert_eq!(registered["site_id"], site["site_id"]);
    assert_eq!((&registered["actor"], &registered["token"]), (&json!("sysadmin"), &json!("shop")));
    let created = entry("token_created");
    assert_eq!((&created["token"], &created["admin"]), (&Value::Null, &json!("sysadmin")));
    let changes: Vec<_> = created["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| (&change["field"], &change["after"]))
        .collect();
    assert_eq!(changes[..2], [(&json!("token"), &json!("shop")), (&json!("scope"), &json!("operate"))]);
    assert!(!admin.get("/api/audit").text().contains(&secret[4..36]));
    admin.server.log_line(|line| line.contains("/api/sites") && line.contains("\"token\":\"shop\""));
    assert!(!admin.server.log().contains(&secret[4..36]));

    assert_eq!(admin.call("DELETE", "/api/tokens/1").send().status, 204);
    me(&admin, &secret).assert_problem(401);
    admin.call("DELETE", "/api/tokens/1").send().assert_problem(404);
    admin.call("DELETE", "/api/tokens/one").send().assert_names(400, &["id"]);
    assert_eq!(admin.get("/api/tokens").json(), json!([]));
    assert_eq!(admin.get("/api/audit").json()[0]["action"], "token_ended");
    assert_eq!(made(&admin, "shop", "read", &json!({}))["id"], 2, "the number is not given again");
}

#[test]
fn a_mistyped_token_is_told_from_an_unknown_one_before_the_store_is_asked() {
    let admin = Sysadmin::start();
    let secret = text(&made(&admin, "shop", "read", &json!({})));
    let last = if secret.ends_with('0') { "1" } else { "0" };
    for wrong in [
        format!("{}{last}", &secret[..41]),
        secret[..41].to_owned(),
        secret.to_lowercase(),
        "swt_".to_owned(),
    ] {
        let answer = me(&admin, &wrong);
        answer.assert_problem(401);
        assert!(answer.text().contains("its checksum does not fit"), "{}", answer.text());
        assert_eq!(answer.header("WWW-Authenticate"), "Bearer realm=\"sitewarden\", error=\"invalid_token\"");
    }
    // Of zeros, with the checksum that belongs to them.
    let unknown = me(&admin, "swt_000000000000000000000000000000003bl6mJ");
    unknown.assert_problem(401);
    assert!(unknown.text().contains("there is no such token"), "{}", unknown.text());
    assert_eq!(me(&admin, &secret).status, 200);
}

#[test]
fn what_a_token_cannot_be_is_named() {
    let admin = Sysadmin::start();
    let refused = |fields: Value, named: &[&str]| {
        let mut body = json!({ "name": "x", "scope": "read" });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        create(&admin, &body).assert_names(422, named);
    };
    for scope in ["owner", "Read", "read operate", ""] {
        refused(json!({ "scope": scope }), &["scope"]);
    }
    for expires in [in_days(-1), in_days(401), "tomorrow".to_owned()] {
        refused(json!({ "expires_at": expires }), &["expires_at"]);
    }
    let many: Vec<_> = (0..21).map(|number| format!("10.0.{number}.0/24")).collect();
    for networks in [json!("10.0.0.0/8"), json!(["here"]), json!([7]), json!(["10.0.0.0/33"]), json!(many)] {
        refused(json!({ "networks": networks }), &["networks"]);
    }
    refused(
        json!({ "name": "x".repeat(65), "scope": 1, "networks": [""], "scopes": [] }),
        &["name", "scope", "networks", "scopes"],
    );
    refused(json!({ "admin": "sysadmin" }), &["admin"]);
    create(&admin, &json!({})).assert_names(422, &["name", "scope"]);
    assert_eq!(made(&admin, "long", "read", &json!({ "expires_at": in_days(399) }))["name"], "long");
    create(&admin, &json!({ "name": "long", "scope": "admin" })).assert_problem(409);
}

#[test]
fn a_token_counts_to_the_end_of_its_last_day() {
    let admin = Sysadmin::of(Server::configured("[licence]\ntime_zone = \"Pacific/Kiritimati\"\n"));
    // 14 hours before UTC, all year.
    let days = |days| Utc::now() + TimeDelta::days(days);
    let day = days(30).format("%Y-%m-%d").to_string();
    let token = made(&admin, "dated", "read", &json!({ "expires_on": day }));
    assert_eq!(token["expires_at"], format!("{day}T10:00:00Z"));
    for on in [days(-2), days(402)] {
        let on = on.format("%Y-%m-%d").to_string();
        create(&admin, &json!({ "name": "x", "scope": "read", "expires_on": on }))
            .assert_names(422, &["expires_on"]);
    }
    for wrong in [
        json!({ "name": "x", "scope": "read", "expires_on": "2030-02-30" }),
        json!({ "name": "x", "scope": "read", "expires_on": day, "expires_at": in_days(3) }),
    ] {
        create(&admin, &wrong).assert_names(422, &["expires_on"]);
    }
}

#[test]
fn an_admin_has_at_most_100_tokens() {
    let admin = Sysadmin::start();
    for number in 0..100 {
        made(&admin, &format!("number {number}"), "read", &json!({}));
    }
    let refused = create(&admin, &json!({ "name": "one more", "scope": "read" }));
    refused.assert_problem(409);
    assert!(refused.text().contains("at most 100"), "{}", refused.text());
    assert_eq!(admin.call("DELETE", "/api/tokens/7").send().status, 204);
    made(&admin, "one more", "read", &json!({}));
}

#[test]
fn a_token_makes_none_that_outlives_it_or_counts_elsewhere() {
    let admin = Sysadmin::start();
    let limits = json!({ "expires_at": in_days(10), "networks": ["127.0.0.0/8"] });
    let parent = made(&admin, "parent", "admin", &limits);
    let ask = |body: Value| admin.server.post("/api/tokens").bearer(&text(&parent)).json(&body).send();
    let child = ask(json!({ "name": "child", "scope": "admin" }));
    assert_eq!(child.status, 201, "{}", child.text());
    assert_eq!(
        (&child.json()["expires_at"], &child.json()["networks"]),
        (&parent["expires_at"], &parent["networks"])
    );
    ask(json!({ "name": "b", "scope": "read", "expires_at": in_days(11), "networks": [] }))
        .assert_names(422, &["expires_at", "networks"]);
    ask(json!({ "name": "c", "scope": "read", "networks": ["127.0.0.0/7"] }))
        .assert_names(422, &["networks"]);
    let trail = admin.get("/api/audit?action=token_created&limit=1").json();
    assert_eq!((&trail[0]["actor"], &trail[0]["token"]), (&json!("sysadmin"), &json!("parent")));
    // A lesser one makes none at all.
    let operate = made(&admin, "operate", "operate", &json!({}));
    let body = json!({ "name": "d", "scope": "read" });
    admin.server.post("/api/tokens").bearer(&text(&operate)).json(&body).send().assert_problem(403);
}

#[test]
fn networks_are_held_against_the_address_that_a_trusted_proxy_tells() {
    let server = Setup::new().config("trusted_proxies = [\"127.0.0.1\"]\n").start();
    let admin = Sysadmin::of(server);
    let secret =
        text(&made(&admin, "shop", "read", &json!({ "networks": ["203.0.113.0/24", "2001:db8::7"] })));
    let from = |address: &str| {
        admin.server.get("/api/auth/me").bearer(&secret).header("X-Forwarded-For", address).send()
    };
    for good in ["203.0.113.9", "198.51.100.1, 203.0.113.9", "2001:db8::7", "::ffff:203.0.113.9"] {
        assert_eq!(from(good).status, 200, "{good}");
    }
    for bad in ["198.51.100.1", "203.0.113.9, 198.51.100.1", "2001:db8::8", "127.0.0.1"] {
        from(bad).assert_problem(401);
    }
    let refused = from("198.51.100.1");
    assert!(refused.text().contains("does not count from 198.51.100.1"), "{}", refused.text());
    assert!(!refused.text().contains("203.0.113"), "where it does count is not told: {}", refused.text());
}

#[test]
fn a_token_dies_with_its_admin_and_not_with_the_password() {
    let admin = Sysadmin::start();
    let body = json!({ "username": "bert", "password": "correct horse battery" });
    assert_eq!(admin.call("POST", "/api/admins").json(&body).send().status, 201);
    let login = admin.server.try_login("bert", "correct horse battery").json();
    let login = login["access_token"].as_str().unwrap();
    let body = json!({ "name": "till", "scope": "admin" });
    let bert = text(&admin.server.post("/api/tokens").bearer(login).json(&body).send().json());
    let body = json!({ "password": "another horse battery" });
    assert_eq!(admin.call("PUT", "/api/admins/bert/password").json(&body).send().status, 204);
    assert_eq!(me(&admin, login).status, 401);
    assert_eq!(me(&admin, &bert).json()["username"], "bert");
    // Over a restart, too.
    let admin = admin.restart();
    assert_eq!(me(&admin, &bert).status, 200);
    assert_eq!(admin.call("DELETE", "/api/admins/bert").send().status, 204);
    me(&admin, &bert).assert_problem(401);
    assert_eq!(admin.get("/api/tokens").json(), json!([]));
}

#[test]
fn the_day_of_the_last_use_is_written_once_and_a_read_waits_for_no_write() {
    let server = Setup::new().metrics().start();
    let admin = Sysadmin::of(server);
    let secret = text(&made(&admin, "monitor", "read", &json!({})));
    let used = || admin.get("/api/tokens").json()[0]["last_used_on"].clone();
    assert_eq!(used(), Value::Null);
    // One that may not do what it asks for was not used.
    admin.server.get("/api/tokens").bearer(&secret).send().assert_problem(403);
    assert_eq!(me(&admin, &secret).status, 200);
    until("the day was not noted", || used() != Value::Null);
    let today = Utc::now().format("%Y-%m-%d").to_string();
    let yesterday = (Utc::now() - TimeDelta::days(1)).format("%Y-%m-%d").to_string();
    assert!(used() == today || used() == yesterday, "{} {today}", used());
    let commits = || {
        let metrics = admin.server.metrics();
        let name = "sitewarden_store_commit_duration_seconds_count ";
        let line = metrics.text().lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        line[name.len()..].parse::<u64>().unwrap()
    };
    let before = commits();
    for _ in 0..50 {
        assert_eq!(me(&admin, &secret).status, 200);
    }
    // Only midnight can make it one.
    assert!(commits() - before <= 1, "{} commits for 50 reads", commits() - before);
}

#[test]
fn a_token_that_ends_within_14_days_is_warned_of_in_the_log_and_the_metrics() {
    let server = Setup::new().metrics().start();
    let admin = Sysadmin::of(server);
    let value = |admin: &Sysadmin, name: &str| {
        let metrics = admin.server.metrics();
        let line =
            metrics.text().lines().find(|line| line.starts_with(&format!("{name} "))).unwrap().to_owned();
        line[name.len() + 1..].parse::<f64>().unwrap()
    };
    let (count, first) = ("sitewarden_tokens_expiring_14d", "sitewarden_token_expiry_timestamp_seconds");
    assert_eq!((value(&admin, count), value(&admin, first)), (0.0, 0.0));
    made(&admin, "late", "read", &json!({ "expires_at": in_days(15) }));
    assert_eq!(value(&admin, count), 0.0);
    let soon = made(&admin, "soon", "backup", &json!({ "expires_at": in_days(13) }));
    let end = chrono::DateTime::parse_from_rfc3339(soon["expires_at"].as_str().unwrap()).unwrap();
    #[expect(clippy::cast_precision_loss, reason = "exact to 2^53 seconds")]
    let end = end.timestamp() as f64;
    assert_eq!((value(&admin, count), value(&admin, first)), (1.0, end));
    let admin = admin.restart();
    let warning = admin.server.log_line(|line| line.contains("expires within 14 days"));
    assert!(warning.contains("\"token\":\"soon\"") && warning.contains("\"scope\":\"backup\""), "{warning}");
    assert_eq!(value(&admin, count), 1.0);
    let log = admin.server.stop();
    assert_eq!(log.matches("expires within 14 days").count(), 1, "once, and of none else: {log}");
}

#[test]
fn a_copy_has_the_hash_of_a_token_and_not_the_token_and_a_backup_token_takes_it() {
    let admin = Sysadmin::start();
    let secret = text(&made(&admin, "nightly", "backup", &json!({})));
    let copy = admin.server.get("/api/backup").bearer(&secret).send();
    assert_eq!(copy.status, 200);
    let holds = |what: &[u8]| copy.body.windows(what.len()).any(|part| part == what);
    assert!(holds(b"nightly"), "the token is in the copy");
    assert!(!holds(secret.as_bytes()) && !holds(&secret.as_bytes()[4..36]), "its text is not");
    // As a cron job does it.
    let directory = admin.server.directory();
    std::fs::write(directory.join("token"), format!("{secret}\n")).unwrap();
    let cacert = admin.server.certificate();
    let mut command = sitewarden(&["backup", "copy.redb", "--token", "token", "--url", admin.server.url()]);
    command.arg("--cacert").arg(&cacert).current_dir(directory).env("HOME", directory);
    let output = run_to_end(command);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let trail = admin.get("/api/audit?action=backup_taken&limit=1").json();
    assert_eq!((&trail[0]["actor"], &trail[0]["token"]), (&json!("sysadmin"), &json!("nightly")));
    let mut command = sitewarden(&["site", "list", "--url", admin.server.url()]);
    // Without a home, as a service runs.
    command.arg("--cacert").arg(&cacert).env("SITEWARDEN_TOKEN", &secret);
    let output = run_to_end(command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("needs the scope read, and the token has backup"), "{said}");
}

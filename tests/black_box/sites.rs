//! What a sysadmin does with sites.

use std::io::Read as _;

use serde_json::{Value, json};

use crate::client::Answer;
use crate::server::{new_site, path_of};
use crate::sysadmin::Sysadmin;

const FIELDS: [&str; 30] = [
    "id",
    "site_id",
    "name",
    "owner_name",
    "contact_email",
    "is_active",
    "is_locked",
    "lock_reason",
    "license_expires_at",
    "license_expires_on",
    "created_at",
    "last_seen_at",
    "last_seen_ip",
    "last_version",
    "last_uptime_seconds",
    "last_key_used",
    "old_key_valid_until",
    "tags",
    "notes",
    "features",
    "time_zone",
    "grace_days",
    "offline_hours",
    "locked_at",
    "lock_until",
    "scheduled_lock",
    "delivery",
    "licensed",
    "grace_ends_at",
    "status",
];

impl Sysadmin {
    fn try_register(&self, fields: Value) -> Answer {
        let mut site = new_site();
        site.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.call("POST", "/api/sites").json(&site).send()
    }

    fn update(&self, site: &Value, change: Value) -> Answer {
        self.call("PUT", &path_of(site)).json(&change).send()
    }

    pub(crate) fn lock(&self, site: &Value, reason: Value) -> Answer {
        self.call("POST", &format!("{}/lock", path_of(site))).json(&reason).send()
    }

    fn unlock(&self, site: &Value) -> Answer {
        self.call("POST", &format!("{}/unlock", path_of(site))).send()
    }

    fn delete(&self, site: &Value) -> Answer {
        self.call("DELETE", &path_of(site)).send()
    }

    /// The ids on a page.
    fn ids(&self, path: &str) -> Vec<u64> {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        ids_of(&answer)
    }
}

fn ids_of(answer: &Answer) -> Vec<u64> {
    answer.json().as_array().unwrap().iter().map(|site| site["id"].as_u64().unwrap()).collect()
}

fn unix(time: &Value) -> i64 {
    let time = time.as_str().unwrap();
    assert!(time.ends_with('Z') && !time.contains('.'), "{time}");
    chrono::DateTime::parse_from_rfc3339(time).unwrap().timestamp()
}

#[test]
fn a_site_is_registered_with_its_key_shown_this_once() {
    let admin = Sysadmin::start();
    for (number, path) in [(1, "/api/sites"), (2, "/api/sites/")] {
        let before = chrono::Utc::now().timestamp();
        let answer = admin.server.post(path).bearer(&admin.token).json(&new_site()).send();
        let after = chrono::Utc::now().timestamp();
        assert_eq!(answer.status, 201);
        let fields = answer.fields();
        assert_eq!(
            (&fields[..30], fields[30].as_str(), fields.len()),
            (&FIELDS.map(str::to_owned)[..], "secret_key", 31)
        );
        let site = answer.json();
        assert_eq!(site["id"], number);
        assert_eq!(answer.header("Location"), path_of(&site));
        assert!((before..=after).contains(&unix(&site["created_at"])));
        for (field, value) in [
            ("name", json!("Trattoria Da Mario")),
            ("owner_name", json!("Mario Rossi")),
            ("contact_email", json!("mario@example.com")),
            ("is_active", json!(true)),
            ("is_locked", json!(false)),
            ("lock_reason", json!(null)),
            ("license_expires_at", json!("2099-12-31T00:00:00Z")),
            ("last_seen_at", json!(null)),
            ("last_seen_ip", json!(null)),
            ("last_version", json!(null)),
            ("last_uptime_seconds", json!(null)),
            ("last_key_used", json!(null)),
            ("old_key_valid_until", json!(null)),
            ("license_expires_on", json!("2099-12-30")),
            ("tags", json!([])),
            ("notes", json!("")),
            ("features", json!([])),
            ("time_zone", json!(null)),
            ("grace_days", json!(null)),
            ("offline_hours", json!(null)),
            ("locked_at", json!(null)),
            ("lock_until", json!(null)),
            ("scheduled_lock", json!(null)),
            ("grace_ends_at", json!(null)),
            ("licensed", json!(true)),
            ("status", json!("never_seen")),
        ] {
            assert_eq!(site[field], value, "{field}");
        }
        let key = site["secret_key"].as_str().unwrap();
        let random = key.strip_prefix("swk_").unwrap();
        assert_eq!(random.len(), 43, "256 bits in base64url");
        assert!(random.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));

        let shown = admin.get(answer.header("Location"));
        assert_eq!(shown.fields(), FIELDS);
        assert_eq!(shown.header("ETag"), answer.header("ETag"));
        for listed in [shown.text(), admin.get("/api/sites").text()] {
            assert!(!listed.contains("swk_") && !listed.contains("secret_key"), "{listed}");
        }
    }
    let all = admin.get("/api/sites").json();
    assert_ne!(all[0]["site_id"], all[1]["site_id"]);
}

#[test]
fn every_bad_field_of_a_new_site_is_named_at_once() {
    let admin = Sysadmin::start();
    let post = |body: Value| admin.server.post("/api/sites").bearer(&admin.token).json(&body).send();
    let all = ["name", "owner_name", "contact_email", "license_expires_at"];
    post(json!({})).assert_names(422, &["name", "contact_email", "license_expires_at"]);
    post(json!({ "name": "", "owner_name": "\u{7}", "contact_email": "x", "license_expires_at": "soon" }))
        .assert_names(422, &all);
    post(json!({ "name": 1, "owner_name": null, "contact_email": [], "license_expires_at": 4102444800_u64 }))
        .assert_names(422, &all);
    admin
        .try_register(
            json!({ "licence_expires_at": "2099-12-31T00:00:00Z", "is_locked": true, "secret_key": "x" }),
        )
        .assert_names(422, &["licence_expires_at", "is_locked", "secret_key"]);
    // A zone that nobody knows too, in a batch and a change of many as well.
    let nowhere = json!({ "name": "", "contact_email": "x", "license_expires_on": "2099-12-31", "time_zone": "Europe/Nowhere" });
    let named = ["name", "contact_email", "time_zone"];
    post(nowhere.clone()).assert_names(422, &named);
    let mut item = nowhere;
    item["op"] = json!("register");
    let batch = admin.call("POST", "/api/sites/batch").json(&json!({ "items": [item] })).send().json();
    let errors = batch["results"][0]["errors"].as_array().unwrap();
    assert_eq!(errors.iter().map(|error| &error["field"]).collect::<Vec<_>>(), named);
    let many = json!({ "filter": { "q": "x" }, "op": "update", "name": "", "time_zone": "Mars/Olympus", "dry_run": true });
    admin.call("POST", "/api/sites/bulk").json(&many).send().assert_names(422, &["name", "time_zone"]);
    assert_eq!(admin.get("/api/sites").text(), "[]", "nothing was registered");
}

#[test]
fn the_owner_may_be_left_out_and_is_nobody_then() {
    let admin = Sysadmin::start();
    let mut new = new_site();
    new.as_object_mut().unwrap().remove("owner_name");
    let answer = admin.server.post("/api/sites").bearer(&admin.token).json(&new).send();
    assert_eq!((answer.status, &answer.json()["owner_name"]), (201, &json!("")));
    new["op"] = json!("register");
    let batch = json!({ "items": [new] });
    let answer = admin.server.post("/api/sites/batch").bearer(&admin.token).json(&batch).send();
    assert_eq!(answer.json()["results"][0]["site"]["owner_name"], "", "{}", answer.text());
}

#[test]
fn each_text_is_trimmed_and_taken_up_to_its_bound_and_not_beyond() {
    let admin = Sysadmin::start();
    let site = admin.register(
        json!({ "name": "  Da Mario\u{a0}", "owner_name": "\t", "contact_email": " a@example.com " }),
    );
    assert_eq!(
        (&site["name"], &site["owner_name"], &site["contact_email"]),
        (&json!("Da Mario"), &json!(""), &json!("a@example.com"))
    );

    let address = |length: usize| {
        let rest = format!("@{}.{}.{}.example.com", "d".repeat(60), "d".repeat(60), "d".repeat(50));
        "l".repeat(length - rest.len()) + &rest
    };
    let longest =
        format!("{}@{}.{}.{}.example.com", "l".repeat(64), "d".repeat(60), "d".repeat(60), "d".repeat(55));
    assert_eq!(longest.len(), 254);
    let too_long =
        format!("{}@{}.{}.{}.example.com", "l".repeat(64), "d".repeat(60), "d".repeat(60), "d".repeat(56));
    for (field, good) in [
        ("name", "x".to_owned()),
        ("name", "é".repeat(200)),
        ("name", format!("  {}  ", "x".repeat(200))),
        ("owner_name", String::new()),
        ("owner_name", "🍕".repeat(200)),
        ("contact_email", "a@b.io".to_owned()),
        ("contact_email", address(200)),
        ("contact_email", longest),
    ] {
        let site = admin.register(json!({ field: good }));
        assert_eq!(site[field], good.trim());
        let answer = admin.update(&site, json!({ field: good }));
        assert_eq!((answer.status, &answer.json()[field]), (200, &json!(good.trim())));
    }
    let site = admin.register(json!({}));
    for (field, bad) in [
        ("name", String::new()),
        ("name", "   ".to_owned()),
        ("name", "é".repeat(201)),
        ("name", "a\u{0}b".to_owned()),
        ("name", "a\nb".to_owned()),
        ("name", "a\u{85}b".to_owned()),
        ("owner_name", "x".repeat(201)),
        ("owner_name", "a\u{1b}[31mb".to_owned()),
        ("contact_email", String::new()),
        ("contact_email", "mario".to_owned()),
        ("contact_email", "mario@".to_owned()),
        ("contact_email", "mario@localhost".to_owned()),
        ("contact_email", "Mario <mario@example.com>".to_owned()),
        ("contact_email", "mario@example.com\r\nBcc: all@example.com".to_owned()),
        ("contact_email", too_long),
    ] {
        admin.try_register(json!({ field: bad })).assert_names(422, &[field]);
        admin.update(&site, json!({ field: bad })).assert_names(422, &[field]);
    }
}

#[test]
fn a_time_of_any_offset_is_taken_and_given_in_utc_with_whole_seconds() {
    let admin = Sysadmin::start();
    for (given, kept) in [
        ("2030-06-01T00:00:00Z", "2030-06-01T00:00:00Z"),
        ("2030-06-01T02:30:00+02:30", "2030-06-01T00:00:00Z"),
        ("2030-05-31T19:00:00.999-05:00", "2030-06-01T00:00:00Z"),
        ("2030-06-01t00:00:00z", "2030-06-01T00:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    ] {
        let site = admin.register(json!({ "license_expires_at": given, "allow_past": true }));
        assert_eq!(site["license_expires_at"], kept, "{given}");
    }
    for bad in [
        "2030-06-01",
        "2030-06-01T00:00:00",
        "2030-02-30T00:00:00Z",
        "9999-12-31T23:59:59-01:00",
        "tomorrow",
        "1893456000",
        "",
    ] {
        admin.try_register(json!({ "license_expires_at": bad })).assert_names(422, &["license_expires_at"]);
    }
}

#[test]
fn an_update_changes_the_fields_given_and_leaves_the_others() {
    let admin = Sysadmin::start();
    let mut site = admin.register(json!({}));
    site.as_object_mut().unwrap().remove("secret_key");
    for (field, value) in [
        ("name", json!("Da Luigi")),
        ("owner_name", json!("")),
        ("contact_email", json!("luigi@example.com")),
        ("license_expires_at", json!("2031-01-01T00:00:00Z")),
    ] {
        let answer = admin.update(&site, json!({ field: value }));
        assert_eq!((answer.status, answer.fields()), (200, FIELDS.map(str::to_owned).to_vec()));
        site[field] = value;
        if field == "license_expires_at" {
            // What follows from it.
            site["license_expires_on"] = json!("2030-12-31");
            site["delivery"]["revision"] = json!(2);
            site["delivery"]["changed_at"] = answer.json()["delivery"]["changed_at"].clone();
        }
        assert_eq!(answer.json(), site, "{field}");
    }
    let off = admin.update(&site, json!({ "is_active": false })).json();
    assert_eq!(
        (&off["is_active"], &off["licensed"], &off["status"]),
        (&json!(false), &json!(false), &json!("inactive"))
    );
    let mut on = admin.update(&site, json!({ "is_active": true })).json();
    assert_eq!(on["delivery"]["revision"], 4);
    site["delivery"] = on["delivery"].take();
    on["delivery"] = site["delivery"].clone();
    assert_eq!(on, site);
    assert_eq!(admin.update(&site, json!({})).json(), site, "nothing given, nothing changed");
    assert_eq!(admin.get(&(path_of(&site) + "/")).json(), site);
    let many = json!({ "name": "All", "owner_name": "At", "contact_email": "once@example.com", "is_active": false, "extend_days": 1 });
    let answer = admin.update(&site, many.clone()).json();
    for field in ["name", "owner_name", "contact_email", "is_active"] {
        assert_eq!(answer[field], many[field]);
    }
}

#[test]
fn every_bad_field_of_an_update_is_named_at_once_and_nothing_is_changed() {
    let admin = Sysadmin::start();
    let site = admin.register(json!({}));
    let before = admin.get(&path_of(&site)).json();
    admin.update(&site, json!({
        "name": null, "owner_name": 7, "contact_email": "x", "license_expires_at": "x", "is_active": "true", "license_expire_at": 1,
    }))
    .assert_names(422, &["name", "owner_name", "contact_email", "license_expires_at", "is_active", "license_expire_at"]);
    admin.update(&site, json!({ "name": "New", "is_locked": true })).assert_names(422, &["is_locked"]);
    admin.update(&site, json!({ "name": "New", "extend_days": 0 })).assert_names(422, &["extend_days"]);
    assert_eq!(admin.get(&path_of(&site)).json(), before);
}

#[test]
fn days_are_added_to_the_later_of_now_and_the_expiry() {
    let admin = Sysadmin::start();
    let site = admin.register(json!({ "license_expires_at": "2040-02-28T12:00:00Z" }));
    let extend = |site: &Value, days: Value| admin.update(site, json!({ "extend_days": days }));
    assert_eq!(extend(&site, json!(1)).json()["license_expires_at"], "2040-02-29T12:00:00Z");
    assert_eq!(extend(&site, json!(3660)).json()["license_expires_at"], "2050-03-08T12:00:00Z");

    let expired = admin.register(json!({ "license_expires_at": "2001-01-01T00:00:00Z", "allow_past": true }));
    assert_eq!(expired["status"], "expired");
    let before = chrono::Utc::now().timestamp();
    let extended = extend(&expired, json!(30)).json();
    let after = chrono::Utc::now().timestamp();
    assert!((before..=after).contains(&(unix(&extended["license_expires_at"]) - 30 * 86_400)));
    assert_eq!((&extended["licensed"], &extended["status"]), (&json!(true), &json!("never_seen")));

    for days in [json!(0), json!(3661), json!(-1), json!(1.5), json!("30"), json!(null), json!(1e20)] {
        extend(&site, days).assert_names(422, &["extend_days"]);
    }
    admin
        .update(&site, json!({ "extend_days": 1, "license_expires_at": "2041-01-01T00:00:00Z" }))
        .assert_names(422, &["extend_days"]);
    let last = admin.register(json!({ "license_expires_at": "9999-12-31T00:00:00Z" }));
    extend(&last, json!(1)).assert_names(422, &["extend_days"]);
}

#[test]
fn whatever_changes_a_site_does_so_under_if_match_only_to_the_revision_that_was_read() {
    let admin = Sysadmin::start();
    let site = admin.register(json!({}));
    let path = path_of(&site);
    let etag = || admin.get(&path).header("ETag").to_owned();
    let stale = etag();
    assert_eq!(admin.update(&site, json!({ "name": "Changed since" })).status, 200);
    let send = |method: &str, ending: &str, body: Option<Value>, if_match: &str| {
        let call = admin.server.call(method, &format!("{path}{ending}")).bearer(&admin.token);
        let call = call.header("If-Match", if_match);
        match body {
            Some(body) => call.json(&body).send(),
            None => call.send(),
        }
    };
    for (method, ending, body, status) in [
        ("POST", "/lock", Some(json!({ "reason": "unpaid" })), 200),
        ("POST", "/unlock", None, 200),
        ("POST", "/rotate-key", Some(json!({ "overlap_hours": 1 })), 200),
        ("PUT", "", Some(json!({ "name": "Again" })), 200),
        ("DELETE", "", None, 204),
    ] {
        let before = admin.get(&path).json();
        send(method, ending, body.clone(), &stale).assert_problem(412);
        send(method, ending, body.clone(), "not quoted").assert_names(400, &["If-Match"]);
        send(method, ending, body.clone(), "\"é\"").assert_names(400, &["If-Match"]);
        assert_eq!(admin.get(&path).json(), before, "{method} {ending}");
        // Heartbeats are no changes.
        let current = etag();
        admin.server.heartbeat(&site).send();
        let done = send(method, ending, body, &current);
        assert_eq!(done.status, status, "{method} {ending}: {}", done.text());
        if status == 200 {
            assert_ne!(done.header("ETag"), current, "{method} {ending}");
            assert_eq!(done.header("ETag"), etag(), "{method} {ending}");
        }
    }
    assert_eq!(admin.get(&path).status, 404);
    send("DELETE", "", None, "*").assert_problem(404);
}

#[test]
fn a_change_under_if_match_is_made_only_to_the_revision_that_was_read() {
    let admin = Sysadmin::start();
    let site = admin.register(json!({}));
    let etag = || admin.get(&path_of(&site)).header("ETag").to_owned();
    let update = |if_match: &str, name: &str| {
        let call = admin.server.put(&path_of(&site)).bearer(&admin.token).header("If-Match", if_match);
        call.json(&json!({ "name": name })).send()
    };
    let first = etag();
    let changed = update(&first, "One");
    assert_eq!(changed.status, 200);
    let second = changed.header("ETag").to_owned();
    assert_ne!(second, first);
    assert_eq!(etag(), second);

    update(&first, "Stale").assert_problem(412);
    update(&format!("W/{second}"), "Weak").assert_problem(412);
    update("\"someone else's\"", "Other").assert_problem(412);
    update("not quoted", "Broken").assert_names(400, &["If-Match"]);
    update("\"é\"", "Not ASCII").assert_names(400, &["If-Match"]);
    assert_eq!(admin.get(&path_of(&site)).json()["name"], "One");
    assert_eq!(update(&format!("{first}, {second}"), "List").status, 200);
    assert_eq!(update("*", "Any").status, 200);
    assert_eq!(admin.update(&site, json!({ "name": "No header" })).status, 200);

    let before = etag();
    admin.server.heartbeat(&site).send();
    assert_eq!(etag(), before, "a heartbeat is not an edit");
    admin.lock(&site, json!({ "reason": "unpaid" }));
    assert_ne!(etag(), before, "a lock is one");
    update(&before, "Stale").assert_problem(412);
}

#[test]
fn a_lock_has_a_reason_that_a_second_lock_changes_and_an_unlock_takes_away() {
    let admin = Sysadmin::start();
    let site = admin.register(json!({}));
    let locked = admin.lock(&site, json!({ "reason": "  unpaid " }));
    assert_eq!((locked.status, locked.fields()), (200, FIELDS.map(str::to_owned).to_vec()));
    let locked = locked.json();
    assert_eq!(
        (&locked["is_locked"], &locked["lock_reason"], &locked["status"]),
        (&json!(true), &json!("unpaid"), &json!("locked"))
    );
    assert_eq!(locked["licensed"], true, "a lock is not an expiry");
    let again = admin
        .server
        .post(&format!("{}/lock/", path_of(&site)))
        .bearer(&admin.token)
        .json(&json!({ "reason": "fraud" }))
        .send();
    assert_eq!((again.status, &again.json()["lock_reason"]), (200, &json!("fraud")));
    assert_eq!(admin.server.heartbeat(&site).send().json()["lock_reason"], "fraud");
    for _ in 0..2 {
        let unlocked = admin.unlock(&site);
        assert_eq!((unlocked.status, unlocked.fields()), (200, FIELDS.map(str::to_owned).to_vec()));
        let unlocked = unlocked.json();
        assert_eq!((&unlocked["is_locked"], &unlocked["lock_reason"]), (&json!(false), &json!(null)));
    }
    let slash = admin.server.post(&format!("{}/unlock/", path_of(&site))).bearer(&admin.token).send();
    assert_eq!(slash.status, 200);
}

#[test]
fn a_lock_without_a_fit_reason_is_refused() {
    let admin = Sysadmin::start();
    let site = admin.register(json!({}));
    for bad in [json!(""), json!("  "), json!("x".repeat(501)), json!("a\nb"), json!(null), json!(5)] {
        admin.lock(&site, json!({ "reason": bad })).assert_names(422, &["reason"]);
    }
    admin.lock(&site, json!({})).assert_names(422, &["reason"]);
    admin.lock(&site, json!({ "lock_reason": "unpaid" })).assert_names(422, &["reason", "lock_reason"]);
    assert_eq!(admin.get(&path_of(&site)).json()["is_locked"], false);
    for good in ["x".to_owned(), "é".repeat(500)] {
        assert_eq!(admin.lock(&site, json!({ "reason": good })).json()["lock_reason"], good);
    }
}

#[test]
fn a_deleted_site_is_gone_and_its_key_dead_and_its_number_never_given_again() {
    let admin = Sysadmin::start();
    let kept = admin.register(json!({}));
    let site = admin.register(json!({}));
    assert_eq!(admin.server.heartbeat(&site).send().status, 200);
    let deleted = admin.delete(&site);
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert!(!deleted.has("Content-Type"));
    admin.server.heartbeat(&site).send().assert_problem(401);
    admin.get(&path_of(&site)).assert_problem(404);
    admin.delete(&site).assert_problem(404);
    assert_eq!(admin.register(json!({}))["id"], 3);
    let admin = admin.restart();
    assert_eq!(admin.register(json!({}))["id"], 4, "nor after a restart");
    let slash = admin.server.delete(&(path_of(&kept) + "/")).bearer(&admin.token).send();
    assert_eq!(slash.status, 204);
    assert_eq!(admin.ids("/api/sites"), [3, 4]);
}

#[test]
fn the_list_is_read_to_its_end_by_its_links() {
    let admin = Sysadmin::start();
    for number in 0..25 {
        admin.register(json!({ "name": format!("Site {number}") }));
    }
    for (start, most) in [
        ("/api/sites?limit=10", 10),
        ("/api/sites/?limit=7", 7),
        ("/api/sites?limit=25", 25),
        ("/api/sites", 100),
    ] {
        let (mut path, mut seen, mut pages) = (start.to_owned(), Vec::new(), 0);
        loop {
            let answer = admin.get(&path);
            assert_eq!(answer.header("X-Total-Count"), "25");
            assert_eq!(answer.json()[0].as_object().unwrap().keys().collect::<Vec<_>>(), FIELDS);
            let ids = ids_of(&answer);
            assert!(ids.len() <= most);
            seen.extend(ids);
            pages += 1;
            if !answer.has("Link") {
                break;
            }
            let link = answer.header("Link").strip_prefix('<').unwrap();
            path = link.strip_suffix(">; rel=\"next\"").unwrap().to_owned();
            assert!(path.starts_with("/api/sites?"), "{path}");
        }
        assert_eq!(seen, (1..=25).collect::<Vec<u64>>(), "{start}");
        assert_eq!(pages, 25_usize.div_ceil(most), "{start}");
    }
    assert_eq!(admin.ids("/api/sites?after=23"), [24, 25]);
    assert_eq!(admin.ids("/api/sites?after=18446744073709551615"), [] as [u64; 0]);
}

#[test]
fn the_links_of_a_filtered_list_keep_the_filter() {
    let admin = Sysadmin::start();
    for number in 1..=9 {
        let site = admin.register(json!({ "name": if number % 2 == 0 { "Bär & Söhne" } else { "Other" } }));
        if number > 2 {
            admin.lock(&site, json!({ "reason": "unpaid" }));
        }
    }
    let first = admin.get("/api/sites?q=b%C3%A4r%20%26&status=locked&limit=2");
    assert_eq!((ids_of(&first), first.header("X-Total-Count")), (vec![4, 6], "3"));
    let next = first.header("Link").strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    let second = admin.get(next);
    assert_eq!((ids_of(&second), second.header("X-Total-Count")), (vec![8], "3"));
    assert!(!second.has("Link"));
}

#[test]
fn the_list_can_be_filtered_by_each_status() {
    let admin = Sysadmin::start();
    let past = json!({ "license_expires_at": "2001-01-01T00:00:00Z", "allow_past": true });
    let (inactive, locked, _expired, _never_seen, online) = (
        admin.register(past.clone()),
        admin.register(past.clone()),
        admin.register(past),
        admin.register(json!({})),
        admin.register(json!({})),
    );
    admin.lock(&inactive, json!({ "reason": "unpaid" }));
    admin.update(&inactive, json!({ "is_active": false }));
    admin.lock(&locked, json!({ "reason": "unpaid" }));
    admin.server.heartbeat(&online).send();
    for (status, id) in [("inactive", 1), ("locked", 2), ("expired", 3), ("never_seen", 4), ("online", 5)] {
        let answer = admin.get(&format!("/api/sites?status={status}"));
        assert_eq!((ids_of(&answer), answer.header("X-Total-Count")), (vec![id], "1"), "{status}");
        assert_eq!(answer.json()[0]["status"], status);
    }
    assert_eq!(admin.get("/api/sites?status=silent").text(), "[]");
}

#[test]
fn a_search_looks_at_name_owner_address_and_site_id_without_regard_to_case() {
    let admin = Sysadmin::start();
    admin.register(json!({ "name": "Gasthaus LÖWE" }));
    admin.register(json!({ "owner_name": "Anna Weiß" }));
    let third = admin.register(json!({ "contact_email": "Info@Example.org" }));
    let site_id = third["site_id"].as_str().unwrap();
    for (text, id) in [
        ("haus l%C3%B6we", 1),
        ("%20GASTHAUS%20", 1),
        ("anna", 2),
        ("info@example.ORG", 3),
        (site_id, 3),
        (&site_id[5..20].to_uppercase(), 3),
    ] {
        let query = text.replace(' ', "%20");
        assert_eq!(admin.ids(&format!("/api/sites?q={query}")), [id], "{text}");
    }
    assert_eq!(admin.ids("/api/sites?q=reason"), [] as [u64; 0]);
    assert_eq!(admin.ids("/api/sites?q="), [1, 2, 3]);
}

#[test]
fn names_are_composed_and_nothing_invisible_gets_into_them() {
    let admin = Sysadmin::start();
    let hidden = "Trattoria \u{202e}oiraM";
    let call = admin.server.post("/api/sites").bearer(&admin.token);
    let mut site = new_site();
    site["name"] = json!(hidden);
    site["owner_name"] = json!("Mario\u{200b}");
    site["contact_email"] = json!("ma\u{ad}rio@example.com");
    let refused = call.json(&site).send();
    refused.assert_names(422, &["name", "owner_name", "contact_email"]);
    assert!(refused.text().contains("must not contain the invisible character U+202E"), "{}", refused.text());
    let site = admin.register(json!({ "name": "Caffe\u{301} \u{1f468}\u{200d}\u{1f373}" }));
    assert_eq!(site["name"], "Caff\u{e9} \u{1f468}\u{200d}\u{1f373}");
    for needle in ["caff%C3%A9", "caffe%CC%81"] {
        let found = admin.get(&format!("/api/sites?q={needle}")).json();
        assert_eq!(found.as_array().unwrap().len(), 1, "{needle}");
    }
    let lock = admin.server.post(&format!("{}/lock", path_of(&site))).bearer(&admin.token);
    lock.json(&json!({ "reason": "unpaid\u{2028}since March" })).send().assert_names(422, &["reason"]);
    // A program cannot mend what it says of itself.
    let beat = admin.server.heartbeat(&site).without("Content-Type");
    let body = json!({ "version": "\u{feff}2.4\u{200b}.1", "uptime_seconds": 1 });
    assert_eq!(beat.json(&body).send().status, 200);
    assert_eq!(admin.get(&path_of(&site)).json()["last_version"], "2.4.1");
}

#[test]
fn lists_are_gzipped_for_who_asks_for_it_and_nothing_that_holds_a_secret_ever_is() {
    let admin = Sysadmin::start();
    let ask = |call: crate::client::Call| call.bearer(&admin.token).header("Accept-Encoding", "gzip").send();
    let small = ask(admin.server.get("/api/admins"));
    assert!(!small.has("Content-Encoding"), "not worth it: {} bytes", small.body.len());
    assert_eq!(
        (small.header("Vary"), small.json()[0]["username"].clone()),
        ("Accept-Encoding", json!("sysadmin"))
    );
    for number in 0..20 {
        admin.register(json!({ "name": format!("Site {number}") }));
    }
    for path in ["/api/sites", "/api/sites?q=site&limit=7", "/api/audit"] {
        let plain = admin.get(path);
        let packed = ask(admin.server.get(path));
        assert_eq!(
            (packed.header("Content-Encoding"), packed.header("Vary")),
            ("gzip", "Accept-Encoding"),
            "{path}"
        );
        assert!(!plain.has("Content-Encoding") && plain.header("Vary") == "Accept-Encoding", "{path}");
        assert_eq!(packed.header("X-Total-Count"), plain.header("X-Total-Count"));
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&*packed.body).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == plain.body && packed.body.len() < plain.body.len() / 2, "{path}");
        let head = ask(admin.server.call("HEAD", path));
        assert_eq!(head.header("Content-Length"), packed.body.len().to_string(), "{path}");
    }
    let mut large = new_site();
    large["name"] = json!("n".repeat(200));
    large["owner_name"] = json!("o".repeat(200));
    let registered = ask(admin.server.post("/api/sites").json(&large));
    let items = vec![
        json!({ "op": "register", "name": "n", "owner_name": "", "contact_email": "a@example.com",
        "license_expires_at": "2099-01-01T00:00:00Z" });
        5
    ];
    let batch = ask(admin.server.post("/api/sites/batch").json(&json!({ "items": items })));
    assert!(batch.body.len() > 2048 && batch.text().contains("swk_"));
    let login = json!({ "username": "sysadmin", "password": admin.server.password() });
    let login = ask(admin.server.post("/api/auth/login").json(&login));
    let rotated = format!("{}/rotate-key", path_of(&registered.json()));
    let rotated = ask(admin.server.post(&rotated).json(&json!({})));
    for answer in [registered, batch, login, rotated] {
        assert!(answer.status < 300 && !answer.has("Content-Encoding"), "{}", answer.text());
    }
}

//! Days, zones, grace, and locks with a window.

use chrono::{Datelike as _, Duration, NaiveDate, Utc};
use serde_json::{Value, json};

use crate::client::Answer;
use crate::server::{Server, Setup, new_site, path_of};
use crate::sysadmin::Sysadmin;

impl Sysadmin {
    /// Tries to register a site that has no expiry but what these fields say.
    fn agree(&self, fields: Value) -> Answer {
        let mut site = new_site();
        let site_fields = site.as_object_mut().unwrap();
        site_fields.remove("license_expires_at");
        site_fields.extend(fields.as_object().unwrap().clone());
        self.call("POST", "/api/sites").json(&site).send()
    }

    fn say(&self, site: &Value, fields: Value) -> Answer {
        self.call("PUT", &path_of(site)).json(&fields).send()
    }

    fn lock_with(&self, site: &Value, fields: Value) -> Answer {
        let mut body = json!({ "reason": "unpaid" });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.call("POST", &format!("{}/lock", path_of(site))).json(&body).send()
    }

    fn show(&self, site: &Value) -> Value {
        self.get(&path_of(site)).json()
    }

    fn batch_of(&self, items: Value) -> Value {
        let answer = self.call("POST", "/api/sites/batch").json(&json!({ "items": items })).send();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["results"].clone()
    }
}

/// A time so many days from now, at least an hour from midnight in UTC.
fn days_from_now(days: i64) -> String {
    (Utc::now() + Duration::days(days)).format("%Y-%m-%dT12:00:00Z").to_string()
}

fn day_from_now(days: i64) -> NaiveDate {
    Utc::now().date_naive() + Duration::days(days)
}

#[test]
fn a_licence_until_a_day_holds_to_its_end_where_the_site_is() {
    let admin = Sysadmin::of(Server::configured("[licence]\ntime_zone = \"America/New_York\"\n"));
    for (fields, expires_at) in [
        (json!({}), "2031-01-01T05:00:00Z"),
        (json!({ "time_zone": null }), "2031-01-01T05:00:00Z"),
        (json!({ "time_zone": "UTC" }), "2031-01-01T00:00:00Z"),
        (json!({ "time_zone": "Europe/Rome" }), "2030-12-31T23:00:00Z"),
        (json!({ "time_zone": "Pacific/Kiritimati" }), "2030-12-31T10:00:00Z"),
    ] {
        let mut fields = fields;
        fields["license_expires_on"] = json!("2030-12-31");
        let site = admin.agree(fields.clone()).json();
        assert_eq!(site["license_expires_at"], expires_at, "{fields}");
        assert_eq!(site["license_expires_on"], "2030-12-31", "{fields}");
        assert_eq!(admin.show(&site)["time_zone"], fields["time_zone"], "{fields}");
    }
    let site = admin.agree(json!({ "license_expires_at": "2030-06-30T12:00:00Z" })).json();
    assert_eq!(site["license_expires_on"], "2030-06-29", "the last whole day");
}

#[test]
fn a_day_is_one_of_the_zone_that_the_same_request_gives() {
    let admin = Sysadmin::start();
    let site = admin.agree(json!({ "license_expires_on": "2030-12-31" })).json();
    let moved = admin.say(&site, json!({ "time_zone": "europe/rome", "license_expires_on": "2030-12-31" }));
    assert_eq!(moved.json()["license_expires_at"], "2030-12-31T23:00:00Z");
    assert_eq!(moved.json()["time_zone"], "Europe/Rome", "as its data writes it");
    let later = admin.say(&site, json!({ "time_zone": "Asia/Tokyo" })).json();
    assert_eq!(later["license_expires_at"], "2030-12-31T23:00:00Z", "what was agreed stays");
    assert_eq!(later["license_expires_on"], "2030-12-31");
    let back = admin.say(&site, json!({ "time_zone": null, "license_expires_on": "2031-01-31" })).json();
    assert_eq!(
        (&back["time_zone"], &back["license_expires_at"]),
        (&json!(null), &json!("2031-02-01T00:00:00Z"))
    );
    let tokyo = admin.agree(json!({ "license_expires_on": "2030-12-31", "time_zone": "Asia/Tokyo" })).json();
    let update = |site: &Value| json!({ "op": "update", "site_id": site["site_id"], "license_expires_on": "2032-02-29" });
    let results = admin.batch_of(json!([update(&site), update(&tokyo)]));
    assert_eq!(results[0]["site"]["license_expires_at"], "2032-03-01T00:00:00Z");
    assert_eq!(results[1]["site"]["license_expires_at"], "2032-02-29T15:00:00Z");
}

#[test]
fn a_day_or_a_zone_that_is_none_is_refused_and_nothing_is_changed() {
    let admin = Sysadmin::start();
    for (fields, field) in [
        (json!({ "license_expires_on": "2030-02-30" }), "license_expires_on"),
        (json!({ "license_expires_on": "31.12.2030" }), "license_expires_on"),
        (json!({ "license_expires_on": "2030-12-31T00:00:00Z" }), "license_expires_on"),
        (json!({ "license_expires_on": "9999-12-31" }), "license_expires_on"),
        (json!({ "license_expires_on": 20_301_231 }), "license_expires_on"),
        (json!({ "license_expires_on": "2030-12-31", "time_zone": "Europe/Nowhere" }), "time_zone"),
        (json!({ "license_expires_on": "2030-12-31", "time_zone": "../etc/passwd" }), "time_zone"),
        (json!({ "license_expires_on": "2030-12-31", "time_zone": "+02:00" }), "time_zone"),
        (json!({ "license_expires_on": "2030-12-31", "time_zone": "" }), "time_zone"),
        (
            json!({ "license_expires_on": "2011-12-30", "time_zone": "Pacific/Apia", "allow_past": true }),
            "license_expires_on",
        ),
        (
            json!({ "license_expires_on": "2030-12-31", "license_expires_at": "2031-01-01T00:00:00Z" }),
            "license_expires_on",
        ),
        (json!({}), "license_expires_at"),
    ] {
        admin.agree(fields).assert_names(422, &[field]);
    }
    assert_eq!(admin.get("/api/sites").text(), "[]");
    let site = admin.agree(json!({ "license_expires_on": "2030-12-31" })).json();
    for (fields, field) in [
        (json!({ "license_expires_on": "2030-02-30" }), "license_expires_on"),
        (json!({ "license_expires_on": null }), "license_expires_on"),
        (json!({ "time_zone": "Europe/Nowhere", "name": "Other" }), "time_zone"),
        (json!({ "license_expires_on": "2031-12-31", "extend_days": 1 }), "extend_days"),
        (
            json!({ "license_expires_on": "2031-12-31", "license_expires_at": "2031-01-01T00:00:00Z" }),
            "license_expires_on",
        ),
    ] {
        admin.say(&site, fields).assert_names(422, &[field]);
    }
    let (skipped, before) =
        (json!({ "time_zone": "Pacific/Apia", "license_expires_on": "2011-12-30" }), admin.show(&site));
    let refused = admin.say(&site, skipped);
    refused.assert_names(422, &["license_expires_on"]);
    assert!(refused.text().contains("skipped"), "{}", refused.text());
    assert_eq!(before["name"], site["name"]);
    assert_eq!(admin.get("/api/audit?action=site_updated").text(), "[]", "nothing was changed");
}

#[test]
fn an_expiry_in_the_past_must_be_asked_for() {
    let admin = Sysadmin::start();
    for past in [
        json!({ "license_expires_on": "2020-12-31" }),
        json!({ "license_expires_at": "2020-12-31T00:00:00Z" }),
    ] {
        let with = |more: Value| {
            let mut fields = past.clone();
            fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            fields
        };
        let refused = admin.agree(past.clone());
        refused.assert_names(422, &["license_expires_at"]);
        assert!(refused.text().contains("allow_past: true"), "{}", refused.text());
        admin.agree(with(json!({ "allow_past": false }))).assert_names(422, &["license_expires_at"]);
        admin.agree(with(json!({ "allow_past": "true" }))).assert_names(422, &["allow_past"]);
        let expired = admin.agree(with(json!({ "allow_past": true })));
        assert_eq!((expired.status, &expired.json()["status"]), (201, &json!("expired")));

        let site = admin.agree(json!({ "license_expires_on": "2040-12-31" })).json();
        admin.say(&site, past.clone()).assert_names(422, &["license_expires_at"]);
        assert_eq!(admin.show(&site)["licensed"], true);
        let results = admin.batch_of(json!([
            with(json!({ "op": "update", "site_id": site["site_id"] })),
            with(json!({ "op": "register", "name": "A", "contact_email": "a@example.com" })),
        ]));
        for result in results.as_array().unwrap() {
            assert_eq!(result["status"], 422, "{result}");
            assert!(result["detail"].as_str().unwrap().contains("allow_past"), "{result}");
        }
        let stopped = admin.say(&site, with(json!({ "allow_past": true })));
        assert_eq!((stopped.status, &stopped.json()["licensed"]), (200, &json!(false)));
        let again = admin.say(&site, with(json!({ "owner_name": "Mario" })));
        assert_eq!(again.status, 200, "it has that expiry already");
    }
}

#[test]
fn in_its_grace_a_licence_holds_and_its_expiry_stays_what_was_agreed() {
    let admin = Sysadmin::of(Server::configured("[licence]\ngrace_days = 14\n"));
    let expired = days_from_now(-10);
    let agree = |days: Value| {
        let fields = json!({ "license_expires_at": expired, "allow_past": true, "grace_days": days });
        admin.agree(fields).json()
    };
    let ends =
        |days: i64| json!((Utc::now() + Duration::days(days)).format("%Y-%m-%dT12:00:00Z").to_string());
    for (days, licensed, status, ends_at) in [
        (json!(null), true, "never_seen", ends(4)),
        (json!(90), true, "never_seen", ends(80)),
        (json!(3), false, "expired", ends(-7)),
        (json!(0), false, "expired", json!(null)),
    ] {
        let site = agree(days.clone());
        assert_eq!((&site["licensed"], &site["status"]), (&json!(licensed), &json!(status)), "{days}");
        assert_eq!((&site["grace_ends_at"], &site["grace_days"]), (&ends_at, &days));
        let verdict = admin.server.heartbeat(&site).send().json();
        assert_eq!(verdict["licensed"], licensed, "{days}");
        assert_eq!(verdict["expires_at"], expired, "what was agreed");
    }
    let site = agree(json!(0));
    let graced = admin.say(&site, json!({ "grace_days": 20 })).json();
    assert_eq!((&graced["licensed"], &graced["grace_ends_at"]), (&json!(true), &ends(10)));
    for bad in [json!(91), json!(-1), json!(1.5), json!("14")] {
        admin.say(&site, json!({ "grace_days": bad })).assert_names(422, &["grace_days"]);
        admin
            .agree(json!({ "license_expires_on": "2030-12-31", "grace_days": bad }))
            .assert_names(422, &["grace_days"]);
    }
}

#[test]
fn a_lock_is_scheduled_holds_from_then_and_is_taken_back_by_an_unlock() {
    let admin = Sysadmin::start();
    let site = admin.register(json!({ "time_zone": "Europe/Rome" }));
    let scheduled = admin.lock_with(&site, json!({ "at_on": "2098-06-14", "until_on": "2098-12-31" }));
    assert_eq!(scheduled.status, 200, "{}", scheduled.text());
    let scheduled = scheduled.json();
    let window = json!({ "reason": "unpaid", "at": "2098-06-14T22:00:00Z", "until": "2098-12-31T23:00:00Z" });
    assert_eq!(scheduled["scheduled_lock"], window);
    for (field, value) in [
        ("is_locked", json!(false)),
        ("lock_reason", json!(null)),
        ("locked_at", json!(null)),
        ("lock_until", json!(null)),
        ("status", json!("never_seen")),
    ] {
        assert_eq!(scheduled[field], value, "{field}");
    }
    assert_eq!(admin.server.heartbeat(&site).send().json()["locked"], false);
    let again = admin.lock_with(&site, json!({ "at": "2097-01-01T00:00:00Z" })).json();
    assert_eq!(again["scheduled_lock"]["at"], "2097-01-01T00:00:00Z", "the later word counts");
    let unlocked = admin.call("POST", &format!("{}/unlock", path_of(&site))).send().json();
    assert_eq!(unlocked["scheduled_lock"], json!(null));

    let locked = admin.lock_with(&site, json!({ "until_on": "2098-12-31" })).json();
    for (field, value) in [
        ("is_locked", json!(true)),
        ("lock_reason", json!("unpaid")),
        ("lock_until", json!("2098-12-31T23:00:00Z")),
        ("scheduled_lock", json!(null)),
        ("status", json!("locked")),
    ] {
        assert_eq!(locked[field], value, "{field}");
    }
    assert!(locked["locked_at"].is_string());
    assert_eq!(admin.server.heartbeat(&site).send().json()["locked"], true);
    let refused = admin.lock_with(&site, json!({ "at": "2097-01-01T00:00:00Z" }));
    refused.assert_problem(409);
    let results = admin.batch_of(json!([
        { "op": "lock", "site_id": site["site_id"], "reason": "unpaid", "at_on": "2097-01-01" },
    ]));
    assert_eq!(results[0]["status"], 409, "{results}");
    assert_eq!(admin.show(&site)["lock_until"], "2098-12-31T23:00:00Z", "nothing was changed");
    let reason = admin.lock_with(&site, json!({ "reason": "still unpaid" })).json();
    assert_eq!(
        (&reason["lock_reason"], &reason["locked_at"]),
        (&json!("still unpaid"), &locked["locked_at"])
    );
    assert_eq!(reason["lock_until"], json!(null), "until somebody unlocks");
    let past = admin.call("POST", &format!("{}/unlock", path_of(&site))).send();
    assert_eq!(past.json()["is_locked"], false);
    let at_once = admin.lock_with(&site, json!({ "at": "2001-01-01T00:00:00Z" })).json();
    assert_eq!(at_once["is_locked"], true, "a time that has passed is now");
}

#[test]
fn a_lock_that_would_end_before_it_begins_is_refused() {
    let admin = Sysadmin::start();
    let site = admin.register(json!({}));
    for (fields, field) in [
        (json!({ "at": "2098-01-02T00:00:00Z", "until": "2098-01-01T00:00:00Z" }), "until"),
        (json!({ "at_on": "2098-01-02", "until_on": "2098-01-02" }), "until"),
        (json!({ "until": "2001-01-01T00:00:00Z" }), "until"),
        (json!({ "until_on": "2001-01-01" }), "until"),
        (json!({ "at": "2098-01-01T00:00:00Z", "at_on": "2098-01-01" }), "at_on"),
        (json!({ "until": "2098-01-01T00:00:00Z", "until_on": "2098-01-01" }), "until_on"),
        (json!({ "at_on": "2098-02-30" }), "at_on"),
        (json!({ "until": "soon" }), "until"),
        (json!({ "reason": "" }), "reason"),
    ] {
        admin.lock_with(&site, fields).assert_names(422, &[field]);
    }
    let apia = admin.register(json!({ "time_zone": "Pacific/Apia" }));
    admin.lock_with(&apia, json!({ "at_on": "2011-12-30" })).assert_names(422, &["at_on"]);
    admin.lock_with(&apia, json!({ "until_on": "2011-12-30" })).assert_names(422, &["until_on"]);
    for site in [site, apia] {
        let shown = admin.show(&site);
        assert_eq!((&shown["is_locked"], &shown["scheduled_lock"]), (&json!(false), &json!(null)));
    }
}

#[test]
fn what_is_said_of_a_site_is_kept_and_taken_back() {
    let admin = Sysadmin::start();
    let site = admin.register(json!({
        "tags": ["vip", "rome", "vip"], "notes": "Rings\non Mondays", "features": ["orders"], "offline_hours": 24,
    }));
    assert_eq!((&site["tags"], &site["features"]), (&json!(["rome", "vip"]), &json!(["orders"])));
    assert_eq!((&site["notes"], &site["offline_hours"]), (&json!("Rings\non Mondays"), &json!(24)));
    let none = json!({ "tags": [], "notes": "", "features": [], "offline_hours": null });
    let changed = admin.say(&site, none.clone()).json();
    for (field, value) in none.as_object().unwrap() {
        assert_eq!(changed[field], *value, "{field}");
    }
    let words = |count: usize| (0..count).map(|number| format!("t{number}")).collect::<Vec<_>>();
    assert_eq!(admin.say(&site, json!({ "tags": words(20), "features": words(50) })).status, 200);
    for (field, bad) in [
        ("tags", json!(["two words"])),
        ("tags", json!(["Rome"])),
        ("tags", json!([""])),
        ("tags", json!(words(21))),
        ("tags", json!("rome")),
        ("tags", json!([1])),
        ("tags", json!(null)),
        ("features", json!(words(51))),
        ("features", json!(["x".repeat(41)])),
        ("notes", json!("x".repeat(2001))),
        ("notes", json!(null)),
        ("offline_hours", json!(0)),
        ("offline_hours", json!(8761)),
    ] {
        admin.say(&site, json!({ field: bad })).assert_names(422, &[field]);
    }
    let expected = json!({ "tags": words(20).len(), "features": words(50).len() });
    let shown = admin.show(&site);
    assert_eq!(shown["tags"].as_array().unwrap().len(), expected["tags"]);
    assert_eq!(shown["features"].as_array().unwrap().len(), expected["features"]);
}

#[test]
fn a_site_tells_how_far_its_last_change_has_come() {
    let admin = Sysadmin::start();
    let site = admin.register(json!({}));
    let delivery = &site["delivery"];
    assert_eq!((&delivery["state"], &delivery["revision"]), (&json!("pending"), &json!(1)));
    assert_eq!(delivery["changed_at"], site["created_at"]);
    assert_eq!((&delivery["answered_at"], &delivery["acknowledged_at"]), (&json!(null), &json!(null)));
    admin.server.heartbeat(&site).send();
    let told = admin.show(&site);
    assert_eq!(told["delivery"]["state"], "answered");
    assert_eq!(told["delivery"]["answered_at"], told["last_seen_at"]);
    let locked = admin.lock_with(&site, json!({})).json();
    assert_eq!(
        (&locked["delivery"]["state"], &locked["delivery"]["revision"]),
        (&json!("pending"), &json!(2))
    );
}

#[test]
fn the_trail_is_filtered_by_days_of_the_configured_zone() {
    let admin = Sysadmin::of(Server::configured("[licence]\ntime_zone = \"Pacific/Kiritimati\"\n"));
    admin.register(json!({}));
    // 14 hours ahead of UTC: that day is tomorrow there for most of ours.
    let there = (Utc::now() + Duration::hours(14)).date_naive();
    let count = |query: String| {
        let answer = admin.get(&format!("/api/audit?action=site_registered&{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json().as_array().unwrap().len()
    };
    let near = |days: i64| there + Duration::days(days);
    assert_eq!(count(format!("since={}&until={}", near(-1), near(1))), 1);
    assert_eq!(count(format!("since={}", near(2))), 0);
    assert_eq!(count(format!("until={}", near(-2))), 0);
    // The day on which it happened holds it, whole.
    let at = admin.get("/api/audit?action=site_registered").json()[0]["at"].as_str().unwrap().to_owned();
    let at = chrono::DateTime::parse_from_rfc3339(&at).unwrap() + Duration::hours(14);
    let day = at.date_naive();
    assert_eq!(count(format!("since={day}&until={day}")), 1, "{} {}", day.year(), day);
    assert_eq!(count(format!("since={}", day.succ_opt().unwrap())), 0);
    assert_eq!(count(format!("until={}", day.pred_opt().unwrap())), 0);
    for bad in ["since=2030-02-30", "until=soon"] {
        let field = bad.split('=').next().unwrap();
        admin.get(&format!("/api/audit?{bad}")).assert_names(422, &[field]);
    }
    let next = admin.get(&format!("/api/audit?limit=1&since={}", day_from_now(-400)));
    assert!(next.header("Link").contains("since="), "a page goes on where it began");
}

#[test]
fn a_zone_that_the_host_does_not_know_is_told_at_start() {
    let said = |config: &str| {
        let output = Setup::new().config(config).run_to_end();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let unknown = said("[licence]\ntime_zone = \"Europe/Nowhere\"\n");
    assert!(unknown.contains("licence.time_zone in") && unknown.contains("install tzdata"), "{unknown}");
    let none = said("[licence]\ntime_zone = \"12\"\n");
    assert!(none.contains("must be the name of a time zone"), "{none}");
    let days = said("[licence]\ngrace_days = 91\n");
    assert!(days.contains("licence.grace_days") && days.contains("from 0 to 90"), "{days}");
    let hours = said("[lease]\noffline_hours = 0\n");
    assert!(hours.contains("lease.offline_hours") && hours.contains("from 1 to 8760"), "{hours}");
}

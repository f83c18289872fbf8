//! One change of all sites that a filter lets through.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::server::{Server, new_site, path_of};
use crate::sysadmin::Sysadmin;

const ONCE: &str = "2f8f1a52-1b0e-4c7a-9c0d-53a1d2f0a6b1";

impl Sysadmin {
    fn bulk(&self, body: &Value) -> Answer {
        self.call("POST", "/api/sites/bulk").json(body).send()
    }

    /// The actions of the trail, newest first, without the login.
    fn trail(&self) -> Vec<String> {
        let entries = self.get("/api/audit?limit=1000").json();
        let actions = entries.as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap());
        actions.filter(|action| *action != "login_succeeded").map(str::to_owned).collect()
    }

    fn all(&self) -> Vec<Value> {
        self.get("/api/sites?limit=1000").json().as_array().unwrap().clone()
    }
}

/// Of so many sites the first three are Anna's, the others Bruno's.
fn sites(count: usize) -> Sysadmin {
    let admin = Sysadmin::start();
    for number in 0..count {
        let owner = if number < 3 { "Anna" } else { "Bruno" };
        admin.register(json!({ "name": format!("Site {number}"), "owner_name": owner }));
    }
    admin
}

fn counts(answer: &Answer) -> (u64, u64, Vec<u64>) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let first = body["first"].as_array().unwrap();
    let ids = first.iter().map(|site| site["id"].as_u64().unwrap()).collect();
    (body["matched"].as_u64().unwrap(), body["changed"].as_u64().unwrap(), ids)
}

#[test]
fn a_dry_run_tells_what_it_would_come_to_and_the_same_with_that_number_does_it() {
    let admin = sites(5);
    let mut lock =
        json!({ "filter": { "owner": "anna" }, "op": "lock", "reason": "unpaid", "dry_run": true });
    let dry = admin.bulk(&lock);
    assert_eq!(counts(&dry), (3, 3, vec![1, 2, 3]));
    assert_eq!(dry.fields(), ["matched", "changed", "first"]);
    assert!(admin.all().iter().all(|site| site["is_locked"] == false));
    lock["dry_run"] = json!(false);
    lock["expect"] = json!(3);
    let done = admin.bulk(&lock);
    assert_eq!(counts(&done), (3, 3, vec![1, 2, 3]));
    assert_eq!(done.json()["first"][2]["lock_reason"], "unpaid");
    assert_eq!(admin.trail()[..4], ["site_locked", "site_locked", "site_locked", "site_registered"]);
    let locked: Vec<_> = admin.all().iter().map(|site| site["is_locked"] == true).collect();
    assert_eq!(locked, [true, true, true, false, false]);
    // Nothing is left to change, and nothing is written.
    assert_eq!(counts(&admin.bulk(&lock)), (3, 0, vec![1, 2, 3]));
    assert_eq!(admin.trail().len(), 8);
}

#[test]
fn each_operation_does_to_all_what_its_own_route_does_to_one() {
    let admin = sites(25);
    let bulk = |filter: Value, op: Value, expect: u64| {
        let mut body = json!({ "filter": filter, "expect": expect });
        body.as_object_mut().unwrap().extend(op.as_object().unwrap().clone());
        admin.bulk(&body)
    };
    let bruno = || json!({ "owner": "Bruno" });
    let extended =
        bulk(bruno(), json!({ "op": "update", "extend_days": 1, "contact_email": "b@example.com" }), 22);
    let (matched, changed, first) = counts(&extended);
    assert_eq!((matched, changed, first), (22, 22, (4..=23).collect()), "the first 20");
    assert_eq!(extended.json()["first"][0]["license_expires_at"], "2100-01-01T00:00:00Z");
    assert!(admin.all()[3..].iter().all(|site| site["contact_email"] == "b@example.com"));
    bulk(bruno(), json!({ "op": "tag", "tags": ["rome", "vip"] }), 22);
    let tagged =
        bulk(json!({ "tag": "vip,rome", "q": "site 1" }), json!({ "op": "untag", "tags": ["vip"] }), 10);
    assert_eq!(counts(&tagged), (10, 10, (11..=20).collect()));
    assert_eq!(counts(&bulk(json!({ "tag": "vip" }), json!({ "op": "lock", "reason": "unpaid" }), 12)).0, 12);
    let unlocked = bulk(json!({ "tag": "rome", "status": "locked,inactive" }), json!({ "op": "unlock" }), 12);
    assert_eq!(counts(&unlocked).1, 12);
    let gone = bulk(json!({ "tag": "rome" }), json!({ "op": "delete" }), 22);
    assert_eq!(counts(&gone).0, 22);
    assert_eq!(gone.json()["first"][0]["name"], "Site 3");
    assert_eq!(admin.all().len(), 3);
    let trail = admin.trail();
    let count = |action: &str| trail.iter().filter(|entry| *entry == action).count();
    assert_eq!(
        ["site_updated", "site_locked", "site_unlocked", "site_deleted"].map(count),
        [22 + 22 + 10, 12, 12, 22]
    );
}

#[test]
fn where_another_number_is_meant_than_was_expected_nothing_is_changed() {
    let admin = sites(5);
    let before = (admin.all(), admin.trail());
    for (expect, dry_run) in [(2, false), (4, false), (4, true)] {
        let delete = json!({ "filter": { "q": "site" , "owner": "Anna" }, "op": "delete", "expect": expect, "dry_run": dry_run });
        let answer = admin.bulk(&delete);
        assert_eq!((answer.status, answer.header("Content-Type")), (409, "application/problem+json"));
        assert_eq!(answer.fields(), ["type", "title", "status", "detail", "request_id", "matched"]);
        assert_eq!(answer.json()["matched"], 3);
        assert!(answer.text().contains("nothing was changed"), "{}", answer.text());
    }
    assert_eq!((admin.all(), admin.trail()), before);
}

#[test]
fn what_cannot_be_done_to_all_is_done_to_none_and_the_first_is_named() {
    let admin = sites(3);
    let tags: Vec<String> = (0..20).map(|number| format!("t{number}")).collect();
    let second = admin.all()[1].clone();
    let one = json!({ "items": [{ "op": "tag", "site_id": second["site_id"], "tags": tags }] });
    let done = admin.call("POST", "/api/sites/batch").json(&one).send();
    assert_eq!(done.json()["results"][0]["status"], 200, "{}", done.text());
    let before = (admin.all(), admin.trail());
    for dry_run in [false, true] {
        let tag = json!({ "filter": { "q": "site" }, "op": "tag", "tags": ["vip"], "expect": 3, "dry_run": dry_run });
        let answer = admin.bulk(&tag);
        answer.assert_names(422, &["tags"]);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("1 of the sites") && detail.contains("Site 1"), "{detail}");
    }
    assert_eq!((admin.all(), admin.trail()), before);
    let again = json!({ "filter": { "tag": "t0,t19" }, "op": "tag", "tags": ["t3"], "expect": 1 });
    assert_eq!(counts(&admin.bulk(&again)).1, 0);
    let batch = json!({ "items": [{ "op": "tag", "site_id": second["site_id"], "tags": ["vip"] }] });
    let refused = admin.call("POST", "/api/sites/batch").json(&batch).send();
    assert_eq!(refused.json()["results"][0]["errors"][0]["field"], "tags", "{}", refused.text());
    let fewer = json!({ "items": [{ "op": "untag", "site_id": second["site_id"], "tags": ["t0"] }] });
    assert_eq!(admin.call("POST", "/api/sites/batch").json(&fewer).send().json()["done"], 1);
}

#[test]
fn what_is_missing_or_wrong_is_named_and_an_empty_filter_means_nobody() {
    let admin = sites(2);
    let before = admin.trail();
    let lock = |change: Value| {
        let mut body = json!({ "filter": { "q": "site" }, "op": "lock", "reason": "unpaid", "expect": 2 });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body
    };
    for (change, fields) in [
        (json!({ "filter": {} }), vec!["filter"]),
        (json!({ "filter": { "q": " " } }), vec!["filter"]),
        (json!({ "filter": "all" }), vec!["filter"]),
        (
            json!({ "filter": { "status": "paid", "tag": "a b", "owners": "Anna" } }),
            vec!["filter.status", "filter.tag", "filter.owners"],
        ),
        (
            json!({ "filter": { "expires_before": "2030-02-30T00:00:00Z", "version": "" } }),
            vec!["filter.expires_before", "filter.version"],
        ),
        (
            json!({ "filter": { "expires_after": "2030-02-30", "seen_before": "soon" } }),
            vec!["filter.expires_after", "filter.seen_before"],
        ),
        (json!({ "expect": -1 }), vec!["expect"]),
        (json!({ "expect": "2" }), vec!["expect"]),
        (json!({ "dry_run": "yes" }), vec!["dry_run"]),
        (json!({ "op": "register" }), vec!["op"]),
        (json!({ "op": "rotate-key" }), vec!["op"]),
        (json!({ "op": "unlock" }), vec!["reason"]),
        (json!({ "reason": "" }), vec!["reason"]),
        (json!({ "tags": ["vip"] }), vec!["tags"]),
        (json!({ "limit": 1 }), vec!["limit"]),
    ] {
        admin.bulk(&lock(change)).assert_names(422, &fields);
    }
    for tags in [json!([]), json!(["Rome"]), json!(["a b"]), json!([1]), json!("vip"), json!(vec!["a"; 21])] {
        let tag = json!({ "filter": { "q": "site" }, "op": "tag", "tags": tags, "expect": 2 });
        admin.bulk(&tag).assert_names(422, &["tags"]);
    }
    admin.bulk(&json!({})).assert_names(422, &["filter", "expect", "op"]);
    admin.bulk(&json!({ "filter": { "q": "site" }, "op": "unlock" })).assert_names(422, &["expect"]);
    let match_ = admin.call("POST", "/api/sites/bulk").header("If-Match", "\"1\"");
    match_.json(&lock(json!({}))).send().assert_problem(400);
    assert_eq!(admin.server.post("/api/sites/bulk").json(&lock(json!({}))).send().status, 401);
    assert_eq!(admin.server.get("/api/sites/bulk").bearer(&admin.token).send().status, 405);
    assert_eq!(admin.trail(), before);
}

#[test]
fn a_change_sent_again_under_its_key_is_not_done_again() {
    let admin = sites(4);
    let extend = json!({ "filter": { "owner": "Anna" }, "op": "update", "extend_days": 1, "expect": 3 });
    let send = |body: &Value| {
        admin.call("POST", "/api/sites/bulk").header("Idempotency-Key", ONCE).json(body).send()
    };
    let first = send(&extend);
    assert_eq!(counts(&first), (3, 3, vec![1, 2, 3]));
    assert_eq!(admin.call("DELETE", &path_of(&first.json()["first"][0])).send().status, 204);
    let again = send(&extend);
    assert_eq!(counts(&again), (3, 3, vec![2, 3]), "as they are now");
    assert_eq!(again.json()["first"][0]["license_expires_at"], "2100-01-01T00:00:00Z");
    let mut other = extend;
    other["extend_days"] = json!(2);
    assert_eq!(send(&other).status, 422);
    assert_eq!(admin.trail().iter().filter(|action| *action == "site_updated").count(), 3);
}

#[test]
fn days_mean_in_the_filter_of_a_change_what_they_mean_in_that_of_the_list() {
    let admin = Sysadmin::of(Server::configured("[licence]\ntime_zone = \"Europe/Rome\"\n"));
    let site = |day: &str| {
        let mut site = new_site();
        site.as_object_mut().unwrap().remove("license_expires_at");
        site["license_expires_on"] = json!(day);
        admin.call("POST", "/api/sites").json(&site).send().json()
    };
    let sites = ["2098-12-30", "2098-12-31", "2099-01-01"].map(site);
    assert_eq!(admin.server.heartbeat(&sites[2]).send().status, 200);
    let tomorrow = (chrono::Utc::now() + chrono::TimeDelta::days(2)).format("%Y-%m-%d").to_string();
    for (name, value, matched) in [
        ("expires_before", "2098-12-31", vec![1]),
        ("expires_before", "2098-12-31T00:00:00+01:00", vec![]),
        ("expires_before", "2099-01-01T00:00:01+01:00", vec![1, 2]),
        ("expires_after", "2098-12-31", vec![3]),
        ("expires_after", "2098-12-30", vec![2, 3]),
        ("seen_before", tomorrow.as_str(), vec![3]),
        ("seen_before", "2026-01-01", vec![]),
    ] {
        let mut filter = json!({});
        filter[name] = json!(value);
        let answer = admin.bulk(&json!({ "filter": filter, "op": "unlock", "dry_run": true }));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(counts(&answer).2, matched, "{name}={value}");
        let list = admin.get(&format!("/api/sites?{name}={}", value.replace('+', "%2B"))).json();
        let listed: Vec<u64> =
            list.as_array().unwrap().iter().map(|site| site["id"].as_u64().unwrap()).collect();
        assert_eq!(listed, matched, "{name}={value}");
    }
}

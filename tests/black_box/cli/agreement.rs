//! What a sysadmin says of a site in one sentence, and what is shown and written
//! of a site that all of it was said of.

use serde_json::{Value, json};

use super::session;
use crate::server::{Server, new_site, path_of, sitewarden};
use crate::sysadmin::Sysadmin;

/// Runs commands on the host of a server.
fn run(admin: &Sysadmin, arguments: &[&str]) -> String {
    let output = sitewarden(arguments).current_dir(admin.server.directory()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn each_part_of_the_sentence_is_one_command() {
    let server = Server::configured("[licence]\ntime_zone = \"Europe/Rome\"\n");
    server.register_as(
        &server.login(),
        &json!({ "name": "Da Mario", "license_expires_at": "2098-06-30T22:00:00Z" }),
    );
    let mut t = session("agreement", &server);
    t.run(&["site", "update", "Da Mario", "--expires", "2098-12-31"]);
    t.run(&["site", "update", "Da Mario", "--grace-days", "14"]);
    t.run(&["site", "lock", "Da Mario", "--at", "2098-12-14", "--reason", "Payment overdue"]);
    t.run(&["site", "list", "--columns", "name,status,license_expires_on,grace_ends_at"]);
    t.run(&["site", "unlock", "Da Mario"]);
    // The document shows these commands, and no others.
    let document = include_str!("../../../docs/operations.md");
    let (_, section) = document.split_once("## In one sentence\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let shown: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("    sudo ")).collect();
    let typed: Vec<&str> = t.text().lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    assert_eq!(shown, typed);
    t.check(&[]);
}

#[test]
fn a_site_is_listed_and_shown_with_its_lock_its_grace_and_what_it_was_told() {
    let admin = Sysadmin::start();
    let yesterday =
        (chrono::Utc::now() - chrono::TimeDelta::days(1)).format("%Y-%m-%dT12:00:00Z").to_string();
    let site = admin.register(json!({
        "name": "Da Mario", "license_expires_at": yesterday, "allow_past": true, "grace_days": 14,
        "time_zone": "Europe/Rome", "offline_hours": 48, "tags": ["vip"], "features": ["orders"],
    }));
    let other = admin.register(json!({ "name": "Bar Centrale" }));
    let show = |site: &Value| run(&admin, &["site", "show", site["name"].as_str().unwrap()]);
    let line = |shown: &str, name: &str| {
        let found = shown.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{shown}"));
        found[16..].to_owned()
    };
    let shown = show(&site);
    assert!(line(&shown, "licence").starts_with("licensed; agreed to the end of "), "{shown}");
    assert!(
        line(&shown, "grace").starts_with("14 days; over ") && line(&shown, "grace").contains("Z, in 1"),
        "{shown}"
    );
    assert_eq!(line(&shown, "offline"), "48 h");
    assert!(line(&shown, "last change").starts_with("not told yet"), "{shown}");
    let answer = admin.server.heartbeat(&site).send();
    let revision = answer.header("X-Verdict-Revision").to_owned();
    assert!(line(&show(&site), "last change").starts_with("told "), "{}", show(&site));
    admin.server.heartbeat(&site).header("X-Verdict-Revision", &revision).send();
    assert!(line(&show(&site), "last change").starts_with("applied by the site"), "{}", show(&site));
    let by_delivery = |state| run(&admin, &["site", "list", "--delivery", state, "--columns", "name"]);
    assert_eq!(by_delivery("acknowledged"), "NAME\nDa Mario\n");
    assert_eq!(by_delivery("pending"), "NAME\nBar Centrale\n");
    run(
        &admin,
        &["site", "lock", "Da Mario", "--at", "2098-12-14", "--until", "2098-12-31", "--reason", "unpaid"],
    );
    run(&admin, &["site", "lock", "Bar Centrale", "--until", "2098-12-31", "--reason", "unpaid too"]);
    let shown = show(&site);
    // The last second of a day is that of Rome: an hour before that of UTC.
    let lock = line(&shown, "lock");
    assert!(
        lock.starts_with("to come at 2098-12-14T23:00:00Z, in ") && lock.ends_with(": unpaid"),
        "{shown}"
    );
    assert!(lock.contains("until 2098-12-31T23:00:00Z"), "{shown}");
    let shown = show(&other);
    let lock = line(&shown, "lock");
    assert!(lock.starts_with("locked since ") && lock.contains("until 2099-01-01T00:00:00Z"), "{shown}");
    let columns = "name,status,licensed,grace_days,lock_until,delivery,time_zone,offline_hours,tags";
    let list = run(&admin, &["site", "list", "--sort", "name", "--columns", columns]);
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["Bar", "Centrale", "locked", "true", "2099-01-01T00:00:00Z", "pending"]);
    assert_eq!(rows[2], ["Da", "Mario", "online", "true", "14", "pending", "Europe/Rome", "48", "vip"]);
    // The lock to come is a change that nobody was told yet.
}

#[test]
fn what_is_exported_of_a_site_is_what_an_import_registers() {
    let admin = Sysadmin::start();
    let full = json!({
        "name": "=Da Mario", "owner_name": "+39 Mario", "contact_email": "mario@example.com",
        "license_expires_at": "2098-12-31T23:00:00Z", "tags": ["-south", "vip"],
        "notes": "=SUM(A1)\nrings; \"on\" Mondays,\n@home", "features": ["kds", "orders"],
        "time_zone": "Europe/Rome", "grace_days": 14, "offline_hours": 300,
    });
    let mut bare = new_site();
    bare["name"] = json!("Bar");
    let bare = admin.register(bare);
    let site = admin.register(full.clone());
    let lock = json!({ "reason": "=unpaid", "at_on": "2098-12-14", "until_on": "2098-12-31" });
    let locked = admin.call("POST", &format!("{}/lock", path_of(&site))).json(&lock).send();
    assert_eq!(locked.status, 200, "{}", locked.text());
    run(&admin, &["site", "lock", "Bar", "--reason", "@unpaid"]);
    run(&admin, &["site", "export", "--output", "all.csv"]);
    let mut table = csv::Reader::from_path(admin.server.directory().join("all.csv")).unwrap();
    for record in table.records() {
        for cell in &record.unwrap() {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "a spreadsheet runs {cell}");
        }
    }
    for site in [&site, &bare] {
        assert_eq!(admin.call("DELETE", &path_of(site)).send().status, 204);
    }
    run(&admin, &["site", "import", "all.csv", "--apply"]);
    let sites = admin.get("/api/sites?sort=-name").json();
    let again = sites.as_array().unwrap();
    assert_eq!(again.len(), 2);
    let new = again.iter().find(|site| site["name"] == full["name"]).unwrap();
    for (field, value) in full.as_object().unwrap() {
        assert_eq!(&new[field], value, "{field}");
    }
    let plain = again.iter().find(|site| site["name"] == "Bar").unwrap();
    for field in
        ["tags", "notes", "features", "time_zone", "grace_days", "offline_hours", "license_expires_at"]
    {
        assert_eq!(plain[field], bare[field], "{field}");
    }
    // A lock is no part of a registration.
    assert_eq!((&plain["is_locked"], &new["scheduled_lock"]), (&json!(false), &json!(null)));
}

#[test]
fn licences_are_extended_that_expire_before_a_day() {
    let admin = Sysadmin::start();
    for (name, expires) in [("Early", "2098-06-30T00:00:00Z"), ("Late", "2099-06-30T00:00:00Z")] {
        admin.register(json!({ "name": name, "license_expires_at": expires }));
    }
    let extend = ["site", "extend", "--days", "30", "--expires-before", "2098-12-31", "--yes"];
    assert_eq!(run(&admin, &extend), "extended 1 site\n");
    let days = run(&admin, &["site", "list", "--columns", "name,license_expires_on"]);
    assert_eq!(days, "NAME   EXPIRES\nEarly  2098-07-29\nLate   2099-06-29\n");
    let update = ["site", "update", "--expires", "2100-12-31", "--expires-after", "2099-01-01", "--yes"];
    assert_eq!(run(&admin, &update), "updated 1 site\n");
    let locks = ["site", "lock", "--reason", "gone", "--seen-before", "2098-12-31", "--yes"];
    let output = sitewarden(&locks).current_dir(admin.server.directory()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("no site is like that"), "{output:?}");
}

//! On which days a site was heard, and how all of them stand.

use serde_json::{Value, json};

use crate::server::{Server, path_of, sitewarden};
use crate::sysadmin::Sysadmin;

fn beat(admin: &Sysadmin, site: &Value, version: &str) {
    let body = json!({ "version": version, "uptime_seconds": 1 });
    assert_eq!(admin.server.heartbeat(site).json(&body).send().status, 200);
}

fn history(admin: &Sysadmin, site: &Value) -> Value {
    let answer = admin.get(&format!("{}/history", path_of(site)));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn a_sites_history_tells_what_came_on_a_day_in_its_zone() {
    let admin = Sysadmin::start();
    let site = admin.register(json!({ "time_zone": "Pacific/Kiritimati" }));
    assert_eq!(history(&admin, &site)["days"], json!([]), "nothing was counted");
    beat(&admin, &site, "2.4.1");
    beat(&admin, &site, "2.4.2");
    beat(&admin, &site, "2.4.2");
    let told = history(&admin, &site);
    assert_eq!((&told["site_id"], &told["time_zone"]), (&site["site_id"], &"Pacific/Kiritimati".into()));
    let days = told["days"].as_array().unwrap();
    // One day, or two where it ended just now.
    let count: u64 = days.iter().map(|day| day["heartbeats"].as_u64().unwrap()).sum();
    assert_eq!(count, 3);
    let day = days.last().unwrap();
    assert_eq!(day["addresses"], json!(["127.0.0.1"]));
    assert_eq!(day["versions"].as_array().unwrap().last(), Some(&json!("2.4.2")));
    let shown = admin.get(&path_of(&site)).json();
    assert_eq!(day["last_at"], shown["last_seen_at"]);
    let kiritimati = chrono::Utc::now() + chrono::TimeDelta::hours(14);
    let (today, date) = (kiritimati.format("%Y-%m-%d").to_string(), day["date"].as_str().unwrap());
    assert!(*date == today || days.len() == 2 || date < today.as_str(), "{date}, and it is {today}");
    assert_eq!(admin.get("/api/sites/00000000-0000-0000-0000-000000000000/history").status, 404);
    assert_eq!(admin.get("/api/sites/mario/history").status, 400);
    assert_eq!(admin.get(&format!("{}/history?days=7", path_of(&site))).status, 422);
    assert_eq!(admin.server.get(&format!("{}/history", path_of(&site))).send().status, 401);
}

#[test]
fn statistics_count_the_sites_by_all_that_is_told_of_them() {
    let admin = Sysadmin::start();
    let in_days = |days: i64| {
        let time = chrono::Utc::now() + chrono::TimeDelta::days(days);
        time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    };
    let sites = [
        ("Anna", json!(["rome", "vip"]), 5),
        ("anna", json!(["rome"]), 20),
        ("", json!([]), 60),
        ("Bruno", json!([]), 400),
    ]
    .map(|(owner, tags, days)| {
        admin.register(json!({ "owner_name": owner, "tags": tags, "license_expires_at": in_days(days) }))
    });
    beat(&admin, &sites[0], "2.4.1");
    beat(&admin, &sites[1], "2.4.1");
    beat(&admin, &sites[2], "2.4.0");
    let lock = admin.call("POST", &format!("{}/lock", path_of(&sites[1])));
    assert_eq!(lock.json(&json!({ "reason": "unpaid" })).send().status, 200);
    let told = admin.get("/api/statistics").json();
    assert_eq!(told["sites"], 4);
    let by_status = json!({
        "inactive": 0, "locked": 1, "expired": 0, "never_seen": 1, "silent": 0, "online": 2,
    });
    assert_eq!(told["by_status"], by_status);
    let value = |value: &str, sites: u64| json!({ "value": value, "sites": sites });
    let versions = json!({ "values": [value("2.4.1", 2), value("2.4.0", 1)], "other": 0, "none": 1 });
    assert_eq!(told["by_version"], versions);
    let owners = json!({ "values": [value("Anna", 2), value("Bruno", 1)], "other": 0, "none": 1 });
    assert_eq!(told["by_owner"], owners);
    let tags = json!({ "values": [value("rome", 2), value("vip", 1)], "other": 0, "none": 2 });
    assert_eq!(told["by_tag"], tags);
    let expiring =
        json!({ "within_7_days": 1, "within_14_days": 1, "within_30_days": 2, "within_90_days": 3 });
    assert_eq!(told["expiring"], expiring);
    let heartbeats = told["heartbeats"].as_array().unwrap();
    assert_eq!(heartbeats.iter().map(|day| day["heartbeats"].as_u64().unwrap()).sum::<u64>(), 3);
    assert_eq!(admin.server.get("/api/statistics").send().status, 401);
    assert_eq!(admin.get("/api/statistics?status=online").status, 422);
}

#[test]
fn a_site_that_is_deleted_leaves_no_history_and_a_restart_keeps_that_of_others() {
    let admin = Sysadmin::start();
    let (gone, kept) = (admin.register(json!({})), admin.register(json!({})));
    beat(&admin, &gone, "1");
    beat(&admin, &kept, "1");
    let before = history(&admin, &kept);
    assert_eq!(admin.call("DELETE", &path_of(&gone)).send().status, 204);
    let admin = admin.restart();
    assert_eq!(admin.get(&format!("{}/history", path_of(&gone))).status, 404);
    let days = |told: &Value| told["days"].as_array().unwrap().first().cloned();
    assert_eq!(days(&history(&admin, &kept)), days(&before));
}

/// The days of this run, which are others in every run, by name.
fn without_days(text: &str) -> String {
    let mut text = text.to_owned();
    for ago in 0..3 {
        let day = chrono::Utc::now() - chrono::TimeDelta::days(ago - 1);
        text = text.replace(&day.format("%Y-%m-%d").to_string(), "<day>");
    }
    text
}

#[test]
fn the_command_line_shows_days_as_lines_and_bars() {
    let server = Server::start();
    let directory = server.directory().to_owned();
    let run = |arguments: &[&str]| {
        let output = sitewarden(arguments).current_dir(&directory).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let admin = Sysadmin::of(server);
    let site = admin.register(json!({ "name": "Trattoria Da Mario" }));
    assert_eq!(run(&["site", "history", "#1"]), "no heartbeat was counted yet\n");
    beat(&admin, &site, "2.4.1");
    let shown = without_days(&run(&["site", "history", "Trattoria Da Mario"]));
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(
        lines[0],
        "DAY    HEARTBEATS  FIRST   LAST    VERSIONS  ADDRESSES".replacen("DAY    ", "DAY         ", 1)
    );
    assert!(
        lines[1].starts_with("<day>  1           ") && lines[1].ends_with("  2.4.1     127.0.0.1"),
        "{shown}"
    );
    let bars = lines[lines.len() - 2];
    assert_eq!(bars.chars().count(), 90, "{shown}");
    assert!(bars.trim_end_matches('.').ends_with('█'), "{shown}");
    assert_eq!(lines[lines.len() - 1], "90 days to <day>, UTC");
    let json: Value = serde_json::from_str(&run(&["site", "history", "#1", "--json"])).unwrap();
    assert_eq!(json, history(&admin, &site));
    let shown = without_days(&run(&["statistics"]));
    assert!(shown.contains("VERSION  SITES\n2.4.1    1\n(none)   0\n"), "{shown}");
    assert!(shown.contains("never seen  0\n") && shown.contains("online      1\n"), "{shown}");
    let json: Value = serde_json::from_str(&run(&["statistics", "--json"])).unwrap();
    assert_eq!(json["by_version"]["values"], json!([{ "value": "2.4.1", "sites": 1 }]));
}

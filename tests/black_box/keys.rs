//! Changing the key of a site without downtime.

use std::path::Path;

use chrono::Utc;
use serde_json::{Value, json};
use sitewarden::domain::{Actor, ActorKind, Operation, SecretKey, SiteId, Timestamp};
use sitewarden::store::{FILE_NAME, Store};

use crate::client::Answer;
use crate::server::{Server, Setup, path_of};

/// The site with another key.
fn with_key(site: &Value, key: &Value) -> Value {
    json!({ "site_id": site["site_id"], "secret_key": key })
}

fn rotate(server: &Server, token: &str, site: &Value, body: &Value) -> Answer {
    server.post(&format!("{}/rotate-key", path_of(site))).bearer(token).json(body).send()
}

fn shown(server: &Server, token: &str, site: &Value) -> Value {
    server.get(&path_of(site)).bearer(token).send().json()
}

fn beats(server: &Server, site: &Value) -> u16 {
    server.heartbeat(site).send().status
}

#[test]
fn without_an_overlap_the_old_key_ends_at_once() {
    let server = Server::start();
    let token = server.login();
    let site = server.register(&token);
    assert_eq!(beats(&server, &site), 200);
    for body in [json!({}), json!({ "overlap_hours": 0 })] {
        let before = shown(&server, &token, &site);
        let answer = rotate(&server, &token, &site, &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.fields(), ["secret_key", "old_key_valid_until"]);
        let rotated = answer.json();
        assert_eq!(rotated["old_key_valid_until"], Value::Null);
        assert_ne!(rotated["secret_key"], site["secret_key"]);
        assert_eq!(beats(&server, &site), 401);
        assert_eq!(beats(&server, &with_key(&site, &rotated["secret_key"])), 200);
        assert_eq!(before["old_key_valid_until"], Value::Null);
    }
}

#[test]
fn during_the_overlap_both_keys_work_and_the_site_shows_which_was_used_last() {
    let server = Server::start();
    let token = server.login();
    let site = server.register(&token);
    assert_eq!(shown(&server, &token, &site)["last_key_used"], Value::Null, "no heartbeat yet");
    let verdict = server.heartbeat(&site).send().json();
    assert_eq!(shown(&server, &token, &site)["last_key_used"], "newest");

    let rotated = rotate(&server, &token, &site, &json!({ "overlap_hours": 168 })).json();
    let until = &rotated["old_key_valid_until"];
    let seen = shown(&server, &token, &site);
    assert_eq!(&seen["old_key_valid_until"], until);
    let hours = |time: &Value| time.as_str().unwrap().parse::<chrono::DateTime<Utc>>().unwrap() - Utc::now();
    assert!((167..=168).contains(&hours(until).num_hours()), "{until}");
    assert_eq!(seen["last_key_used"], "replaced", "the backend has still to be told");

    let new = with_key(&site, &rotated["secret_key"]);
    assert_eq!(server.heartbeat(&site).send().json(), verdict, "nothing new on the wire");
    assert_eq!(shown(&server, &token, &site)["last_key_used"], "replaced");
    assert_eq!(server.heartbeat(&new).send().json(), verdict);
    assert_eq!(shown(&server, &token, &site)["last_key_used"], "newest");

    // The overlap outlives a restart, and the next rotation ends it.
    let server = server.restart();
    assert_eq!((beats(&server, &site), beats(&server, &new)), (200, 200));
    let third = rotate(&server, &token, &site, &json!({ "overlap_hours": 1 })).json();
    let third = with_key(&site, &third["secret_key"]);
    assert_eq!((beats(&server, &site), beats(&server, &new), beats(&server, &third)), (401, 200, 200));
    rotate(&server, &token, &site, &json!({}));
    assert_eq!((beats(&server, &new), beats(&server, &third)), (401, 401));
}

/// Rotates the key of the site in a database at rest, so many hours ago.
fn rotated_hours_ago(setup: &Setup, site: &Value, overlap: u8, hours: i64) -> Value {
    let key = SecretKey::from_random_bits([7; 32]);
    let site_id: SiteId = site["site_id"].as_str().unwrap().parse().unwrap();
    let then = Timestamp::from_clock(Utc::now() - chrono::TimeDelta::hours(hours));
    let by = Actor { kind: ActorKind::System, name: "root".to_owned(), token: None, ip: None };
    let open = |data: &Path| Store::open(&data.join(FILE_NAME)).unwrap();
    let store = open(&setup.data_dir());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let operation = Operation::RotateKey { key: key.hash(), overlap_hours: overlap };
    runtime.block_on(store.apply(operation.on(site_id), by, then)).unwrap().unwrap();
    store.close();
    json!(key.expose())
}

#[test]
fn when_the_overlap_is_over_the_old_key_works_no_more() {
    let server = Server::start();
    let token = server.login();
    let sites = [server.register(&token), server.register(&token)];
    let setup = server.stop_for_another_start();
    let over = with_key(&sites[0], &rotated_hours_ago(&setup, &sites[0], 2, 2));
    let during = with_key(&sites[1], &rotated_hours_ago(&setup, &sites[1], 3, 2));
    let server = setup.start();
    assert_eq!((beats(&server, &sites[0]), beats(&server, &over)), (401, 200));
    assert_eq!((beats(&server, &sites[1]), beats(&server, &during)), (200, 200));
    let seen = shown(&server, &token, &sites[0]);
    assert_eq!((&seen["old_key_valid_until"], &seen["last_key_used"]), (&Value::Null, &json!("newest")));
}

#[test]
fn an_overlap_is_0_to_168_whole_hours_and_the_site_must_be_there() {
    let server = Server::start();
    let token = server.login();
    let site = server.register(&token);
    for hours in [json!(-1), json!(169), json!(1.5), json!("24"), json!(null), json!(1_000_000)] {
        let answer = rotate(&server, &token, &site, &json!({ "overlap_hours": hours }));
        answer.assert_names(422, &["overlap_hours"]);
    }
    rotate(&server, &token, &site, &json!({ "overlap_days": 1 })).assert_names(422, &["overlap_days"]);
    assert_eq!(beats(&server, &site), 200, "the key is as it was");
    let missing = json!({ "site_id": "00000000-0000-4000-8000-000000000000" });
    rotate(&server, &token, &missing, &json!({})).assert_problem(404);
}

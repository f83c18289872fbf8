//! What a local backend gets that asks for a lease, and the keys that sign it.

use std::process::Command;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::client::{Answer, Call};
use crate::server::{Server, Setup, path_of, run_to_end, sitewarden};
use crate::sysadmin::Sysadmin;

const LEASE: &str = "application/vnd.sitewarden.lease+jwt";
const NONCE: &str = "0123456789abcdef";

fn ask(server: &Server, site: &Value) -> Call {
    server.heartbeat(site).header("Accept", LEASE)
}

fn part(token: &str, number: usize) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(token.split('.').nth(number).unwrap()).unwrap()
}

/// Header and claims, once the signature is found good by a key of the set.
fn verified(server: &Server, answer: &Answer) -> (Value, Value) {
    assert_eq!((answer.status, answer.header("Content-Type")), (200, LEASE));
    let token = answer.text();
    let head: Value = serde_json::from_slice(&part(token, 0)).unwrap();
    let set = server.get("/.well-known/jwks.json").send().json();
    let keys = set["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["kid"] == head["kid"]).expect("a key of the set");
    let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let (message, _) = token.rsplit_once('.').unwrap();
    let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    verifier.verify(message.as_bytes(), &part(token, 2)).unwrap();
    (head, serde_json::from_slice(&part(token, 1)).unwrap())
}

fn seconds(text: &Value) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text.as_str().unwrap()).unwrap().timestamp()
}

#[test]
fn a_lease_says_what_the_verdict_says_and_until_when() {
    let admin = Sysadmin::of(Server::configured("[lease]\nissuer = \"licences.example\"\n"));
    let site = admin.register(json!({}));
    let answer = ask(&admin.server, &site).header("X-Lease-Nonce", NONCE).send();
    let (head, claims) = verified(&admin.server, &answer);
    assert_eq!((&head["alg"], &head["typ"]), (&json!("ES256"), &json!("vnd.sitewarden.lease+jwt")));
    let iat = claims["iat"].as_i64().unwrap();
    assert_eq!(claims["exp"], iat + 168 * 3600);
    let wait = answer.header("Retry-After").parse::<i64>().unwrap();
    assert_eq!(seconds(&claims["next_heartbeat_at"]), iat + wait);
    assert!((19_800..=23_400).contains(&wait), "{wait}");
    for (name, value) in [
        ("iss", json!("licences.example")),
        ("sub", site["site_id"].clone()),
        ("nonce", json!(NONCE)),
        ("licensed", json!(true)),
        ("locked", json!(false)),
        ("lock_reason", Value::Null),
        ("expires_at", site["license_expires_at"].clone()),
        ("features", json!([])),
        ("rev", json!(1)),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    assert_eq!(answer.header("Vary"), "Accept");
    admin.lock(&site, json!({ "reason": "unpaid" }));
    let (_, locked) = verified(&admin.server, &ask(&admin.server, &site).send());
    assert_eq!((&locked["locked"], &locked["lock_reason"]), (&json!(true), &json!("unpaid")));
    assert_eq!((&locked["rev"], locked.get("nonce")), (&json!(2), None));
    assert!(locked["iat"].as_i64().unwrap() >= iat);
}

#[test]
fn who_does_not_prefer_a_lease_gets_the_four_fields() {
    let admin = Sysadmin::start();
    let site = admin.register(json!({}));
    let plain = admin.server.heartbeat(&site).send();
    for accept in ["*/*", "application/json", &format!("{LEASE};q=0.5, application/json"), "text/html"] {
        let answer = admin.server.heartbeat(&site).header("Accept", accept).send();
        assert_eq!(answer.header("Content-Type"), "application/json", "{accept}");
        assert_eq!(answer.text(), plain.text(), "{accept}");
    }
    for accept in [&format!("{LEASE}, application/json;q=0.9"), &LEASE.to_uppercase()] {
        let answer = admin.server.heartbeat(&site).header("Accept", accept).send();
        assert_eq!(answer.header("Content-Type"), LEASE, "{accept}");
    }
    let refused = ask(&admin.server, &site).without("X-Site-Key").header("X-Site-Key", "swk_wrong").send();
    refused.assert_problem(401);
}

#[test]
fn a_header_that_cannot_be_understood_is_named_and_nothing_is_recorded() {
    let admin = Sysadmin::start();
    let site = admin.register(json!({}));
    for nonce in ["0123456789abcde", &"x".repeat(65), "0123456789 abcdef"] {
        ask(&admin.server, &site).header("X-Lease-Nonce", nonce).send().assert_names(400, &["X-Lease-Nonce"]);
    }
    for revision in ["seven", "-1", "7.0", "18446744073709551616"] {
        let answer = admin.server.heartbeat(&site).header("X-Verdict-Revision", revision).send();
        answer.assert_names(400, &["X-Verdict-Revision"]);
    }
    assert_eq!(admin.get(&path_of(&site)).json()["last_seen_at"], Value::Null);
}

#[test]
fn a_change_is_acknowledged_once_and_only_after_it_was_answered() {
    let admin = Sysadmin::start();
    let site = admin.register(json!({}));
    let beat = |revision: &str| {
        let answer = admin.server.heartbeat(&site).header("X-Verdict-Revision", revision).send();
        assert_eq!(answer.status, 200);
        answer.header("X-Verdict-Revision").to_owned()
    };
    assert_eq!(admin.server.heartbeat(&site).send().header("X-Verdict-Revision"), "1");
    admin.lock(&site, json!({ "reason": "unpaid" }));
    assert_eq!(beat("2"), "2", "it cannot have applied what it was not told");
    let acknowledged = |admin: &Sysadmin| {
        let entries = admin.get("/api/audit?action=change_acknowledged").json();
        entries.as_array().unwrap().clone()
    };
    assert_eq!(acknowledged(&admin).len(), 0);
    assert_eq!(beat("99"), "2", "nor one that is to come");
    assert_eq!((beat("2"), beat("2"), beat("1")), ("2".to_owned(), "2".to_owned(), "2".to_owned()));
    let entries = acknowledged(&admin);
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["site_id"], site["site_id"]);
    assert_eq!(entries[0]["changes"], json!([{ "field": "verdict_revision", "before": null, "after": "2" }]));
    let who = (&entries[0]["actor_kind"], &entries[0]["actor"]);
    assert_eq!(who, (&json!("site"), &site["name"]), "{}", entries[0]);
}

#[test]
fn the_key_set_is_told_by_get_and_head_and_need_not_be_sent_twice() {
    let server = Server::start();
    let path = "/.well-known/jwks.json";
    let answer = server.get(path).send();
    assert_eq!(answer.header("Content-Type"), "application/jwk-set+json");
    let set = answer.json();
    let key = &set["keys"][0];
    assert_eq!(
        (&key["kty"], &key["crv"], &key["alg"], &key["use"]),
        (&json!("EC"), &json!("P-256"), &json!("ES256"), &json!("sig"))
    );
    assert_eq!(key.get("d"), None, "the private half stays here");
    let tag = answer.header("ETag").to_owned();
    let known = server.get(path).header("If-None-Match", &tag).send();
    assert_eq!((known.status, known.text()), (304, ""));
    let head = server.call("HEAD", path).send();
    assert_eq!((head.status, head.header("ETag"), head.text()), (200, tag.as_str(), ""));
    server.post(path).send().assert_problem(405);
}

#[test]
fn a_new_key_is_announced_by_the_old_one_and_signs_at_once_when_it_has_to() {
    let admin = Sysadmin::start();
    let site = admin.register(json!({}));
    let (head, _) = verified(&admin.server, &ask(&admin.server, &site).send());
    let states = |admin: &Sysadmin| {
        let keys = admin.get("/api/lease-keys").json();
        let keys = keys.as_array().unwrap().iter();
        keys.map(|key| (key["state"].as_str().unwrap().to_owned(), key["sites_without"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(states(&admin), [("signing".to_owned(), json!(0))]);
    let rotate = |now: bool| admin.call("POST", "/api/lease-keys/rotate").json(&json!({ "now": now })).send();
    assert_eq!(rotate(false).status, 200);
    assert_eq!(states(&admin), [("signing".to_owned(), json!(0)), ("announced".to_owned(), json!(1))]);
    rotate(false).assert_problem(409);
    let (same, claims) = verified(&admin.server, &ask(&admin.server, &site).send());
    assert_eq!(same["kid"], head["kid"]);
    let next = claims["next_jwk"]["kid"].clone();
    assert!(next.is_string() && next != head["kid"]);
    assert_eq!(states(&admin)[1], ("announced".to_owned(), json!(0)));
    assert_eq!(rotate(true).status, 200);
    let (new, claims) = verified(&admin.server, &ask(&admin.server, &site).send());
    assert_eq!((&new["kid"], claims.get("next_jwk")), (&next, None));
    assert_eq!(states(&admin), [("retired".to_owned(), Value::Null), ("signing".to_owned(), json!(0))]);
    let entries = admin.get("/api/audit?action=lease_key_rotated").json();
    assert_eq!(entries.as_array().unwrap().len(), 2);
    let after = admin.restart();
    let (kept, _) = verified(&after.server, &ask(&after.server, &site).send());
    assert_eq!(kept["kid"], next, "a restart changes nothing");
}

#[test]
fn a_key_that_systemd_gives_signs_and_is_not_replaced() {
    let setup = Setup::new();
    let credentials = setup.directory().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    let generate = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out";
    let path = credentials.join("lease-key");
    let mut words = generate.split(' ');
    let made = Command::new(words.next().unwrap()).args(words).arg(&path).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let admin = Sysadmin::of(setup.env("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap()).start());
    let site = admin.register(json!({}));
    verified(&admin.server, &ask(&admin.server, &site).send());
    let refused = admin.call("POST", "/api/lease-keys/rotate").json(&json!({ "now": true })).send();
    refused.assert_problem(409);
}

#[test]
fn a_lease_key_that_is_none_is_named_at_the_start() {
    let setup = Setup::new();
    let credentials = setup.directory().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("lease-key"), "no key").unwrap();
    let output = setup.env("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap()).run_to_end();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("lease-key") && said.contains("openssl"), "{said}");
}

#[test]
fn a_watched_site_is_told_to_call_more_often() {
    let admin = Sysadmin::start();
    let site = admin.register(json!({}));
    let watch = |minutes: i64| {
        let path = format!("{}/watch", path_of(&site));
        admin.call("POST", &path).json(&json!({ "minutes": minutes })).send()
    };
    let wait = || admin.server.heartbeat(&site).send().header("Retry-After").parse::<i64>().unwrap();
    assert!(wait() >= 19_800);
    assert_eq!(watch(15).status, 200);
    assert_eq!(wait(), 900);
    for minutes in [1, 4, 61, -1] {
        watch(minutes).assert_names(422, &["minutes"]);
    }
    assert_eq!(wait(), 900);
    assert_eq!(watch(0).status, 200);
    assert!(wait() >= 19_800);
    assert_eq!(admin.newest_in_audit()["action"], "site_watched");
}

#[test]
fn the_command_line_lists_and_rotates_keys() {
    let admin = Sysadmin::start();
    let run = |arguments: &[&str]| {
        let mut command = sitewarden(&["lease-key"]);
        command.args(arguments).current_dir(admin.server.directory());
        let output = run_to_end(command);
        assert!(output.status.code() != Some(2), "{output:?}");
        output
    };
    let text = |output: &std::process::Output| String::from_utf8(output.stdout.clone()).unwrap();
    let listed = text(&run(&["list"]));
    assert!(listed.contains("signing") && listed.lines().count() == 2, "{listed}");
    let rotated = text(&run(&["rotate"]));
    assert!(rotated.contains("announced") && rotated.contains("30 days"), "{rotated}");
    let again = run(&["rotate"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("announced already"), "{again:?}");
    let now = text(&run(&["rotate", "--now"]));
    assert!(now.contains("retired"), "{now}");
}

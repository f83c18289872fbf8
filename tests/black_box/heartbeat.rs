//! What a site's local backend is promised.

use std::process::Output;

use serde_json::{Value, json};

use crate::server::{Server, Setup, path_of, run_to_end, sitewarden};
use crate::wire::{header, post, status};

const PAST: &str = "2001-01-01T00:00:00Z";

fn seen(server: &Server, token: &str, site: &Value) -> Value {
    server.get(&path_of(site)).bearer(token).send().json()
}

#[test]
fn a_verdict_has_four_fields_in_order_on_either_form_of_the_path() {
    let server = Server::start();
    let site = server.register(&server.login());
    for path in ["/api/heartbeat", "/api/heartbeat/"] {
        let answer = server
            .post(path)
            .header("x-site-id", site["site_id"].as_str().unwrap())
            .header("x-site-key", site["secret_key"].as_str().unwrap())
            .json(&json!({ "version": "1", "uptime_seconds": 0 }))
            .send();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("Content-Type"), "application/json");
        assert_eq!(answer.header("Cache-Control"), "no-store");
        assert_eq!(answer.fields(), ["licensed", "locked", "lock_reason", "expires_at"]);
    }
}

#[test]
fn a_heartbeat_is_recorded_with_time_address_version_and_uptime() {
    let server = Setup::new().config("trusted_proxies = [\"127.0.0.1\"]\n").start();
    let token = server.login();
    let site = server.register(&token);
    for field in ["last_seen_at", "last_seen_ip", "last_version", "last_uptime_seconds"] {
        assert_eq!(site[field], Value::Null, "{field}");
    }
    assert_eq!(site["status"], "never_seen");
    let before = chrono::Utc::now().timestamp();
    server
        .heartbeat(&site)
        .header("X-Forwarded-For", "198.51.100.9, 2001:db8::7")
        .json(&json!({ "version": "  9.9-β ", "uptime_seconds": 9_007_199_254_740_991_u64 }))
        .send();
    let after = chrono::Utc::now().timestamp();
    let seen = seen(&server, &token, &site);
    assert_eq!(seen["last_version"], "9.9-β", "trimmed");
    assert_eq!(seen["last_uptime_seconds"], json!(9_007_199_254_740_991_u64));
    assert_eq!(seen["last_seen_ip"], "2001:db8::7", "what the proxy saw, not what the client claims");
    let at = chrono::DateTime::parse_from_rfc3339(seen["last_seen_at"].as_str().unwrap()).unwrap();
    assert!((before..=after).contains(&at.timestamp()), "{at}");
    assert_eq!(seen["status"], "online");
    server.heartbeat(&site).send();
    let later = self::seen(&server, &token, &site);
    assert_eq!((&later["last_version"], &later["last_seen_ip"]), (&json!("2.4.1"), &json!("127.0.0.1")));
}

#[test]
fn a_locked_an_expired_and_an_inactive_site_are_answered_200_and_recorded() {
    let server = Server::start();
    let token = server.login();
    let expires = "2099-12-31T00:00:00Z";

    let locked = server.register(&token);
    server
        .post(&format!("{}/lock", path_of(&locked)))
        .bearer(&token)
        .json(&json!({ "reason": "unpaid" }))
        .send();
    let expired = server.register_as(&token, &json!({ "license_expires_at": PAST, "allow_past": true }));
    let inactive = server.register(&token);
    server.put(&path_of(&inactive)).bearer(&token).json(&json!({ "is_active": false })).send();

    for (site, verdict, status) in [
        (
            &locked,
            json!({ "licensed": true, "locked": true, "lock_reason": "unpaid", "expires_at": expires }),
            "locked",
        ),
        (
            &expired,
            json!({ "licensed": false, "locked": false, "lock_reason": null, "expires_at": PAST }),
            "expired",
        ),
        (
            &inactive,
            json!({ "licensed": false, "locked": false, "lock_reason": null, "expires_at": expires }),
            "inactive",
        ),
    ] {
        let answer = server.heartbeat(site).send();
        assert_eq!((answer.status, answer.json()), (200, verdict));
        let seen = seen(&server, &token, site);
        assert_eq!((&seen["last_version"], &seen["status"]), (&json!("2.4.1"), &json!(status)));
    }
}

#[test]
fn an_unknown_site_a_wrong_key_and_a_missing_header_are_refused_alike() {
    let server = Server::start();
    let token = server.login();
    let (site, other) = (server.register(&token), server.register(&token));
    let unknown = "00000000-0000-4000-8000-000000000000";
    let with = |id: &str, key: &str| {
        server
            .heartbeat(&site)
            .without("X-Site-ID")
            .without("X-Site-Key")
            .header("X-Site-ID", id)
            .header("X-Site-Key", key)
    };
    let (id, key) = (site["site_id"].as_str().unwrap(), site["secret_key"].as_str().unwrap());
    let refused = with(unknown, key).send();
    refused.assert_problem(401);
    assert!(refused.header("WWW-Authenticate").starts_with("SiteKey"));
    for (number, call) in [
        with(id, other["secret_key"].as_str().unwrap()),
        with(id, &key[..key.len() - 1]),
        with(id, &key.to_uppercase()),
        with(id, ""),
        with("", key),
        with("not a uuid", key),
        with("1", key),
        server.heartbeat(&site).without("X-Site-ID"),
        server.heartbeat(&site).without("X-Site-Key"),
        server.heartbeat(&site).without("X-Site-ID").without("X-Site-Key"),
        server.heartbeat(&site).without("X-Site-ID").without("X-Site-Key").bearer(&token),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = call.send();
        answer.assert_problem(401);
        assert_eq!(answer.but_for_its_id(), refused.but_for_its_id(), "{number}");
        assert_eq!(answer.header("WWW-Authenticate"), refused.header("WWW-Authenticate"));
    }
    assert_eq!(seen(&server, &token, &site)["last_seen_at"], Value::Null);
    assert_eq!(with(id, key).send().status, 200);
}

#[test]
fn a_key_works_for_heartbeats_alone() {
    let server = Server::start();
    let site = server.register(&server.login());
    let answer = server
        .get("/api/sites")
        .header("X-Site-ID", site["site_id"].as_str().unwrap())
        .header("X-Site-Key", site["secret_key"].as_str().unwrap())
        .bearer(site["secret_key"].as_str().unwrap())
        .send();
    answer.assert_problem(401);
}

#[test]
fn a_heartbeat_ignores_fields_that_it_does_not_know_and_names_all_that_are_bad() {
    let server = Setup::new().config("[limits]\nheartbeats_per_hour = 0\n").start();
    let token = server.login();
    let site = server.register(&token);
    let send = |body: Value| server.heartbeat(&site).json(&body).send();
    assert_eq!(send(json!({ "version": "3", "uptime_seconds": 1, "disk_free": { "gb": 7 } })).status, 200);

    send(json!({})).assert_names(422, &["version", "uptime_seconds"]);
    send(json!({ "version": 2, "uptime_seconds": "long" })).assert_names(422, &["version", "uptime_seconds"]);
    for version in ["", "   ", "a\nb", &"x".repeat(65)] {
        send(json!({ "version": version, "uptime_seconds": 1 })).assert_names(422, &["version"]);
    }
    for uptime in
        [json!(-1), json!(1.5), json!(9_007_199_254_740_992_u64), json!(1e300), json!(true), json!(null)]
    {
        send(json!({ "version": "3", "uptime_seconds": uptime })).assert_names(422, &["uptime_seconds"]);
    }
    assert_eq!(seen(&server, &token, &site)["last_version"], "3", "a refused heartbeat is not recorded");
    for (version, uptime) in
        [("x", json!(0)), (&*"é".repeat(64), json!(9_007_199_254_740_991_u64)), ("5", json!(60.0))]
    {
        assert_eq!(send(json!({ "version": version, "uptime_seconds": uptime })).status, 200);
    }
}

#[test]
fn a_site_s_eleventh_heartbeat_at_once_has_to_wait_and_its_neighbour_s_does_not() {
    let server = Server::start();
    let token = server.login();
    let (site, neighbour) = (server.register(&token), server.register(&token));
    // Strangers do not use up what a site is allowed.
    for _ in 0..3 {
        let stranger = server.heartbeat(&site).without("X-Site-Key").header("X-Site-Key", "swk_x").send();
        assert_eq!(stranger.status, 401);
    }
    for number in 0..10 {
        assert_eq!(server.heartbeat(&site).send().status, 200, "{number}");
    }
    let refused = server.heartbeat(&site).send();
    refused.assert_problem(429);
    let wait: u64 = refused.header("Retry-After").parse().unwrap();
    assert!((1..=60).contains(&wait), "60 an hour is one a minute: {wait}");
    assert_eq!(server.heartbeat(&neighbour).send().status, 200, "from the same address");
}

#[test]
fn failed_heartbeats_are_limited_by_address_and_a_right_key_passes_all_the_same() {
    let server = Setup::new()
        .config("trusted_proxies = [\"127.0.0.1\"]\n[limits]\nfailed_heartbeats_per_minute = 3\n")
        .start();
    let site = server.register(&server.login());
    let wrong = |address: &str| {
        let call = server.heartbeat(&site).without("X-Site-Key").header("X-Site-Key", "swk_x");
        call.header("X-Forwarded-For", address).send()
    };
    for _ in 0..3 {
        assert_eq!(wrong("192.0.2.1").status, 401);
    }
    let refused = wrong("192.0.2.1");
    refused.assert_problem(429);
    assert!((1..=60).contains(&refused.header("Retry-After").parse::<u64>().unwrap()));
    let right = server.heartbeat(&site).header("X-Forwarded-For", "192.0.2.1").send();
    assert_eq!(right.status, 200, "a site behind the same address is not shut out");
    assert_eq!(wrong("192.0.2.2").status, 401);
    for _ in 0..3 {
        assert_eq!(wrong("2001:db8:5:5::1").status, 401);
    }
    assert_eq!(wrong("2001:db8:5:5:ffff::2").status, 429, "IPv6 counts by /64");
    // Where no proxy stands between, the address is the socket's.
    let server = Server::configured("[limits]\nfailed_heartbeats_per_minute = 2\n");
    let request = post("/api/heartbeat", "", "{\"version\":\"1\",\"uptime_seconds\":1}");
    let stranger = |source: [u8; 4]| server.exchange_from(source, request.as_bytes());
    let answers: Vec<u16> = (0..3).map(|_| status(&stranger([127, 0, 0, 2]))).collect();
    assert_eq!(answers, [401, 401, 429]);
    let refused = stranger([127, 0, 0, 2]);
    assert!(header(&refused, "retry-after").is_some(), "{refused}");
    assert_eq!(status(&stranger([127, 0, 0, 1])), 401);
}

#[test]
fn thirty_failed_heartbeats_a_minute_are_the_default() {
    let server = Server::start();
    let stranger =
        || server.post("/api/heartbeat").json(&json!({ "version": "1", "uptime_seconds": 1 })).send();
    let before_the_limit = (0..200).take_while(|_| stranger().status == 401).count();
    // At least 30; while the test runs, one more recovers every 2 s.
    assert!((30..60).contains(&before_the_limit), "{before_the_limit}");
    stranger().assert_problem(429);
}

/// `sitewarden heartbeat` with this id and key.
fn play(url: &str, cacert: Option<&str>, site_id: &str, key: &str) -> Output {
    let mut command = sitewarden(&["heartbeat", "--url", url]);
    command.args(cacert.iter().flat_map(|file| ["--cacert", file]));
    command.env("SITEWARDEN_SITE_ID", site_id).env("SITEWARDEN_SITE_KEY", key);
    run_to_end(command)
}

#[test]
fn the_command_plays_a_local_backend_and_tells_the_verdict_by_its_exit_code() {
    let server = Server::start();
    let token = server.login();
    let site = server.register(&token);
    let (id, key) = (site["site_id"].as_str().unwrap(), site["secret_key"].as_str().unwrap());
    let certificate = server.certificate();
    let certificate = certificate.to_str();
    let played = |id, key| {
        let output = play(server.url(), certificate, id, key);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let free =
        "{\"licensed\":true,\"locked\":false,\"lock_reason\":null,\"expires_at\":\"2099-12-31T00:00:00Z\"}\n";
    assert_eq!(played(id, key), (Some(0), free.to_owned(), String::new()));

    server
        .post(&format!("{}/lock", path_of(&site)))
        .bearer(&token)
        .json(&json!({ "reason": "unpaid" }))
        .send();
    let (code, printed, _) = played(id, key);
    assert_eq!(code, Some(10), "locked");
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap()["lock_reason"], "unpaid");
    server.post(&format!("{}/unlock", path_of(&site))).bearer(&token).send();
    server
        .put(&path_of(&site))
        .bearer(&token)
        .json(&json!({ "license_expires_at": PAST, "allow_past": true }))
        .send();
    assert_eq!(played(id, key).0, Some(10), "expired");

    let (code, printed, complaint) = played(id, "swk_wrong");
    assert_eq!((code, printed.as_str()), (Some(1), ""), "refused");
    assert!(complaint.contains("refused with 401"), "{complaint}");
    assert!(!complaint.contains("swk_"), "{complaint}");
    let (code, _, complaint) = played("", key);
    assert_eq!(code, Some(2), "wrong usage");
    assert!(complaint.contains("SITEWARDEN_SITE_ID"), "{complaint}");

    let untrusted = play(server.url(), Some("/etc/hostname"), id, key);
    assert_eq!(untrusted.status.code(), Some(1), "no certificate in the file");
    let localhost = format!("https://localhost:{}", server.port());
    assert_eq!(play(&localhost, certificate, id, key).status.code(), Some(10), "a name in the certificate");
    assert_eq!(play("ftp://127.0.0.1", certificate, id, key).status.code(), Some(2), "no such scheme");
}

#[test]
fn the_command_calls_a_server_that_cannot_be_reached_or_trusted_unreachable() {
    let server = Server::start();
    let site = server.register(&server.login());
    let (id, key) = (site["site_id"].as_str().unwrap(), site["secret_key"].as_str().unwrap());
    let other = Server::start();
    let stranger = play(server.url(), other.certificate().to_str(), id, key);
    assert_eq!(stranger.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&stranger.stderr).contains("not trusted"));
    let (url, certificate) = (server.url().to_owned(), other.certificate());
    server.stop();
    let gone = play(&url, certificate.to_str(), id, key);
    assert_eq!(gone.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("cannot reach 127.0.0.1"));
}

#[test]
fn the_command_calls_a_server_that_cannot_answer_now_unreachable() {
    let server = Setup::new().config("[limits]\nheartbeat_burst = 1\n").start();
    let site = server.register(&server.login());
    assert_eq!(server.heartbeat(&site).send().status, 200);
    let (id, key) = (site["site_id"].as_str().unwrap(), site["secret_key"].as_str().unwrap());
    let throttled = play(server.url(), server.certificate().to_str(), id, key);
    assert_eq!(throttled.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&throttled.stderr).contains("429"));
}

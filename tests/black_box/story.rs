//! What the server is for, from an empty directory to the locked site.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;

use crate::server::Setup;

#[test]
fn a_site_registered_from_an_empty_directory_learns_at_once_that_it_was_locked() {
    // The log at its most talkative, so that it shows what it must not.
    let server = Setup::new().config("[log]\nlevel = \"trace\"\n").start();
    let password = server.password();
    let mut secrets = vec![password.clone()];

    // The Authorize dialog of Swagger UI sends the OAuth2 password form.
    let form = format!("grant_type=password&username=sysadmin&password={password}");
    let answer = server.post("/api/auth/login").form(&form).send();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    secrets.push(token.clone());

    let site = server.register(&token);
    secrets.push(site["secret_key"].as_str().unwrap().to_owned());
    let site_path = format!("/api/sites/{}", site["site_id"].as_str().unwrap());

    let verdict = server.heartbeat(&site).send();
    assert_eq!(verdict.status, 200, "{}", verdict.text());
    assert_eq!(
        verdict.text(),
        r#"{"licensed":true,"locked":false,"lock_reason":null,"expires_at":"2099-12-31T00:00:00Z"}"#
    );

    let reason = json!({ "reason": "Payment overdue since March" });
    let locked = server.post(&format!("{site_path}/lock")).bearer(&token).json(&reason).send();
    assert_eq!(locked.status, 200, "{}", locked.text());
    let told = r#"{"licensed":true,"locked":true,"lock_reason":"Payment overdue since March","expires_at":"2099-12-31T00:00:00Z"}"#;
    assert_eq!(server.heartbeat(&site).send().text(), told);

    let before = server.get(&site_path).bearer(&token).send().json();
    let mut log = server.log();
    let server = server.restart();
    assert_eq!(server.get(&site_path).bearer(&token).send().json(), before, "with the token from before");
    assert_eq!(server.heartbeat(&site).send().text(), told);
    assert_eq!(before["status"], "locked");
    assert_eq!(before["last_version"], "2.4.1");

    let unlocked = server.post(&format!("{site_path}/unlock")).bearer(&token).send();
    assert_eq!(unlocked.status, 200, "{}", unlocked.text());
    assert_eq!(server.heartbeat(&site).send().text(), verdict.text());

    // A wrong key and a wrong password are secrets too: they may be right elsewhere.
    let wrong_key = "swk_wrong-key-wrong-key-wrong-key-wrong-key-wron";
    let refused = server.heartbeat(&site).without("X-Site-Key").header("X-Site-Key", wrong_key).send();
    assert_eq!(refused.status, 401);
    let login = json!({ "username": "sysadmin", "password": "a wrong password" });
    assert_eq!(server.post("/api/auth/login").json(&login).send().status, 401);
    secrets.extend([wrong_key.to_owned(), "a wrong password".to_owned()]);

    log += &server.stop();
    for secret in secrets {
        assert!(!log.contains(&secret), "a secret in the log");
    }
    assert!(!log.contains("$argon2"), "a password hash in the log");
    assert!(log.contains("/api/heartbeat"), "the log tells of requests:\n{log}");
}

#[test]
fn a_lock_that_was_answered_is_in_every_heartbeat_sent_after_it_however_many_there_are() {
    let server = Setup::new().config("[limits]\nheartbeats_per_hour = 0\n").start();
    let token = server.login();
    let site = server.register(&token);
    let path = format!("/api/sites/{}/lock", site["site_id"].as_str().unwrap());
    // The reason of each lock is its number.
    let (sent, answered, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let verdicts: usize = std::thread::scope(|scope| {
        let backend = || {
            let mut verdicts = 0;
            while !done.load(Ordering::SeqCst) {
                let before = answered.load(Ordering::SeqCst);
                let verdict = server.heartbeat(&site).send().json();
                let after = sent.load(Ordering::SeqCst);
                let told: u64 = verdict["lock_reason"].as_str().map_or(0, |reason| reason.parse().unwrap());
                assert!((before..=after).contains(&told), "told {told} between {before} and {after}");
                verdicts += 1;
            }
            verdicts
        };
        let backends: Vec<_> = (0..4).map(|_| scope.spawn(backend)).collect();
        let mut refused = 0;
        for number in 1..=50_u64 {
            sent.store(number, Ordering::SeqCst);
            let reason = json!({ "reason": number.to_string() });
            refused += u32::from(server.post(&path).bearer(&token).json(&reason).send().status != 200);
            answered.store(number, Ordering::SeqCst);
        }
        done.store(true, Ordering::SeqCst);
        assert_eq!(refused, 0);
        backends.into_iter().map(|backend| backend.join().unwrap()).sum()
    });
    assert!(verdicts > 0);
    assert_eq!(server.heartbeat(&site).send().json()["lock_reason"], "50");
}

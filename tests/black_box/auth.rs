//! Logging in, and what a token is good for.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::server::{Server, Setup};
use crate::wire::{header, post, status};

/// A server whose signing key the test knows.
fn with_known_key() -> (Server, String) {
    let setup = Setup::new();
    let (file, key) = (setup.directory().join("signing.key"), "k".repeat(40));
    std::fs::write(&file, &key).unwrap();
    (setup.config(&format!("[auth]\nsigning_key_file = {file:?}\n")).start(), key)
}

/// What a token says.
fn claims_of(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode::<Value>(token).unwrap().claims
}

/// A token like `model`, with these claims over its own.
fn token(model: &str, key: &str, algorithm: Algorithm, claims: Value) -> String {
    let mut all = claims_of(model);
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    jsonwebtoken::encode(&Header::new(algorithm), &all, &EncodingKey::from_secret(key.as_bytes())).unwrap()
}

#[test]
fn a_login_gives_a_bearer_token_for_15_minutes() {
    let server = Server::start();
    let answer = server.try_login("sysadmin", &server.password());
    assert_eq!(answer.status, 200);
    assert_eq!(answer.fields(), ["access_token", "token_type", "expires_in", "expires_at"]);
    let document = answer.json();
    assert_eq!((&document["token_type"], &document["expires_in"]), (&json!("Bearer"), &json!(900)));
    let claims = claims_of(document["access_token"].as_str().unwrap());
    let end = chrono::DateTime::from_timestamp(claims["exp"].as_i64().unwrap(), 0).unwrap();
    assert_eq!(document["expires_at"], json!(end.format("%Y-%m-%dT%H:%M:%SZ").to_string()));
}

#[test]
fn the_length_of_a_token_s_life_is_configured_in_minutes() {
    let server = Setup::new().config("[auth]\ntoken_minutes = 2\n").start();
    assert_eq!(server.try_login("sysadmin", &server.password()).json()["expires_in"], json!(120));
}

#[test]
fn me_tells_whom_the_token_speaks_for() {
    let server = Server::start();
    let token = server.login();
    for path in ["/api/auth/me", "/api/auth/me/"] {
        let answer = server.get(path).bearer(&token).send();
        assert_eq!(answer.status, 200);
        let login = ["scope", "token", "expires_at", "session", "means"];
        let factor = ["second_factor", "second_factor_at", "recovery_codes_left"];
        let who = ["id", "username", "role", "created_at"];
        assert_eq!(answer.fields(), [&who[..], &login, &factor].concat());
        let me = answer.json();
        assert_eq!(
            (&me["id"], &me["username"], &me["role"]),
            (&json!(1), &json!("sysadmin"), &json!("sysadmin"))
        );
    }
    let odd_case = server.get("/api/auth/me").header("Authorization", &format!("bEARER  {token}")).send();
    assert_eq!(odd_case.status, 200, "the scheme's name has no case (RFC 9110, section 11.1)");
}

#[test]
fn a_login_is_taken_as_json_and_as_an_oauth2_form_on_the_same_path() {
    let server = Server::start();
    let password = server.password();
    for path in ["/api/auth/login", "/api/auth/login/"] {
        let json = json!({ "username": "sysadmin", "password": password });
        assert_eq!(server.post(path).json(&json).send().status, 200);
        for form in [
            format!("username=sysadmin&password={password}"),
            format!(
                "grant_type=password&username=sysadmin&password={password}&scope=&client_id=x&client_secret=y"
            ),
        ] {
            assert_eq!(server.post(path).form(&form).send().status, 200, "{form}");
        }
    }
    let other_grant = format!("grant_type=client_credentials&username=sysadmin&password={password}");
    let answer = server.post("/api/auth/login").form(&other_grant).send();
    answer.assert_names(422, &["grant_type"]);
}

#[test]
fn a_username_has_no_case_and_no_space_around_it() {
    let server = Server::start();
    for name in ["SYSADMIN", "SysAdmin", "  sysadmin "] {
        assert_eq!(server.try_login(name, &server.password()).status, 200, "{name:?}");
    }
    assert_eq!(server.try_login("sysadmin", &server.password().to_lowercase()).status, 401, "a password has");
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_refused_alike() {
    let server = Server::start();
    let wrong = server.try_login("sysadmin", "not the password");
    let unknown = server.try_login("nobody-of-this-name", "not the password");
    wrong.assert_problem(401);
    assert!(!wrong.header("WWW-Authenticate").is_empty());
    assert_eq!(wrong.but_for_its_id(), unknown.but_for_its_id());
    assert_eq!(wrong.header("WWW-Authenticate"), unknown.header("WWW-Authenticate"));
}

#[test]
fn every_bad_field_of_a_login_is_named_at_once() {
    let server = Server::start();
    let post = |body: Value| server.post("/api/auth/login").json(&body).send();
    post(json!({})).assert_names(422, &["username", "password"]);
    post(json!({ "username": "", "password": "" })).assert_names(422, &["username", "password"]);
    post(json!({ "username": 1, "password": null, "extra": 1 }))
        .assert_names(422, &["username", "password", "extra"]);
    post(json!({ "username": "x".repeat(65), "password": "x".repeat(1025) }))
        .assert_names(422, &["username", "password"]);
    // At the bound they are understood, and wrong.
    post(json!({ "username": "x".repeat(64), "password": "x".repeat(1024) })).assert_problem(401);
    server.post("/api/auth/login").form("username=sysadmin").send().assert_names(422, &["password"]);
}

#[test]
fn an_oauth2_client_reads_why_it_got_no_token() {
    let setup = Setup::new().config("[limits]\nfailed_logins_per_minute = 1\n");
    let server = setup.start();
    let form = |form: &str| server.post("/api/auth/login").form(form).send();
    let json = |body: &str| {
        server.post("/api/auth/login").header("Content-Type", "application/json").body(body).send()
    };
    for (answer, status, error, description) in [
        (form("grant_type=password"), 422, "invalid_request", "username is required; password is required"),
        (json("{"), 400, "invalid_request", "the body is not valid JSON"),
        (json(r#"{"a\\\"ü": 1}"#), 422, "invalid_request", "a???"),
        (
            form("grant_type=implicit&username=a&password=b"),
            422,
            "unsupported_grant_type",
            "must be password",
        ),
        (
            server.post("/api/auth/login").header("Content-Type", "text/plain").body("x").send(),
            415,
            "invalid_request",
            "send JSON or a form",
        ),
        (
            form("grant_type=password&username=sysadmin&password=wrong"),
            401,
            "invalid_grant",
            "wrong username or password",
        ),
        (json(r#"{"username": "a", "password": "b"}"#), 429, "temporarily_unavailable", "try again in"),
    ] {
        answer.assert_problem(status);
        let problem = answer.json();
        assert_eq!(problem["error"], error, "{problem}");
        let told = problem["error_description"].as_str().unwrap();
        assert!(told.contains(description), "{problem}");
        assert!(told.chars().all(|c| matches!(c, ' '..='~') && c != '"' && c != '\\'), "{problem}");
    }
    let elsewhere = server.get("/api/auth/me").send();
    assert_eq!(elsewhere.fields(), ["type", "title", "status", "detail", "request_id"]);
}

#[test]
fn a_login_of_another_media_type_is_refused() {
    let server = Server::start();
    for media_type in ["text/plain", "multipart/form-data; boundary=x", "application/xml"] {
        let answer = server.post("/api/auth/login").header("Content-Type", media_type).body("{}").send();
        answer.assert_problem(415);
    }
    server.post("/api/auth/login").body("{}").send().assert_problem(415);
}

#[test]
fn the_fifth_failure_of_an_address_is_its_last_for_a_while_and_others_still_come_in() {
    // Through a trusted proxy, so that the test can come from two addresses.
    let server = Setup::new().config("trusted_proxies = [\"127.0.0.1\"]\n").start();
    let from = |address: &str, password: &str| {
        let body = json!({ "username": "sysadmin", "password": password });
        server.post("/api/auth/login").header("X-Forwarded-For", address).json(&body).send()
    };
    for attempt in 0..5 {
        assert_eq!(from("192.0.2.7", "wrong password").status, 401, "{attempt}");
    }
    let refused = from("192.0.2.7", "wrong password");
    refused.assert_problem(429);
    let wait: u64 = refused.header("Retry-After").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(from("192.0.2.7", &server.password()).status, 429, "a guesser may not tell right from wrong");
    assert_eq!(from("192.0.2.8", &server.password()).status, 200, "who did not guess is not shut out");
    // IPv6 counts by /64.
    for attempt in 0..5 {
        assert_eq!(from(&format!("2001:db8:0:1::{attempt}"), "wrong password").status, 401);
    }
    assert_eq!(from("2001:db8:0:1:ffff::1", "wrong password").status, 429);
    assert_eq!(from("2001:db8:0:2::1", "wrong password").status, 401);
}

#[test]
fn guessing_is_throttled_to_the_second_and_harms_no_other_address() {
    let server = Server::configured("[limits]\nfailed_logins_per_minute = 3\n");
    for source in 2..8 {
        for attempt in 0..5 {
            let (head, _) = server.login_from([127, 0, 0, source], "sysadmin", "wrong");
            if attempt < 3 {
                assert_eq!(status(&head), 401, "{head}");
            } else {
                assert_eq!(status(&head), 429, "{head}");
                let seconds: u64 = header(&head, "retry-after").unwrap().parse().unwrap();
                assert!((1..=20).contains(&seconds), "{head}");
            }
        }
        let (head, _) = server.login_from([127, 0, 0, 1], "sysadmin", &server.password());
        assert_eq!(status(&head), 200, "{head}");
    }
}

#[test]
fn logins_from_hundreds_of_addresses_take_the_memory_of_two_and_give_it_back() {
    let server = Setup::new().config("trusted_proxies = [\"127.0.0.1\"]\n").start();
    let (password, (idle, _)) = (server.password(), server.memory());
    let login = |number: u32| {
        let right = number.is_multiple_of(8);
        let body =
            json!({ "username": "sysadmin", "password": if right { &password } else { "wrong password" } });
        let address = format!("2001:db8:{number:x}::1");
        let answer = server.post("/api/auth/login").header("X-Forwarded-For", &address).json(&body).send();
        assert_eq!(answer.status, if right { 200 } else { 401 });
    };
    std::thread::scope(|scope| {
        for first in 0..25 {
            let login = &login;
            scope.spawn(move || (first..200).step_by(25).for_each(login));
        }
    });
    let (after, peak) = server.memory();
    assert!(peak <= idle + 60, "{peak} MiB at the peak, {idle} before");
    assert!(after <= idle + 20, "{after} MiB after it, {idle} before");
}

#[test]
fn zero_failed_logins_a_minute_means_no_limit() {
    let server = Setup::new().config("[limits]\nfailed_logins_per_minute = 0\n").start();
    for _ in 0..8 {
        assert_eq!(server.try_login("sysadmin", "wrong password").status, 401);
    }
}

#[test]
fn forwarded_addresses_count_from_listed_proxies_only() {
    let server =
        Server::configured("trusted_proxies = [\"127.0.0.9\"]\n[limits]\nfailed_logins_per_minute = 1\n");
    let attempt = |source: [u8; 4], client: &str| {
        let forwarded = format!("X-Forwarded-For: {client}\r\n");
        let body = "{\"username\":\"nobody\",\"password\":\"wrong\"}";
        status(&server.exchange_from(source, post("/api/auth/login", &forwarded, body).as_bytes()))
    };
    let proxy = [127, 0, 0, 9];
    assert_eq!(attempt(proxy, "192.0.2.1"), 401);
    assert_eq!(attempt(proxy, "192.0.2.1"), 429);
    assert_eq!(attempt(proxy, "192.0.2.2"), 401);
    // A stranger is one address, whatever it writes.
    assert_eq!(attempt([127, 0, 0, 8], "192.0.2.3"), 401);
    assert_eq!(attempt([127, 0, 0, 8], "192.0.2.4"), 429);
    // Nobody is listed by default.
    let server = Server::start();
    for attempt in 0..6 {
        let body = json!({ "username": "sysadmin", "password": "wrong password" });
        let answer = server
            .post("/api/auth/login")
            .header("X-Forwarded-For", &format!("192.0.2.{attempt}"))
            .json(&body)
            .send();
        assert_eq!(answer.status, if attempt < 5 { 401 } else { 429 });
    }
}

#[test]
fn only_a_token_that_the_server_would_make_now_is_taken() {
    let (server, key) = with_known_key();
    let right = server.login();
    let token = |key: &str, algorithm, claims| token(&right, key, algorithm, claims);
    let me = |token: &str| server.get("/api/auth/me").bearer(token).send();
    assert_eq!(me(&token(&key, Algorithm::HS256, json!({}))).status, 200, "the test makes them right");
    let now = chrono::Utc::now().timestamp();
    let ended = token(&key, Algorithm::HS256, json!({ "iat": now - 900, "exp": now }));
    let forged = token(&"f".repeat(40), Algorithm::HS256, json!({}));
    let other_algorithm = token(&key, Algorithm::HS512, json!({}));
    let unknown_admin = token(&key, Algorithm::HS256, json!({ "admin": 99 }));
    let of_an_old_password = token(&key, Algorithm::HS256, json!({ "epoch": 7 }));
    let of_another_name = token(&key, Algorithm::HS256, json!({ "sub": "somebody" }));
    let (head, signature) = right.rsplit_once('.').unwrap();
    let encode = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    };
    let payload = head.split_once('.').unwrap().1;
    let unsigned = format!("{}.{payload}.", encode(r#"{"typ":"JWT","alg":"none"}"#));
    let changed =
        format!("{}.{}.{signature}", encode(r#"{"typ":"JWT","alg":"HS256"}"#), encode("{\"admin\":1}"));
    let none_with_signature = format!("{}.{payload}.{signature}", encode(r#"{"typ":"JWT","alg":"none"}"#));
    let without_end = {
        let mut claims = claims_of(&right);
        claims.as_object_mut().unwrap().remove("exp").unwrap();
        jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(key.as_bytes())).unwrap()
    };
    let bad = [
        &ended,
        &forged,
        &other_algorithm,
        &unknown_admin,
        &of_an_old_password,
        &of_another_name,
        &unsigned,
        &changed,
        &none_with_signature,
        &without_end,
        "",
        "x",
        "a.b.c",
    ];
    let plain = server.get("/api/auth/me").send();
    plain.assert_problem(401);
    assert!(plain.header("WWW-Authenticate").starts_with("Bearer"));
    for (number, token) in bad.into_iter().enumerate() {
        let answer = me(token);
        answer.assert_problem(401);
        assert!(answer.header("WWW-Authenticate").starts_with("Bearer"));
        assert_eq!(answer.but_for_its_id(), plain.but_for_its_id(), "token {number}");
    }
    let basic = server.get("/api/auth/me").header("Authorization", "Basic c3lzYWRtaW46eA==").send();
    basic.assert_problem(401);
}

#[test]
fn a_token_of_years_or_from_the_future_is_refused_though_its_signature_is_right() {
    let (server, key) = with_known_key();
    let right = server.login();
    let now = chrono::Utc::now().timestamp();
    let me = |claims: Value| {
        let token = token(&right, &key, Algorithm::HS256, claims);
        server.get("/api/auth/me").bearer(&token).send().status
    };
    assert_eq!(me(json!({ "iat": now, "exp": now + 900 })), 200);
    assert_eq!(me(json!({ "exp": now + 30 * 365 * 86_400 })), 401);
    assert_eq!(me(json!({ "iat": now + 50, "exp": now + 50 + 900 })), 401);
    assert_eq!(me(json!({ "iat": now + 3600, "exp": now + 3600 + 900 })), 401);
    assert_eq!(me(json!({ "nbf": now - 900 })), 401);
    let header = |header: Header| {
        let key = EncodingKey::from_secret(key.as_bytes());
        let token = jsonwebtoken::encode(&header, &claims_of(&right), &key).unwrap();
        server.get("/api/auth/me").bearer(&token).send().status
    };
    assert_eq!(header(Header::default()), 200);
    assert_eq!(header(Header { crit: Some(vec!["b64".to_owned()]), ..Header::default() }), 401);
    assert_eq!(header(Header { typ: Some("at+jwt".to_owned()), ..Header::default() }), 401);
}

#[test]
fn an_epoch_is_random_and_drawn_anew_with_each_password() {
    let server = Server::start();
    let first = server.login();
    let epoch = |token: &str| claims_of(token)["epoch"].as_u64().unwrap();
    let change = json!({ "password": "another password" });
    assert_eq!(server.put("/api/admins/sysadmin/password").bearer(&first).json(&change).send().status, 204);
    let answer = server.try_login("sysadmin", "another password");
    let second = answer.json()["access_token"].as_str().unwrap().to_owned();
    let other = json!({ "username": "second", "password": "another password" });
    assert_eq!(server.post("/api/admins").bearer(&second).json(&other).send().status, 201);
    let third =
        server.try_login("second", "another password").json()["access_token"].as_str().unwrap().to_owned();
    let epochs = [epoch(&first), epoch(&second), epoch(&third)];
    assert!(epochs.iter().all(|epoch| *epoch > 1 << 32), "no counting: {epochs:?}");
    assert_ne!(epochs[0], epochs[1]);
    assert_ne!(epochs[1], epochs[2]);
}

#[test]
fn epochs_that_were_counted_are_drawn_anew_at_the_first_start() {
    // The certificate in it is none.
    let setup = Setup::new().config("[tls]\nmode = \"off\"\n");
    std::fs::create_dir(setup.data_dir()).unwrap();
    std::fs::copy("tests/data/v1.redb", setup.data_dir().join("sitewarden.redb")).unwrap();
    let server = setup.start();
    server
        .log_line(|line| line.contains("ended the logins of earlier versions") && line.contains("Sysadmin"));
    let log = server.restart().stop();
    assert!(!log.contains("ended the logins"), "once: {log}");
}

#[test]
fn every_route_of_an_admin_asks_for_a_token_before_anything_else() {
    let server = Server::start();
    let site = format!("/api/sites/{}", "00000000-0000-4000-8000-000000000000");
    for (method, path) in [
        ("GET", "/api/auth/me".to_owned()),
        ("GET", "/api/sites".to_owned()),
        ("GET", "/api/sites?limit=0".to_owned()),
        ("POST", "/api/sites".to_owned()),
        ("GET", site.clone()),
        ("PUT", site.clone()),
        ("DELETE", site.clone()),
        ("POST", format!("{site}/lock")),
        ("POST", format!("{site}/unlock")),
        ("GET", "/api/sites/no-uuid".to_owned()),
        ("POST", format!("{site}/rotate-key")),
        ("POST", "/api/sites/batch".to_owned()),
        ("GET", "/api/admins".to_owned()),
        ("POST", "/api/admins".to_owned()),
        ("PUT", "/api/admins/sysadmin/password".to_owned()),
        ("DELETE", "/api/admins/sysadmin".to_owned()),
        ("GET", "/api/admins/sysadmin".to_owned()),
        ("POST", "/api/admins/sysadmin/otp".to_owned()),
        ("POST", "/api/admins/sysadmin/otp/confirm".to_owned()),
        ("DELETE", "/api/admins/sysadmin/otp".to_owned()),
        ("DELETE", "/api/admins/sysadmin/sessions".to_owned()),
        ("DELETE", "/api/admins/sysadmin/sessions/0".to_owned()),
        ("POST", "/api/auth/step-up".to_owned()),
        ("POST", "/api/auth/logout".to_owned()),
        ("GET", "/api/audit".to_owned()),
        ("GET", "/api/backup".to_owned()),
        ("GET", "/api/tls".to_owned()),
        ("POST", "/api/tls/renew".to_owned()),
    ] {
        let answer = server.call(method, &path).send();
        assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text());
        answer.assert_problem(401);
    }
}

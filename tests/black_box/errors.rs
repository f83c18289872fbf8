//! What every answer has in common, and the one form that every error has.

use serde_json::{Value, json};

use crate::server::{Server, Setup, new_site, sitewarden};

#[test]
fn an_answer_and_its_line_in_the_log_carry_the_same_request_id() {
    let server = Server::start();
    let token = server.login();
    let site = server.register(&token);
    let path = format!("/api/sites/{}", site["site_id"].as_str().unwrap());
    let mut ids = Vec::new();
    for (call, method, route, status) in [
        (server.get("/health"), "GET", "/health", 200),
        (server.get(&path).bearer(&token), "GET", "/api/sites/{site_id}", 200),
        (server.put(&path).bearer(&token), "PUT", "/api/sites/{site_id}", 415),
        (server.get("/nothing/here"), "GET", "-", 404),
        (server.delete("/docs"), "DELETE", "/docs", 405),
        (server.heartbeat(&site), "POST", "/api/heartbeat", 200),
    ] {
        let answer = call.send();
        assert_eq!(answer.status, status);
        let id = answer.header("X-Request-Id").to_owned();
        let line: Value = serde_json::from_str(&server.log_line(|line| line.contains(&id))).unwrap();
        assert_eq!(line["request_id"], id);
        assert_eq!((&line["method"], &line["route"]), (&json!(method), &json!(route)));
        assert_eq!((&line["status"], &line["peer"]), (&json!(status), &json!("127.0.0.1")));
        assert!(line["milliseconds"].as_f64().is_some_and(|milliseconds| milliseconds >= 0.0), "{line}");
        assert_eq!(line["level"], "INFO");
        assert!(!ids.contains(&id));
        ids.push(id);
    }
    assert_eq!(server.log().lines().filter(|line| line.contains(&ids[0])).count(), 1, "one line a request");
}

#[test]
fn the_log_names_the_admin_behind_the_token_and_the_site_that_a_heartbeat_presented() {
    let server = Server::start();
    let token = server.login();
    let site = server.register(&token);
    let known = site["site_id"].as_str().unwrap();
    let unknown = "00000000-0000-4000-8000-000000000000";
    let login = json!({ "username": "SYSADMIN", "password": server.password() });
    let wrong = json!({ "username": "sysadmin", "password": "my password in the wrong field" });
    let heartbeat = || server.heartbeat(&site);
    let with_id = |id: &str| heartbeat().without("X-Site-ID").header("X-Site-ID", id);
    for (call, status, admin, site_id) in [
        (server.get("/api/sites").bearer(&token), 200, Some("sysadmin"), None),
        (server.get("/api/sites/no-uuid").bearer(&token), 400, Some("sysadmin"), None),
        (server.get("/health").bearer(&token), 200, Some("sysadmin"), None),
        (server.get("/api/sites").bearer("x"), 401, None, None),
        (server.post("/api/auth/login").json(&login), 200, Some("sysadmin"), None),
        (server.post("/api/auth/login").json(&wrong), 401, None, None),
        (heartbeat(), 200, None, Some(known)),
        (heartbeat().without("X-Site-Key").header("X-Site-Key", "swk_wrong"), 401, None, Some(known)),
        (heartbeat().without("X-Site-Key"), 401, None, Some(known)),
        (with_id(unknown), 401, None, Some(unknown)),
        (with_id(&"x".repeat(300)), 401, None, Some(&*("x".repeat(64) + "..."))),
        (with_id("\"\tü"), 401, None, Some(r#"\"\t\xc3\xbc"#)),
        (heartbeat().without("X-Site-ID"), 401, None, None),
        (heartbeat().body("no JSON"), 400, None, Some(known)),
        (server.get("/api/heartbeat").header("X-Site-ID", unknown), 405, None, Some(unknown)),
        (server.get("/health").header("X-Site-ID", unknown), 200, None, None),
    ] {
        let answer = call.send();
        assert_eq!(answer.status, status, "{}", answer.text());
        let id = answer.header("X-Request-Id").to_owned();
        let line: Value = serde_json::from_str(&server.log_line(|line| line.contains(&id))).unwrap();
        assert_eq!((line["admin"].as_str(), line["site_id"].as_str()), (admin, site_id), "{line}");
        assert!(line.get("user").is_none(), "{line}");
    }
    let mut list = sitewarden(&["site", "list"]);
    assert!(list.current_dir(server.directory()).status().unwrap().success());
    server.log_line(|line| line.contains("\"user\":\"") && !line.contains("\"admin\":"));
}

#[test]
fn the_log_is_text_when_configured_so() {
    let server = Setup::new().config("[log]\nformat = \"text\"\n").start();
    let id = server.get("/health").send().header("X-Request-Id").to_owned();
    let line = server.log_line(|line| line.contains(&id));
    assert!(serde_json::from_str::<Value>(&line).is_err() && line.contains("route=\"/health\""), "{line}");
}

#[test]
fn a_log_level_of_warn_leaves_requests_out() {
    let server = Setup::new().config("[log]\nlevel = \"warn\"\n").start();
    server.get("/health").send();
    assert_eq!(server.stop(), "");
}

#[test]
fn nothing_under_api_is_cached_and_every_answer_forbids_sniffing_and_framing() {
    let server = Server::start();
    let token = server.login();
    for call in [
        server.get("/api/sites").bearer(&token),
        server.get("/api/sites"),
        server.get("/api/auth/me").bearer(&token),
        server.get("/api/nothing"),
        server.post("/api/sites").bearer(&token).json(&new_site()),
    ] {
        assert_eq!(call.send().header("Cache-Control"), "no-store");
    }
    for path in ["/docs", "/health", "/nothing", "/api/sites"] {
        let answer = server.get(path).send();
        assert_eq!(answer.header("X-Content-Type-Options"), "nosniff", "{path}");
        assert_eq!(answer.header("X-Frame-Options"), "DENY", "{path}");
        assert!(answer.header("Content-Security-Policy").contains("default-src 'none'"), "{path}");
        assert!(!answer.has("Strict-Transport-Security"), "its certificate is self-signed");
        assert!(!answer.has("Server"), "{path}");
    }
}

#[test]
fn an_unknown_path_is_a_404_problem() {
    let server = Server::start();
    let token = server.login();
    for path in [
        "/nothing",
        "/api",
        "/api/nothing",
        "/docs/nothing.js",
        "/docs/../health/x",
        "/api/sites//lock/x",
        "/%ff",
    ] {
        let answer = server.get(path).bearer(&token).send();
        assert_eq!(answer.status, 404, "{path}");
        answer.assert_problem(404);
    }
}

#[test]
fn a_path_that_is_no_text_is_a_400_problem() {
    Server::start().get("/api/%ff").send().assert_problem(400);
}

#[test]
fn a_method_that_a_path_does_not_take_is_a_405_problem_with_those_it_takes() {
    let server = Server::start();
    let site = "/api/sites/00000000-0000-4000-8000-000000000000";
    for (method, path, allow) in [
        ("DELETE", "/health", "GET, HEAD, OPTIONS"),
        ("POST", "/", "GET, HEAD, OPTIONS"),
        ("PUT", "/docs", "GET, HEAD, OPTIONS"),
        ("POST", "/docs/start.js", "GET, HEAD, OPTIONS"),
        ("POST", "/openapi.json", "GET, HEAD, OPTIONS"),
        ("POST", "/openapi.yaml", "GET, HEAD, OPTIONS"),
        ("GET", "/api/auth/login", "OPTIONS, POST"),
        ("HEAD", "/api/auth/login", "OPTIONS, POST"),
        ("POST", "/api/auth/me", "GET, HEAD, OPTIONS"),
        ("DELETE", "/api/sites", "GET, HEAD, OPTIONS, POST"),
        ("PATCH", site, "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("GET", &format!("{site}/lock"), "OPTIONS, POST"),
        ("GET", &format!("{site}/unlock/"), "OPTIONS, POST"),
        ("GET", "/api/heartbeat", "OPTIONS, POST"),
        ("PURGE", "/api/heartbeat/", "OPTIONS, POST"),
    ] {
        let answer = server.call(method, path).send();
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.header("Allow"), allow, "{method} {path}");
        if method != "HEAD" {
            answer.assert_problem(405);
        }
    }
}

#[test]
fn options_tells_what_each_known_path_takes() {
    let server = Server::start();
    let specification = server.get("/openapi.json").send().json();
    for (path, operations) in specification["paths"].as_object().unwrap() {
        let path =
            path.replace("{site_id}", "00000000-0000-4000-8000-000000000000").replace("{username}", "anna");
        let answer = server.call("OPTIONS", &path).send();
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{path}");
        let mut taken: Vec<_> =
            operations.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        if taken.contains(&"GET".to_owned()) {
            taken.push("HEAD".to_owned());
        }
        taken.push("OPTIONS".to_owned());
        taken.sort();
        assert_eq!(answer.header("Allow"), taken.join(", "), "{path}");
    }
    for path in ["/", "/docs", "/docs/", "/docs/start.js", "/openapi.yaml"] {
        let answer = server.call("OPTIONS", path).send();
        assert_eq!((answer.status, answer.header("Allow")), (204, "GET, HEAD, OPTIONS"), "{path}");
    }
    server.call("OPTIONS", "/api/nothing").send().assert_problem(404);
}

#[test]
fn head_is_answered_as_get_without_the_body() {
    let server = Server::start();
    let token = server.login();
    let site = server.register(&token);
    let site = format!("/api/sites/{}", site["site_id"].as_str().unwrap());
    for path in ["/health", "/openapi.json", "/openapi.yaml", "/docs", "/api/sites", "/api/auth/me", &site] {
        let (get, head) = (server.get(path), server.call("HEAD", path));
        let (get, head) = (get.bearer(&token).send(), head.bearer(&token).send());
        assert_eq!((get.status, head.status), (200, 200), "{path}");
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
        for header in ["Content-Type", "Content-Length"] {
            assert_eq!(head.header(header), get.header(header), "{path}");
        }
    }
}

#[test]
fn a_body_of_another_media_type_is_a_415_problem() {
    let server = Server::start();
    let token = server.login();
    let body = new_site().to_string();
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/xml", "json", ""] {
        let call = server.post("/api/sites").bearer(&token).header("Content-Type", media_type);
        call.body(&*body).send().assert_problem(415);
    }
    server.post("/api/sites").bearer(&token).body(&*body).send().assert_problem(415);
    for media_type in ["application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"] {
        let call = server.post("/api/sites").bearer(&token).header("Content-Type", media_type);
        assert_eq!(call.body(&*body).send().status, 201, "{media_type}");
    }
}

#[test]
fn a_body_that_is_no_json_is_a_400_problem_and_one_that_is_no_object_a_422() {
    let server = Server::start();
    let token = server.login();
    let send = |body: &[u8]| {
        server.post("/api/sites").bearer(&token).header("Content-Type", "application/json").body(body).send()
    };
    let deep = "[".repeat(10_000);
    for body in [
        &b""[..],
        b"{",
        b"{\"name\": }",
        b"\xff\xfe",
        b"{\"name\": \"\xff\"}",
        b"{} {}",
        b"\0",
        deep.as_bytes(),
    ] {
        let answer = send(body);
        answer.assert_problem(400);
        let detail = answer.json()["detail"].as_str().unwrap().to_lowercase();
        for leak in ["serde", "expected", "poem", ".rs", "utf"] {
            assert!(!detail.contains(leak), "{detail}");
        }
    }
    for body in ["[]", "null", "1", "\"name\"", "true"] {
        send(body.as_bytes()).assert_problem(422);
    }
}

#[test]
fn a_body_over_the_limit_is_a_413_problem_and_one_at_the_limit_is_read() {
    let server = Setup::new().config("[limits]\nbody_bytes = 1000\n").start();
    let token = server.login();
    let body = |length: usize| {
        let site = new_site().to_string();
        site.clone() + &" ".repeat(length - site.len())
    };
    let send = |length| {
        let call = server.post("/api/sites").bearer(&token).header("Content-Type", "application/json");
        // The server does not wait for a body that it will not read.
        call.header("Expect", "100-continue").body(body(length)).send()
    };
    assert_eq!(send(1000).status, 201);
    send(1001).assert_problem(413);
    let heartbeat = server.post("/api/heartbeat").header("Content-Type", "application/json");
    heartbeat.header("Expect", "100-continue").body(body(1001)).send().assert_problem(413);
}

#[test]
fn a_body_may_have_65536_bytes_by_default() {
    let server = Server::start();
    let token = server.login();
    let send = |length: usize| {
        let site = new_site().to_string();
        let body = site.clone() + &" ".repeat(length - site.len());
        let call = server.post("/api/sites").bearer(&token).header("Content-Type", "application/json");
        call.header("Expect", "100-continue").body(body).send()
    };
    assert_eq!(send(65_536).status, 201);
    send(65_537).assert_problem(413);
}

#[test]
fn a_client_that_sends_all_of_a_large_body_before_it_reads_gets_its_413_too() {
    let server = Server::start();
    let call = server.post("/api/heartbeat").header("Content-Type", "application/json");
    call.body("x".repeat(900_000)).send().assert_problem(413);
}

#[test]
fn a_site_id_in_the_path_that_is_no_uuid_is_a_400_problem_that_names_it() {
    let server = Server::start();
    let token = server.login();
    for path in [
        "/api/sites/1",
        "/api/sites/no-uuid/",
        "/api/sites/%00",
        "/api/sites/00000000-0000-4000-8000-00000000000g",
    ] {
        server.get(path).bearer(&token).send().assert_names(400, &["site_id"]);
        server.delete(path).bearer(&token).send().assert_names(400, &["site_id"]);
    }
    let change = json!({ "name": "New" });
    server.put("/api/sites/1").bearer(&token).json(&change).send().assert_names(400, &["site_id"]);
    server.post("/api/sites/1/unlock").bearer(&token).send().assert_names(400, &["site_id"]);
    let lock = json!({ "reason": "unpaid" });
    server.post("/api/sites/1/lock").bearer(&token).json(&lock).send().assert_names(400, &["site_id"]);
}

#[test]
fn a_site_id_that_names_no_site_is_a_404_problem_on_every_route() {
    let server = Server::start();
    let token = server.login();
    let path = "/api/sites/00000000-0000-4000-8000-000000000000";
    let lock = json!({ "reason": "unpaid" });
    for call in [
        server.get(path),
        server.put(path).json(&json!({ "name": "New" })),
        server.delete(path),
        server.post(&format!("{path}/lock")).json(&lock),
        server.post(&format!("{path}/unlock")),
    ] {
        call.bearer(&token).send().assert_problem(404);
    }
}

#[test]
fn a_registration_whose_idempotency_key_cannot_be_read_is_not_made() {
    let server = Server::start();
    let token = server.login();
    let call = server.post("/api/sites").bearer(&token).header("Idempotency-Key", "order of the café 0001");
    call.json(&new_site()).send().assert_names(400, &["Idempotency-Key"]);
    assert_eq!(server.get("/api/sites").bearer(&token).send().json(), json!([]));
}

#[test]
fn every_bad_parameter_is_named_at_once() {
    let server = Server::start();
    let token = server.login();
    let path = format!("/api/sites?status=gone&q={}&limit=0&after=-1", "x".repeat(201));
    server.get(&path).bearer(&token).send().assert_names(422, &["status", "q", "limit", "after"]);
    for limit in ["0", "1001", "-1", "x", "1.5", ""] {
        server.get(&format!("/api/sites?limit={limit}")).bearer(&token).send().assert_names(422, &["limit"]);
    }
    for after in ["x", "-1", "1.5", ""] {
        server.get(&format!("/api/sites?after={after}")).bearer(&token).send().assert_names(422, &["after"]);
    }
    for status in ["ONLINE", "", "never%20seen"] {
        server
            .get(&format!("/api/sites?status={status}"))
            .bearer(&token)
            .send()
            .assert_names(422, &["status"]);
    }
    for good in [
        "limit=1",
        "limit=1000",
        "after=0",
        "after=99999999999999999999",
        &format!("q={}", "x".repeat(200)),
        "q=",
        "status=never_seen",
    ] {
        assert_eq!(server.get(&format!("/api/sites?{good}")).bearer(&token).send().status, 200, "{good}");
    }
}

//! What a request may hold, how often, and how much of it an answer gives
//! back.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::server::{Server, new_site};

/// As many bytes as a body may have.
const BODY_BYTES: usize = 65_536;
/// As many as an answer to a bad one may have.
const ANSWER_BYTES: usize = 4096;

/// An object of as many members as there is room for.
fn crowd(room: usize, name: impl Fn(usize) -> String) -> String {
    let mut text = "{".to_owned();
    for number in 0.. {
        let member = format!("{}{}:0", if number == 0 { "" } else { "," }, json!(name(number)));
        if text.len() + member.len() + 1 > room {
            break;
        }
        text += &member;
    }
    text + "}"
}

fn send(server: &Server, path: &str, token: &str, body: &str) -> Answer {
    let call = server.post(path).bearer(token).header("Content-Type", "application/json");
    call.body(body).send()
}

#[test]
fn a_body_full_of_unknown_fields_gets_a_small_answer() {
    let server = Server::start();
    let token = server.login();
    let control = |number: usize| format!("{}{number}", "\u{1}".repeat(100));
    for body in [
        crowd(BODY_BYTES, |number| format!("x{number}")),
        // As many as are read, with names as long as there is room for.
        crowd(BODY_BYTES, |number| format!("{number:0>1000}")),
        crowd(BODY_BYTES, |number| format!("{number}{}", "é".repeat(500))),
        crowd(BODY_BYTES, control),
        format!("{{{}:0}}", json!("x".repeat(BODY_BYTES - 10))),
    ] {
        for path in ["/api/auth/login", "/api/sites", "/api/admins"] {
            let answer = send(&server, path, &token, &body);
            answer.assert_problem(422);
            assert!(answer.body.len() < ANSWER_BYTES, "{path}: {} bytes", answer.body.len());
        }
    }
    let form: Vec<_> = (0..9000).map(|number| format!("x{number}=")).collect();
    let answer = server.post("/api/auth/login").form(&form.join("&")).send();
    answer.assert_problem(422);
    assert!(answer.body.len() < ANSWER_BYTES);
    // 64 are read, of which 20 are named and then the number of the others.
    let answer = send(&server, "/api/admins", &token, &crowd(800, |number| format!("{number:0>8}")));
    let errors = answer.json()["errors"].as_array().unwrap().clone();
    assert_eq!(errors.len(), 21);
    let more = errors[20]["message"].as_str().unwrap();
    assert!(errors[20]["field"] == "…" && more.starts_with("and ") && more.ends_with(" more"), "{more}");
}

#[test]
fn a_body_of_more_than_64_members_or_8_levels_says_so() {
    let server = Server::start();
    let token = server.login();
    let with = |members: usize| {
        let unknown = (0..members).map(|number| (format!("x{number}"), json!(0)));
        Value::Object(unknown.collect()).to_string()
    };
    assert_eq!(send(&server, "/api/sites", &token, &with(64)).json()["errors"].as_array().unwrap().len(), 21);
    let answer = send(&server, "/api/sites", &token, &with(65));
    answer.assert_problem(422);
    assert!(answer.json()["detail"].as_str().unwrap().contains("more than 64 members"), "{}", answer.text());
    let nested = |depth: usize| format!("{}0{}", "{\"x\":".repeat(depth), "}".repeat(depth));
    send(&server, "/api/sites", &token, &nested(8)).assert_problem(422);
    let answer = send(&server, "/api/sites", &token, &nested(9));
    answer.assert_problem(400);
    assert!(answer.json()["detail"].as_str().unwrap().contains("deeper than 8 levels"), "{}", answer.text());
}

#[test]
fn a_batch_full_of_faults_names_20_for_each_item_and_1000_in_all() {
    let server = Server::start();
    let token = server.login();
    // Each item lacks its `op` and has 12 members that are not known.
    let unknown: Vec<_> = ('a'..='l').map(|letter| format!("\"{letter}\":0")).collect();
    let item = format!("{{{}}}", unknown.join(","));
    let batch = |all_or_nothing: bool| {
        let items = vec![&*item; 800].join(",");
        format!("{{\"all_or_nothing\":{all_or_nothing},\"items\":[{items}]}}")
    };
    assert!(batch(true).len() < BODY_BYTES);
    let answer = send(&server, "/api/sites/batch", &token, &batch(true));
    answer.assert_problem(422);
    assert!(answer.body.len() < ANSWER_BYTES, "{} bytes", answer.body.len());
    assert_eq!(answer.json()["errors"][0]["field"], "items[0].op");
    assert_eq!(answer.json()["errors"][20], json!({ "field": "…", "message": "and 10380 more" }));
    let answer = send(&server, "/api/sites/batch", &token, &batch(false));
    assert_eq!((answer.status, &answer.json()["refused"]), (200, &json!(800)));
    let results = answer.json()["results"].as_array().unwrap().clone();
    assert_eq!(results[0]["errors"].as_array().unwrap().len(), 13);
    let last =
        json!([{ "field": "op", "message": "is required" }, { "field": "…", "message": "and 12 more" }]);
    assert_eq!(results[799]["errors"], last);
    let named =
        |result: &Value| result["errors"].as_array().unwrap().iter().filter(|e| e["field"] != "…").count();
    let named: usize = results.iter().map(named).sum();
    assert!((1000..2000).contains(&named), "{named}");
}

#[test]
fn a_member_that_stands_there_twice_is_named_with_whatever_else_is_wrong() {
    let server = Server::start();
    let token = server.login();
    let site = new_site().to_string();
    let twice = format!("{{\"name\": \"Another\", {}", &site[1..]);
    send(&server, "/api/sites", &token, &twice).assert_names(422, &["name"]);
    // However it is written.
    let escaped = format!("{{\"n\\u0061me\": \"Another\", \"x\": 1, {}", &site[1..]);
    send(&server, "/api/sites", &token, &escaped).assert_names(422, &["name", "x"]);
    assert_eq!(server.get("/api/sites").bearer(&token).send().json(), json!([]));
    let login = format!(
        "{{\"username\": \"sysadmin\", \"password\": \"x\", \"password\": {}}}",
        json!(server.password())
    );
    send(&server, "/api/auth/login", &token, &login).assert_names(422, &["password"]);
    let batch = format!(
        "{{\"items\": [{{\"op\": \"register\", {}, {{\"op\": \"unlock\", \"op\": \"delete\"}}]}}",
        &site[1..]
    );
    send(&server, "/api/sites/batch", &token, &batch).assert_names(422, &["items[1].op"]);
    assert_eq!(server.get("/api/sites").bearer(&token).send().json(), json!([]));
}

#[test]
fn a_form_field_that_stands_there_twice_is_named() {
    let server = Server::start();
    let form = format!("username=sysadmin&password=x&password={}", server.password());
    server.post("/api/auth/login").form(&form).send().assert_names(422, &["password"]);
    let form = format!("scope=a&username=sysadmin&scope=b&password={}", server.password());
    server.post("/api/auth/login").form(&form).send().assert_names(422, &["scope"]);
}

#[test]
fn a_heartbeat_may_have_any_unknown_members_but_each_known_one_once() {
    let server = Server::start();
    let site = server.register(&server.login());
    let send = |body: &str| {
        let call = server.heartbeat(&site).without("Content-Type").header("Content-Type", "application/json");
        call.body(body).send()
    };
    let many = crowd(20_000, |number| format!("x{number}"));
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let known = "\"version\": \"2.4.1\", \"uptime_seconds\": 1";
    let body = format!("{{{known}, \"x\": 1, \"x\": 2, \"deep\": {deep}, {}", &many[1..]);
    assert_eq!(send(&body).status, 200);
    send(&format!("{{{known}, \"version\": \"2.4.2\"}}")).assert_names(422, &["version"]);
}

#[test]
fn every_route_of_sysadmins_names_an_unknown_parameter_and_one_given_twice() {
    let server = Server::start();
    let token = server.login();
    let site = server.register(&token);
    let specification = server.get("/openapi.json").send().json();
    let mut asked = 0;
    for (path, operations) in specification["paths"].as_object().unwrap() {
        let path =
            path.replace("{site_id}", site["site_id"].as_str().unwrap()).replace("{username}", "sysadmin");
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase();
            let is_for_sysadmins =
                operation["security"].as_array().is_some_and(|schemes| !schemes.is_empty());
            if !is_for_sysadmins {
                continue;
            }
            asked += 1;
            let call = |query: &str| server.call(&method, &format!("{path}?{query}"));
            let answer = match method.as_str() {
                // The body is looked at later.
                "POST" | "PUT" => call("stauts=silent").bearer(&token).json(&json!({})).send(),
                _ => call("stauts=silent").bearer(&token).send(),
            };
            answer.assert_names(422, &["stauts"]);
            call("stauts=silent").send().assert_problem(401);
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            for parameter in parameters.filter(|parameter| parameter["in"] == "query") {
                let name = parameter["name"].as_str().unwrap();
                let answer = call(&format!("{name}=1&x=0&{name}=1")).bearer(&token).send();
                answer.assert_problem(422);
                let named = answer.json()["errors"].to_string();
                assert!(
                    named.contains(&format!(
                        "{{\"field\":\"{name}\",\"message\":\"must not be given more than once\"}}"
                    )),
                    "{named}"
                );
                assert!(
                    named.contains("{\"field\":\"x\",\"message\":\"is not a known parameter\"}"),
                    "{named}"
                );
            }
        }
    }
    assert!(asked > 15, "{asked}");
    assert_eq!(server.get("/api/sites").bearer(&token).send().json().as_array().unwrap().len(), 1);
    let path = "/api/sites?status=gone&limit=0&limit=1&x=";
    server.get(path).bearer(&token).send().assert_names(422, &["status", "limit", "limit", "x"]);
    for path in ["/health?probe=1", "/docs?x=1&x=2", "/openapi.json?v=1"] {
        assert_eq!(
            server.get(path).send().status,
            200,
            "{path}: anybody may add what a cache or a probe needs"
        );
    }
}

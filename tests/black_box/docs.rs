//! The specification and Swagger UI, as they are served.

use std::io::Read as _;

use serde_json::{Value, json};

use crate::server::{Server, run_to_end, sitewarden};

/// What `sitewarden openapi` prints.
fn printed() -> String {
    let output = run_to_end(sitewarden(&["openapi"]));
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_committed_specification_is_the_one_that_the_code_gives() {
    let committed = include_str!("../../openapi/openapi.json");
    assert!(committed == printed(), "generate it again: cargo run -- openapi > openapi/openapi.json");
}

#[test]
fn the_served_specification_is_the_printed_one_in_json_and_in_yaml() {
    let server = Server::start();
    for path in ["/openapi.json", "/openapi.json/"] {
        let json = server.get(path).send();
        assert_eq!((json.status, json.header("Content-Type")), (200, "application/json"));
        assert!(json.text() == printed());
    }
    let yaml = server.get("/openapi.yaml").send();
    assert_eq!((yaml.status, yaml.header("Content-Type")), (200, "application/yaml"));
    let parsed: Value = serde_yaml::from_slice(&yaml.body).unwrap();
    assert!(parsed == serde_json::from_str::<Value>(&printed()).unwrap());
}

#[test]
fn the_specification_offers_the_password_flow_and_a_bearer_token() {
    let spec: Value = serde_json::from_str(&printed()).unwrap();
    let schemes = &spec["components"]["securitySchemes"];
    assert_eq!(schemes["password"]["type"], "oauth2");
    assert_eq!(schemes["password"]["flows"]["password"]["tokenUrl"], "/api/auth/login");
    assert_eq!(
        (&schemes["bearer"]["type"], &schemes["bearer"]["scheme"]),
        (&"http".into(), &"bearer".into())
    );
    for (path, operations) in spec["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let open = ["/health", "/api/auth/login", "/api/heartbeat"].contains(&path.as_str());
            let security = operation["security"].as_array().unwrap();
            assert_eq!(security.is_empty(), open, "{method} {path}");
        }
    }
}

#[test]
fn every_error_in_the_specification_is_a_problem() {
    let spec: Value = serde_json::from_str(&printed()).unwrap();
    for (path, operations) in spec["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("503"), "{method} {path}");
            for (status, response) in responses.iter().filter(|(status, _)| status.as_str() >= "400") {
                let content = response["content"].as_object().unwrap();
                assert_eq!(
                    content.keys().collect::<Vec<_>>(),
                    ["application/problem+json"],
                    "{method} {path} {status}"
                );
                let schema = &content["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{method} {path} {status}");
            }
        }
    }
}

#[test]
fn the_examples_in_the_specification_work_when_tried_with_their_placeholders_filled_in() {
    let server = Server::start();
    let spec: Value = serde_json::from_str(&printed()).unwrap();
    let example = |schema: &str| spec["components"]["schemas"][schema]["example"].clone();
    let filled_in = |schema: &str, field: &str| {
        let mut example = example(schema);
        let placeholder = example[field].as_str().unwrap();
        assert!(placeholder.starts_with('<') && placeholder.ends_with('>'), "{schema}: {placeholder}");
        example[field] = json!("words of my own");
        example
    };
    let token = server.login();
    let registered = server.post("/api/sites").bearer(&token).json(&example("NewSite")).send();
    assert_eq!(registered.status, 201, "{}", registered.text());
    let site = registered.json();
    let path = format!("/api/sites/{}", site["site_id"].as_str().unwrap());
    assert_eq!(server.put(&path).bearer(&token).json(&example("SiteChange")).send().status, 200);
    assert_eq!(
        server.post(&format!("{path}/lock")).bearer(&token).json(&filled_in("Lock", "reason")).send().status,
        200
    );
    assert_eq!(server.heartbeat(&site).json(&example("Heartbeat")).send().status, 200);
    let rotate = server.post(&format!("{path}/rotate-key")).bearer(&token).json(&example("Rotation")).send();
    assert_eq!(rotate.status, 200, "{}", rotate.text());
    let batch = server.post("/api/sites/batch").bearer(&token).json(&example("Batch")).send();
    assert_eq!((batch.status, &batch.json()["refused"]), (200, &json!(0)), "{}", batch.text());
    let bulk = server.post("/api/sites/bulk").bearer(&token).json(&example("Bulk")).send();
    assert_eq!((bulk.status, &bulk.json()["changed"]), (200, &json!(0)), "{}", bulk.text());
    let created = server.post("/api/admins").bearer(&token).json(&filled_in("NewAdmin", "password")).send();
    assert_eq!(created.status, 201, "{}", created.text());
    let admin =
        spec["paths"]["/api/admins/{username}"]["delete"]["parameters"][0]["example"].as_str().unwrap();
    let password = server.put(&format!("/api/admins/{admin}/password")).bearer(&token);
    assert_eq!(password.json(&filled_in("NewPassword", "password")).send().status, 204);
    assert_eq!(server.delete(&format!("/api/admins/{admin}")).bearer(&token).send().status, 204);
    let login = server.post("/api/auth/login").json(&example("Login")).send();
    assert_eq!(login.status, 401, "understood; the password is another one");
}

#[test]
fn the_front_page_leads_to_the_documentation() {
    let server = Server::start();
    let front = server.get("/").send();
    assert_eq!((front.status, front.header("Location")), (302, "/docs"));
}

#[test]
fn swagger_ui_loads_nothing_but_files_that_this_server_has() {
    let server = Server::start();
    for path in ["/docs", "/docs/"] {
        let page = server.get(path).send();
        assert_eq!((page.status, page.header("Content-Type")), (200, "text/html; charset=utf-8"));
        let policy = page.header("Content-Security-Policy");
        assert!(!policy.contains("http") && !policy.contains("unsafe-eval"), "{policy}");
        assert!(policy.contains("script-src 'self';"), "{policy}");
        let mut loaded = 0;
        for attribute in ["src=\"", "href=\""] {
            for rest in page.text().split(attribute).skip(1) {
                let target = rest.split('"').next().unwrap();
                if target.starts_with("data:") {
                    continue;
                }
                assert!(target.starts_with("/docs/"), "absolute, and on this host: {target}");
                let asset = server.get(target).header("Accept-Encoding", "gzip").send();
                assert_eq!(asset.status, 200, "{target}");
                let expected = if target.ends_with(".css") { "text/css" } else { "text/javascript" };
                assert!(asset.header("Content-Type").starts_with(expected), "{target}");
                if target.ends_with("start.js") {
                    assert!(asset.text().contains("url: '/openapi.json'"));
                } else {
                    assert_eq!(asset.header("Content-Encoding"), "gzip");
                    assert!(asset.body.starts_with(&[0x1f, 0x8b, 8]));
                    // How long it is unpacked (RFC 1952, section 2.3.1).
                    let length = u32::from_le_bytes(asset.body.last_chunk().copied().unwrap());
                    let expected = if target.ends_with(".css") { 100_000 } else { 1_000_000 };
                    assert!(length > expected, "{target}: {length}");
                }
                loaded += 1;
            }
        }
        assert_eq!(loaded, 3);
        assert!(!page.text().contains("<script>"), "no inline script, which the policy would stop");
    }
}

#[test]
fn health_tells_the_version() {
    let server = Server::start();
    for path in ["/health", "/health/"] {
        let answer = server.get(path).send();
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.text(),
            format!("{{\"status\":\"ok\",\"version\":\"{}\"}}", env!("CARGO_PKG_VERSION"))
        );
    }
}

#[test]
fn an_example_that_would_do_harm_is_refused_as_it_stands() {
    let server = Server::start();
    let token = server.login();
    let site = server.register(&token);
    let spec: Value = serde_json::from_str(&printed()).unwrap();
    let example = |schema: &str| spec["components"]["schemas"][schema]["example"].clone();
    let lock = format!("/api/sites/{}/lock", site["site_id"].as_str().unwrap());
    for (method, path, schema, field) in [
        ("POST", "/api/admins", "NewAdmin", "password"),
        ("PUT", "/api/admins/sysadmin/password", "NewPassword", "password"),
        ("POST", &lock, "Lock", "reason"),
    ] {
        let answer = server.call(method, path).bearer(&token).json(&example(schema)).send();
        answer.assert_names(422, &[field]);
        assert!(answer.text().contains("is the placeholder of the example"), "{}", answer.text());
    }
    server.post("/api/auth/login").json(&example("Login")).send().assert_problem(401);
}

/// What a gzip file holds.
fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    bytes
}

const FILES: [&str; 6] = [
    "/docs",
    "/docs/swagger-ui-bundle.js",
    "/docs/swagger-ui.css",
    "/docs/start.js",
    "/openapi.json",
    "/openapi.yaml",
];

#[test]
fn files_are_gzipped_for_who_asks_for_it_and_for_nobody_else() {
    let server = Server::start();
    for path in FILES {
        let plain = server.get(path).send();
        assert!(plain.status == 200 && !plain.has("Content-Encoding"), "{path}");
        for refusing in ["identity", "br", "gzip;q=0", "gzip;q=0.5, identity"] {
            let answer = server.get(path).header("Accept-Encoding", refusing).send();
            assert!(answer.body == plain.body && !answer.has("Content-Encoding"), "{path}: {refusing}");
        }
        let answer = server.get(path).header("Accept-Encoding", "br, gzip;q=0.8, *;q=0.1").send();
        if plain.body.len() < 1024 {
            assert!(answer.body == plain.body && !answer.has("Vary"), "{path}");
            continue;
        }
        assert_eq!(
            (plain.header("Vary"), answer.header("Vary")),
            ("Accept-Encoding", "Accept-Encoding"),
            "{path}"
        );
        assert_eq!(answer.header("Content-Encoding"), "gzip", "{path}");
        assert!(answer.body.len() < plain.body.len() / 2 && unpacked(&answer.body) == plain.body, "{path}");
        assert_ne!(answer.header("ETag"), plain.header("ETag"), "{path}: each form has its own");
    }
}

#[test]
fn a_file_that_the_client_has_is_not_sent_again() {
    let server = Server::start();
    let ask = |method: &str, path: &str, coding: &str, known: &str| {
        server.call(method, path).header("Accept-Encoding", coding).header("If-None-Match", known).send()
    };
    for path in FILES {
        for coding in ["identity", "gzip"] {
            let first = server.get(path).header("Accept-Encoding", coding).send();
            let etag = first.header("ETag").to_owned();
            assert!(
                etag.starts_with('"') && !first.header("Cache-Control").contains("no-store"),
                "{path}: {etag}"
            );
            for known in [&*etag, &format!("W/{etag}"), &format!("\"other\", {etag}"), "*"] {
                for method in ["GET", "HEAD"] {
                    let answer = ask(method, path, coding, known);
                    assert_eq!((answer.status, answer.body.len()), (304, 0), "{method} {path}: {known}");
                    assert_eq!(answer.header("ETag"), etag);
                    assert_eq!(answer.has("Vary"), first.has("Vary"), "{path}");
                    assert_eq!(answer.header("Cache-Control"), first.header("Cache-Control"));
                    assert!(
                        !answer.has("Content-Length") && !answer.has("Content-Type"),
                        "{:?}",
                        answer.headers
                    );
                }
            }
            for other in ["\"other\"", "no tag", "\"\""] {
                assert_eq!(ask("GET", path, coding, other).status, 200, "{path}: {other}");
            }
        }
    }
}

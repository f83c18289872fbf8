//! Admins, and what ends their logins.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::server::Server;

const PASSWORD: &str = "correct horse battery";
const OTHER: &str = "another horse battery";

fn create(server: &Server, token: &str, name: &str) -> Answer {
    let body = json!({ "username": name, "password": PASSWORD });
    server.post("/api/admins").bearer(token).json(&body).send()
}

fn login(server: &Server, name: &str, password: &str) -> Result<String, u16> {
    let answer = server.try_login(name, password);
    if answer.status != 200 {
        return Err(answer.status);
    }
    Ok(answer.json()["access_token"].as_str().unwrap().to_owned())
}

fn me(server: &Server, token: &str) -> u16 {
    server.get("/api/auth/me").bearer(token).send().status
}

fn change(server: &Server, token: &str, name: &str, password: &Value) -> Answer {
    let body = json!({ "password": password });
    server.put(&format!("/api/admins/{name}/password")).bearer(token).json(&body).send()
}

#[test]
fn an_admin_is_created_listed_and_can_log_in_at_once() {
    let server = Server::start();
    let token = server.login();
    let answer = create(&server, &token, "  Anna ");
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.fields(), ["id", "username", "role", "created_at"]);
    assert_eq!((&answer.json()["id"], &answer.json()["username"]), (&json!(2), &json!("Anna")));
    create(&server, &token, "ANNA").assert_problem(409);
    let list = server.get("/api/admins/").bearer(&token).send();
    let names: Vec<_> =
        list.json().as_array().unwrap().iter().map(|admin| admin["username"].clone()).collect();
    assert_eq!(names, ["sysadmin", "Anna"]);
    assert!(!list.text().contains("password") && !list.text().contains("argon2"), "{}", list.text());
    let hers = login(&server, "anna", PASSWORD).unwrap();
    assert_eq!(server.get("/api/auth/me").bearer(&hers).send().json()["username"], "Anna");
}

#[test]
fn a_bad_name_and_a_short_password_are_named_at_once() {
    let server = Server::start();
    let token = server.login();
    let post = |body: Value| server.post("/api/admins").bearer(&token).json(&body).send();
    post(json!({ "username": " ", "password": "eleven char" })).assert_names(422, &["username", "password"]);
    post(json!({ "username": "a".repeat(65), "password": "x".repeat(1025), "role": "owner" }))
        .assert_names(422, &["username", "password", "role"]);
    for name in ["\u{430}nna", "night shift", "Jos\u{e9}", "-anna", "ann\u{200b}a", "\u{ff41}nna"] {
        post(json!({ "username": name, "password": "twelve chars" })).assert_names(422, &["username"]);
    }
    assert_eq!(post(json!({ "username": "a".repeat(64), "password": "x".repeat(1024) })).status, 201);
    assert_eq!(post(json!({ "username": "b", "password": "twelve chars" })).status, 201);
    change(&server, &token, "b", &json!("eleven char")).assert_names(422, &["password"]);
    change(&server, &token, "nobody", &json!(OTHER)).assert_problem(404);
}

#[test]
fn a_changed_password_ends_the_tokens_of_that_admin_at_once_and_of_no_other() {
    let server = Server::start();
    let token = server.login();
    create(&server, &token, "anna");
    let hers = login(&server, "anna", PASSWORD).unwrap();
    assert_eq!(me(&server, &hers), 200);
    let changed = change(&server, &token, "ANNA", &json!(OTHER));
    assert_eq!((changed.status, changed.text()), (204, ""));
    assert_eq!((me(&server, &hers), me(&server, &token)), (401, 200));
    assert_eq!(login(&server, "anna", PASSWORD), Err(401));
    let hers = login(&server, "anna", OTHER).unwrap();
    // One's own as well.
    assert_eq!(change(&server, &hers, "anna", &json!(PASSWORD)).status, 204);
    assert_eq!(me(&server, &hers), 401);
}

#[test]
fn a_deleted_admin_is_out_at_once_and_a_new_one_of_the_name_does_not_inherit_the_tokens() {
    let server = Server::start();
    let token = server.login();
    create(&server, &token, "anna");
    let hers = login(&server, "anna", PASSWORD).unwrap();
    let delete = |name: &str| server.delete(&format!("/api/admins/{name}")).bearer(&token).send();
    assert_eq!(delete("Anna").status, 204);
    assert_eq!(me(&server, &hers), 401);
    assert_eq!(login(&server, "anna", PASSWORD), Err(401));
    delete("anna").assert_problem(404);
    assert_eq!(create(&server, &token, "anna").json()["id"], 3, "the number is not given again");
    assert_eq!(me(&server, &hers), 401);
    let server = server.restart();
    assert_eq!(me(&server, &hers), 401);
}

#[test]
fn the_last_admin_cannot_be_deleted() {
    let server = Server::start();
    let token = server.login();
    server.delete("/api/admins/sysadmin").bearer(&token).send().assert_problem(409);
    assert_eq!(me(&server, &token), 200);
    create(&server, &token, "anna");
    assert_eq!(server.delete("/api/admins/sysadmin").bearer(&token).send().status, 204);
    let hers = login(&server, "anna", PASSWORD).unwrap();
    server.delete("/api/admins/anna").bearer(&hers).send().assert_problem(409);
}

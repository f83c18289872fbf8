//! Who may do what: every operation of the specification, asked for with every
//! kind of proof. What must be answered is computed from the scope that the
//! operation declares.

use std::path::Path;

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use sitewarden::domain::{
    Actor, ActorKind, NewToken, Scope, Timestamp, TokenName, TokenNetworks, TokenSecret,
};
use sitewarden::store::{FILE_NAME, Store};

use crate::client::{Answer, Call};
use crate::server::{Server, Setup};

/// What stands in a path for what is not there.
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// Makes tokens in a database at rest, as they were made 200 days ago.
struct Maker {
    store: Store,
    runtime: tokio::runtime::Runtime,
    made: u8,
}

impl Maker {
    fn open(data: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { store: Store::open(&data.join(FILE_NAME)).unwrap(), runtime, made: 0 }
    }

    fn token(&mut self, admin: u64, scope: Scope, days_left: i64, networks: &[&str]) -> (u64, String) {
        self.made += 1;
        let secret = TokenSecret::from_random_bits([self.made; 32]);
        let days = |days| Timestamp::from_clock(Utc::now() + TimeDelta::days(days));
        let name: TokenName = format!("token {}", self.made).parse().unwrap();
        let networks = TokenNetworks::of(networks).unwrap();
        let new = NewToken { name, scope, expires_at: days(days_left), networks };
        let by = Actor { kind: ActorKind::System, name: "root".to_owned(), token: None, ip: None };
        let made = self.store.create_token(admin, secret.hash(), new, by, days(-200));
        let id = self.runtime.block_on(made).unwrap().unwrap().id;
        (id, secret.expose().to_owned())
    }
}

/// What a caller sends, and what it may do with it.
struct Proof {
    name: &'static str,
    token: Option<String>,
    /// `None`: it proves nothing.
    scope: Option<Scope>,
}

/// An operation of the specification.
struct Operation {
    method: String,
    path: String,
    needs: Option<Scope>,
}

/// What no token for programs may do, of whatever scope.
fn is_done_in_person(path: &str) -> bool {
    path.contains("/otp") || path.contains("/sessions")
}

fn specified(server: &Server) -> Vec<Operation> {
    let specification = server.get("/openapi.json").send().json();
    let mut found = Vec::new();
    for (path, operations) in specification["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let security = operation["security"].as_array().unwrap();
            let scope = security.iter().find_map(|way| way["password"][0].as_str());
            let ways: Vec<_> = security.iter().flat_map(|way| way.as_object().unwrap().keys()).collect();
            match scope {
                None => assert!(ways.is_empty(), "{method} {path} declares no scope"),
                Some(_) => {
                    assert_eq!(ways, ["password", "bearer"], "{method} {path}");
                    assert!(operation["responses"]["403"].is_object(), "{method} {path} has no 403");
                }
            }
            let needs = scope.map(|scope| scope.parse().unwrap());
            found.push(Operation { method: method.to_uppercase(), path: path.clone(), needs });
        }
    }
    // It ends the login that asks for the others.
    found.sort_by_key(|operation| operation.path == "/api/auth/logout");
    found
}

impl Operation {
    /// A request that finds nothing to change: of what is not there, and with
    /// a body that nothing can be read from, but for the code that is looked at
    /// after who asks.
    fn call(&self, server: &Server) -> Call {
        let path = self.path.replace("{site_id}", NOBODY).replace("{username}", "nobody");
        let call = server.call(&self.method, &path.replace("{id}", "999999"));
        let body = if path.ends_with("/otp/confirm") { json!({ "otp": "000000" }) } else { json!({}) };
        if matches!(self.method.as_str(), "POST" | "PUT") { call.json(&body) } else { call }
    }

    fn answer(&self, server: &Server, proof: &Proof) -> Answer {
        match &proof.token {
            Some(token) => self.call(server).bearer(token).send(),
            None => self.call(server).send(),
        }
    }
}

/// Whether an answer is right: 401 to who proves nothing, 403 to who may do
/// less, and neither to who may do this.
fn is_right(answer: &Answer, needs: Scope, proved: Option<Scope>) -> bool {
    let challenge = answer.headers.get("WWW-Authenticate").map(|value| value.to_str().unwrap().to_owned());
    match proved {
        None => answer.status == 401 && challenge.is_some_and(|text| text.starts_with("Bearer realm=")),
        Some(scope) if !scope.allows(needs) => {
            let expected =
                format!("Bearer realm=\"sitewarden\", error=\"insufficient_scope\", scope=\"{needs}\"");
            answer.status == 403 && challenge == Some(expected)
        }
        Some(_) => !matches!(answer.status, 401 | 403 | 500..) && challenge.is_none(),
    }
}

#[test]
fn every_operation_is_open_to_the_scopes_that_it_declares_and_to_no_other_proof() {
    // A key that is given cannot be rotated: the walk would end its own login.
    let setup = Setup::new().config("[auth]\nsigning_key_file = \"key\"\n");
    std::fs::write(setup.directory().join("key"), [7; 32]).unwrap();
    let server = setup.start();
    let login = server.login();
    let bert = json!({ "username": "bert", "password": "correct horse battery" });
    assert_eq!(server.post("/api/admins").bearer(&login).json(&bert).send().status, 201);
    let setup = server.stop_for_another_start();
    let mut maker = Maker::open(&setup.data_dir());
    let mut with = |scope| maker.token(1, scope, 30, &["127.0.0.0/8", "2001:db8::/32"]).1;
    let [read, operate, backup, admin] = Scope::ALL.map(&mut with);
    let (ended, of_ended) = maker.token(1, Scope::Admin, 30, &[]);
    let of_deleted = maker.token(2, Scope::Admin, 30, &[]).1;
    let expired = maker.token(1, Scope::Admin, -1, &[]).1;
    let elsewhere = maker.token(1, Scope::Admin, 30, &["192.0.2.0/24", "::1"]).1;
    let mut misspelt = admin.clone();
    misspelt.replace_range(10..11, if &admin[10..11] == "A" { "B" } else { "A" });
    maker.store.close();
    let server = setup.start();
    for dying in [&of_ended, &of_deleted] {
        assert_eq!(server.get("/api/auth/me").bearer(dying).send().status, 200, "it counted before");
    }
    let gone = |path: &str| assert_eq!(server.delete(path).bearer(&login).send().status, 204, "{path}");
    gone(&format!("/api/tokens/{ended}"));
    gone("/api/admins/bert");
    let proof = |name, token: &str, scope| Proof { name, token: Some(token.to_owned()), scope };
    let proofs = [
        Proof { name: "no token", token: None, scope: None },
        proof("no token of ours", "swt_", None),
        proof("misspelt", &misspelt, None),
        proof("read", &read, Some(Scope::Read)),
        proof("operate", &operate, Some(Scope::Operate)),
        proof("backup", &backup, Some(Scope::Backup)),
        proof("admin", &admin, Some(Scope::Admin)),
        proof("ended", &of_ended, None),
        proof("a deleted admin's", &of_deleted, None),
        proof("expired", &expired, None),
        proof("from elsewhere", &elsewhere, None),
        proof("a login", &login, Some(Scope::Admin)),
    ];
    let mut wrong = Vec::new();
    let (mut asked, mut declared) = (0, 0);
    for operation in specified(&server) {
        declared += usize::from(operation.needs.is_some());
        for proof in &proofs {
            let answer = operation.answer(&server, proof);
            let right = match operation.needs {
                Some(_) if is_done_in_person(&operation.path) && proof.name == "admin" => {
                    answer.status == 403 && answer.headers.get("WWW-Authenticate").is_none()
                }
                // A login, of another admin's.
                Some(_) if operation.path.contains("/otp") && proof.name == "a login" => answer.status == 403,
                Some(needs) => is_right(&answer, needs, proof.scope),
                // Whatever is sent to who asks nobody: it is not looked at.
                None => answer.status == operation.call(&server).send().status,
            };
            asked += 1;
            if !right {
                let Operation { method, path, .. } = &operation;
                wrong.push(format!(
                    "{method} {path} with {}: {} {}",
                    proof.name,
                    answer.status,
                    answer.text()
                ));
            }
        }
    }
    assert_eq!(wrong, [""; 0], "of {asked}");
    assert!(declared >= 21 && asked >= declared * proofs.len(), "{declared} {asked}");
}

#[test]
fn a_parameter_that_there_is_not_is_named_only_to_who_may_ask() {
    let server = Server::start();
    let setup = server.stop_for_another_start();
    let mut maker = Maker::open(&setup.data_dir());
    let backup = maker.token(1, Scope::Backup, 30, &[]).1;
    let read = maker.token(1, Scope::Read, 30, &[]).1;
    maker.store.close();
    let server = setup.start();
    let ask = |token: &str| server.get("/api/auth/me?verbose=1").bearer(token).send();
    ask(&backup).assert_problem(403);
    ask(&read).assert_names(422, &["verbose"]);
}

#[test]
fn sites_are_deleted_in_a_batch_by_who_may_delete_them_one_by_one() {
    let server = Server::start();
    let login = server.login();
    let site: Value = server.register(&login);
    let setup = server.stop_for_another_start();
    let mut maker = Maker::open(&setup.data_dir());
    let operate = maker.token(1, Scope::Operate, 30, &[]).1;
    let admin = maker.token(1, Scope::Admin, 30, &[]).1;
    maker.store.close();
    let server = setup.start();
    let batch = |token: &str, op: &str| {
        let body = json!({ "items": [{ "op": op, "site_id": site["site_id"] }] });
        server.post("/api/sites/batch").bearer(token).json(&body).send()
    };
    assert_eq!(batch(&operate, "unlock").status, 200);
    let refused = batch(&operate, "delete");
    refused.assert_problem(403);
    assert!(refused.header("WWW-Authenticate").ends_with("scope=\"admin\""));
    let path = format!("/api/sites/{}", site["site_id"].as_str().unwrap());
    assert_eq!(server.get(&path).bearer(&operate).send().status, 200, "nothing was done");
    assert_eq!(batch(&admin, "delete").json()["results"][0]["status"], 204);
}

#[test]
fn all_sites_of_a_filter_are_deleted_by_who_may_delete_them_one_by_one() {
    let server = Server::start();
    let login = server.login();
    let site: Value = server.register(&login);
    let setup = server.stop_for_another_start();
    let mut maker = Maker::open(&setup.data_dir());
    let operate = maker.token(1, Scope::Operate, 30, &[]).1;
    let admin = maker.token(1, Scope::Admin, 30, &[]).1;
    maker.store.close();
    let server = setup.start();
    let bulk = |token: &str, op: &str| {
        let body = json!({ "op": op, "filter": { "q": site["name"] }, "dry_run": false, "expect": 1 });
        server.post("/api/sites/bulk").bearer(token).json(&body).send()
    };
    assert_eq!(bulk(&operate, "unlock").status, 200);
    let refused = bulk(&operate, "delete");
    refused.assert_problem(403);
    assert!(refused.header("WWW-Authenticate").ends_with("scope=\"admin\""));
    assert_eq!(bulk(&admin, "delete").json()["changed"], 1);
}

//! Many changes in one request, and requests that are sent twice.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::server::new_site;
use crate::sysadmin::Sysadmin;

const ONCE: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

impl Sysadmin {
    fn batch(&self, body: &Value) -> Answer {
        self.call("POST", "/api/sites/batch").json(body).send()
    }

    fn once(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.call("POST", path).header("Idempotency-Key", key).json(body).send()
    }

    fn sites(&self) -> Value {
        self.get("/api/sites?limit=1000").json()
    }
}

fn register(name: &str) -> Value {
    let mut item = new_site();
    item["op"] = json!("register");
    item["name"] = json!(name);
    item
}

fn statuses(answer: &Answer) -> Vec<u64> {
    let body = answer.json();
    body["results"].as_array().unwrap().iter().map(|result| result["status"].as_u64().unwrap()).collect()
}

#[test]
fn each_operation_of_a_batch_is_done_and_answered_as_its_own_route_would() {
    let admin = Sysadmin::start();
    let answer = admin.batch(&json!({ "items": [register("A"), register("B")] }));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(statuses(&answer), [201, 201]);
    let first = answer.json()["results"][0].clone();
    let site = json!({ "site_id": first["site"]["site_id"], "secret_key": first["secret_key"] });
    assert_eq!(admin.server.heartbeat(&site).send().status, 200);
    let (a, b) = (&first["site"]["site_id"], answer.json()["results"][1]["site"]["site_id"].clone());
    let answer = admin.batch(&json!({ "items": [
        { "op": "lock", "site_id": a, "reason": "unpaid" },
        { "op": "update", "site_id": a, "extend_days": 30, "owner_name": "Luigi" },
        { "op": "delete", "site_id": b },
        { "op": "unlock", "site_id": b },
        { "op": "update", "site_id": a, "extend_days": 0, "nmae": "x" },
        { "op": "paint", "site_id": a },
        "nothing",
    ] }));
    assert_eq!(statuses(&answer), [200, 200, 204, 404, 422, 422, 422]);
    let body = answer.json();
    assert_eq!((body["done"].as_u64(), body["refused"].as_u64()), (Some(3), Some(4)));
    assert_eq!(body["results"][1]["site"]["lock_reason"], "unpaid");
    assert_eq!(body["results"][1]["site"]["owner_name"], "Luigi");
    let fields = |index: usize| -> Vec<String> {
        let errors = body["results"][index]["errors"].as_array().unwrap();
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(fields(4), ["extend_days", "nmae"]);
    assert_eq!(fields(5), ["op"]);
    let trail = admin.server.get("/api/audit").bearer(&admin.token).send().json();
    let actions: Vec<&str> =
        trail.as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        [
            "site_deleted",
            "site_updated",
            "site_locked",
            "site_registered",
            "site_registered",
            "login_succeeded"
        ]
    );
}

#[test]
fn all_or_nothing_changes_nothing_and_names_every_bad_item() {
    let admin = Sysadmin::start();
    let missing = "00000000-0000-4000-8000-000000000000";
    let bad = json!({ "all_or_nothing": true, "items": [
        register("A"), { "op": "unlock" }, { "op": "lock", "site_id": missing, "reason": "" },
    ] });
    let answer = admin.batch(&bad);
    assert_eq!(answer.status, 422);
    let errors = answer.json()["errors"].clone();
    let fields: Vec<&str> = errors.as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["items[1].site_id", "items[2].reason"]);
    let answer = admin.batch(&json!({ "all_or_nothing": true, "items": [
        register("A"), { "op": "unlock", "site_id": missing },
    ] }));
    assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (422, &json!("items[1].site_id")));
    assert_eq!(admin.sites(), json!([]));
}

#[test]
fn a_batch_has_1_to_1000_items_and_400_registrations_fit_in_its_body() {
    let admin = Sysadmin::start();
    for items in [json!([]), json!(vec![0; 1001]), json!({}), json!(null)] {
        let answer = admin.batch(&json!({ "items": items }));
        assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (422, &json!("items")));
    }
    assert_eq!(statuses(&admin.batch(&json!({ "items": vec![0; 1000] }))).len(), 1000);
    let full = admin.batch(&json!({ "items": vec![register("Trattoria Da Mario"); 400] }));
    assert_eq!(full.status, 200, "{}", full.text());
    assert!(statuses(&full).iter().all(|status| *status == 201));
    assert_eq!(admin.sites().as_array().unwrap().len(), 400);
    assert_eq!(admin.server.get("/api/sites/batch").bearer(&admin.token).send().status, 405);
}

#[test]
fn a_registration_sent_again_under_its_key_gives_the_same_site_and_secret_key() {
    let admin = Sysadmin::start();
    let first = admin.once("/api/sites", ONCE, &new_site());
    let again = admin.once("/api/sites", &format!("\"{ONCE}\""), &new_site());
    assert_eq!((first.status, again.status), (201, 201), "{}", again.text());
    assert_eq!(first.json(), again.json());
    assert_eq!(admin.server.heartbeat(&again.json()).send().status, 200);
    assert_eq!(admin.sites().as_array().unwrap().len(), 1);

    let mut other = new_site();
    other["name"] = json!("Another");
    assert_eq!(admin.once("/api/sites", ONCE, &other).status, 422);
    assert_eq!(admin.once("/api/sites", "order-1", &new_site()).status, 400);
    assert_eq!(admin.once("/api/sites", &ONCE.replace('8', "9"), &new_site()).status, 201);
    assert_eq!(admin.sites().as_array().unwrap().len(), 2);
}

#[test]
fn a_repeated_registration_survives_a_restart_and_shows_no_key_that_is_none_any_more() {
    let mut admin = Sysadmin::start();
    let site = admin.once("/api/sites", ONCE, &new_site()).json();
    admin.server = admin.server.restart();
    assert_eq!(admin.once("/api/sites", ONCE, &new_site()).json()["secret_key"], site["secret_key"]);
    let path = format!("/api/sites/{}", site["site_id"].as_str().unwrap());
    let rotate = admin.server.post(&format!("{path}/rotate-key")).bearer(&admin.token).json(&json!({}));
    assert_eq!(rotate.send().status, 200);
    assert_eq!(admin.once("/api/sites", ONCE, &new_site()).status, 409);
    assert_eq!(admin.server.delete(&path).bearer(&admin.token).send().status, 204);
    assert_eq!(admin.once("/api/sites", ONCE, &new_site()).status, 409);
}

#[test]
fn a_batch_sent_again_under_its_key_is_answered_alike_and_not_done_again() {
    let admin = Sysadmin::start();
    let body = json!({ "items": [register("A"), { "op": "paint" }, register("B")] });
    let first = admin.once("/api/sites/batch", ONCE, &body);
    let again = admin.once("/api/sites/batch", ONCE, &body);
    assert_eq!((first.status, first.json()), (200, again.json()));
    assert_eq!(admin.sites().as_array().unwrap().len(), 2);
    assert_eq!(admin.once("/api/sites/batch", ONCE, &json!({ "items": [register("A")] })).status, 422);
}

#[test]
fn a_batch_refuses_a_revision_and_changes_nothing() {
    let admin = Sysadmin::start();
    let body = json!({ "items": [register("A")] });
    for revision in ["\"1\"", "*", "none"] {
        let answer = admin.call("POST", "/api/sites/batch").header("If-Match", revision).json(&body).send();
        answer.assert_problem(400);
        assert!(answer.text().contains("change sites one by one"), "{}", answer.text());
    }
    assert_eq!(admin.sites(), json!([]));
}

//! How a site is named at the command line, and how a list is asked for.

use serde_json::json;

use super::session;
use crate::server::{Server, sitewarden};

#[test]
fn a_site_is_found_by_number_name_and_beginning_of_its_id_and_never_guessed() {
    let server = Server::start();
    let token = server.login();
    let register = |name: &str| {
        let site = server.register_as(&token, &json!({ "name": name }));
        site["site_id"].as_str().unwrap().to_owned()
    };
    let [mario, _, _] = ["Trattoria Da Mario", "Bar Centrale", "Bar Centrale"].map(register);
    let mut t = session("named", &server);
    t.run(&["site", "lock", "Trattoria Da Mario", "--reason", "Payment overdue"]);
    t.run(&["site", "unlock", "#1"]);
    t.run(&["site", "rotate-key", "Trattoria Da Mario"]);
    t.run(&["site", "lock", "#1", "Bar Centrale", "--reason", "Payment overdue"]);
    t.run(&["site", "rm", "Trattoria", "--yes"]);
    t.run(&["site", "rm", "#4", "--yes"]);
    t.run(&["site", "rm", "00000000", "--yes"]);
    t.run(&["site", "rm", "#2", "#3", "--yes"]);
    t.run(&["audit", "--site", "#1", "--action", "site_locked", "--json"]);
    t.run(&["audit", "--action", "site_deleted", "--json", "--limit", "1"]);
    t.run(&["audit", "--site", "Bar Centrale"]);
    let trail = server.get("/api/audit?limit=1").bearer(&token).send().json();
    let user = trail[0]["actor"].as_str().unwrap();
    t.check(&[(&format!("\"actor\":\"{user}\""), "\"actor\":\"USER\"")]);

    // The same site, named in three ways, is extended once.
    let beginning = &mario[..13];
    let arguments = ["site", "extend", "--days", "30", "#1", beginning, "Trattoria Da Mario"];
    let output = sitewarden(&arguments).current_dir(server.directory()).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(said, format!("extended {mario}: expires 2100-01-30T00:00:00Z\n"));
    // Of what was refused nothing was done, not to the site that was found either.
    let site = server.get(&format!("/api/sites/{mario}")).bearer(&token).send().json();
    assert_eq!(site["is_locked"], false);
}

#[test]
fn a_list_has_the_columns_that_are_asked_for() {
    let server = Server::start();
    let token = server.login();
    for name in ["Bar Centrale", "Antica Osteria", "Zum Löwen"] {
        server.register_as(&token, &json!({ "name": name }));
    }
    let mut t = session("columns", &server);
    t.run(&["site", "list", "--columns", "id,name,owner_name,licensed,created_at"]);
    t.run(&["site", "list", "--color", "always", "--columns", "status,name"]);
    t.run(&["site", "list", "--limit", "2"]);
    t.run(&["site", "list", "--limit", "2", "--json", "--q", "zum"]);
    t.run(&["site", "list", "--limit", "0"]);
    t.run(&["site", "list", "--columns", "price"]);
    t.check(&[]);
}

//! Days, grace and locks with a window on the command line.

use super::{id_of, session};
use crate::server::Server;

#[test]
fn a_site_is_added_until_a_day_and_locked_on_another() {
    let server = Server::configured("[licence]\ntime_zone = \"Europe/Rome\"\n");
    let mut t = session("dates", &server);
    let mario = ["site", "add", "--name", "Da Mario", "--email", "mario@example.com"];
    let add = |t: &mut crate::transcript::Transcript, more: &[&str]| t.run(&[&mario[..], more].concat());
    let said = ["--grace-days", "14", "--tag", "vip", "--tag", "rome", "--notes", "Rings on Mondays"];
    let id = id_of(&add(&mut t, &[&["--expires", "2098-12-31", "--feature", "orders"], &said[..]].concat()));
    let id = id.as_str();
    t.run(&[
        "site",
        "lock",
        id,
        "--reason",
        "Payment overdue",
        "--at",
        "2098-12-14",
        "--until",
        "2098-12-31",
    ]);
    t.run(&["site", "show", id, "--json"]);
    t.run(&["site", "lock", id, "--reason", "Payment overdue", "--until", "2098-12-31T12:00:00Z"]);
    t.run(&["site", "lock", id, "--reason", "Payment overdue", "--at", "2098-12-14"]);
    t.run(&["site", "lock", id, "--reason", "Payment overdue", "--until", "2001-01-01"]);
    t.run(&["site", "unlock", id]);
    t.run(&["site", "update", id, "--time-zone", "America/New_York", "--expires", "2099-06-30"]);
    let none = [
        "--time-zone",
        "none",
        "--grace-days",
        "none",
        "--offline-hours",
        "none",
        "--tag",
        "",
        "--feature",
        "",
    ];
    t.run(&[&["site", "update", id, "--json"], &none[..]].concat());
    t.run(&["site", "update", id, "--expires", "2020-12-31"]);
    t.run(&["site", "update", id, "--expires", "2020-12-31", "--allow-past"]);
    t.run(&["site", "update", id, "--time-zone", "Europe/Nowhere"]);
    t.run(&["site", "update", id, "--expires", "2099-02-30"]);
    t.run(&["site", "update", id, "--grace-days", "91"]);
    t.run(&["site", "update", id, "--offline-hours", "0"]);
    t.run(&["site", "update", id, "--tag", "two words"]);
    add(&mut t, &["--expires", "2020-12-31"]);
    t.run(&["audit", "--action", "site_registered", "--since", "2026-02-30"]);
    t.run(&["audit", "--action", "site_registered", "--until", "2025-12-31"]);
    t.check(&[]);
}

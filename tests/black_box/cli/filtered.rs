//! One thing done to all sites that a filter lets through: what the server is
//! asked, and what is said of its answers.

use serde_json::{Value, json};

use super::{MISSING, answering};
use crate::server::sitewarden;
use crate::terminal::Typed::Answer;
use crate::terminal::at_terminal;

/// What a command asks a server with these answers, how it ends, and what it
/// says.
fn asked(arguments: &[&str], answers: &[(u16, Value)]) -> (Vec<String>, i32, String) {
    let answers = answers.iter().map(|(status, body)| (*status, body.to_string())).collect();
    let (url, server) = answering(answers);
    let directory = tempfile::tempdir().unwrap();
    let mut command = sitewarden(arguments);
    command.env("SITEWARDEN_URL", url).env("SITEWARDEN_TOKEN", "t").env("HOME", directory.path());
    let output = command.output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (server.join().unwrap(), output.status.code().unwrap(), said)
}

fn many(matched: u64, changed: u64) -> Value {
    let site = json!({ "id": 7, "site_id": MISSING, "name": "Da Mario", "status": "expired",
                       "license_expires_on": "2030-12-31", "last_seen_at": null });
    json!({ "matched": matched, "changed": changed, "first": [site] })
}

#[test]
fn the_server_tells_how_many_before_it_is_told_to_do_it_to_as_many() {
    let lock = ["site", "lock", "--reason", "unpaid", "--status", "expired,silent", "--tag", "vip", "--yes"];
    let (requests, code, said) = asked(&lock, &[(200, many(3, 0)), (200, many(3, 2))]);
    let filter = r#""filter":{"status":"expired,silent","tag":"vip"},"op":"lock","reason":"unpaid""#;
    assert_eq!(
        requests,
        [
            format!("POST /api/sites/bulk {{{filter},\"dry_run\":true}}"),
            format!("POST /api/sites/bulk {{{filter},\"dry_run\":false,\"expect\":3}}"),
        ]
    );
    assert_eq!((code, said.as_str()), (0, "locked 2 sites; 1 unchanged\n"));
}

#[test]
fn each_verb_asks_for_its_operation() {
    let done = [(200, many(1, 0)), (200, many(1, 1))];
    for (line, operation, said) in [
        ("unlock --owner Rossi", r#"{"owner":"Rossi"},"op":"unlock","#, "unlocked 1 site\n"),
        (
            "extend --days 30 --expires-before 2030-12-31",
            r#"{"expires_before":"2030-12-31"},"op":"update","extend_days":30,"#,
            "extended 1 site\n",
        ),
        (
            "update --owner Rossi --where-owner Bianchi",
            r#"{"owner":"Bianchi"},"op":"update","owner_name":"Rossi","#,
            "updated 1 site\n",
        ),
        ("tag vip,south --q mario", r#"{"q":"mario"},"op":"tag","tags":["south","vip"],"#, "tagged 1 site\n"),
        ("untag vip --tag vip", r#"{"tag":"vip"},"op":"untag","tags":["vip"],"#, "untagged 1 site\n"),
        (
            "rm --all",
            r#"{"status":"inactive,locked,expired,never_seen,silent,online"},"op":"delete","#,
            "deleted 1 site\n",
        ),
    ] {
        let mut arguments = vec!["site"];
        arguments.extend(line.split(' '));
        arguments.push("--yes");
        let (requests, code, told) = asked(&arguments, &done);
        assert!(
            requests[1].starts_with(&format!("POST /api/sites/bulk {{\"filter\":{operation}")),
            "{requests:?}"
        );
        assert_eq!((code, told.as_str()), (0, said), "{line}");
    }
}

#[test]
fn a_set_that_has_changed_since_is_refused_and_said() {
    let changed = json!({ "status": 409, "detail": "the filter lets 4 sites through, not 3", "matched": 4 });
    let (_, code, said) =
        asked(&["site", "rm", "--tag", "old", "--yes"], &[(200, many(3, 0)), (409, changed)]);
    assert_eq!(code, 1);
    assert_eq!(
        said,
        "sitewarden: the filter lets 4 sites through, not 3; nothing was done: run the same command again to see which they are now\n"
    );
}

#[test]
fn nothing_is_done_to_none_in_a_dry_run_or_without_an_answer() {
    let (requests, code, said) = asked(&["site", "rm", "--tag", "old", "--yes"], &[(200, many(0, 0))]);
    assert_eq!(
        (requests.len(), code, said.as_str()),
        (1, 0, "sitewarden: no site is like that; nothing was done\n")
    );
    let (_, code, said) = asked(&["site", "rm", "--tag", "old", "--dry-run"], &[(200, many(3, 0))]);
    assert_eq!(
        (code, said.as_str()),
        (
            0,
            "NUMBER  NAME      STATUS   EXPIRES     LAST SEEN\n#7      Da Mario  expired  2030-12-31  never\n\
             sitewarden: 3 sites, the first of them above; nothing was done: leave out --dry-run to do it\n"
        )
    );
    let (_, code, said) = asked(&["site", "rm", "--tag", "old"], &[(200, many(3, 0))]);
    assert_eq!((code, said.contains("give --yes")), (1, true), "{said}");
}

#[test]
fn a_person_is_told_how_many_and_the_first_names_and_only_a_yes_is_one() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("token"), "t").unwrap();
    let ask = |answer: &'static str, answers: &[(u16, Value)]| {
        let answers = answers.iter().map(|(status, body)| (*status, body.to_string())).collect();
        let (url, server) = answering(answers);
        let extend = ["site", "extend", "--days", "30", "--all", "--url", &url, "--token", "token"];
        let seen = at_terminal(directory.path(), 200, &extend, &[("[y/N]", Answer(answer))]);
        (seen, server.join().unwrap().len())
    };
    let question = "Extend by 30 days the licences of 3 sites (Da Mario and 2 more)? [y/N] ";
    let (seen, requests) = ask("", &[(200, many(3, 0))]);
    assert_eq!((seen, requests), ((format!("{question}\nsitewarden: nothing was changed\n"), Some(1)), 1));
    let (seen, requests) = ask("yes", &[(200, many(3, 0)), (200, many(3, 3))]);
    assert_eq!((seen, requests), ((format!("{question}yes\nextended 3 sites\n"), Some(0)), 2));
}

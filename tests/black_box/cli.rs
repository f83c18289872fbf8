//! The command line, as transcripts of sessions with a real server.

mod agreement;
mod audit;
mod dates;
mod elsewhere;
mod filtered;
mod host;
mod named;
mod remote;
mod screen;
mod spreadsheets;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::thread::JoinHandle;

use serde_json::json;

use crate::server::{Server, Setup, program_for_anybody, sitewarden};
use crate::transcript::Transcript;

const MISSING: &str = "00000000-0000-4000-8000-000000000000";

fn session(name: &'static str, server: &Server) -> Transcript {
    Transcript::new(name, server.directory())
}

fn id_of(added: &str) -> String {
    let line = added.lines().find_map(|line| line.strip_prefix("site_id")).unwrap();
    line.trim().to_owned()
}

#[test]
fn sites_are_added_changed_locked_and_removed() {
    let server = Server::start();
    let mut t = session("sites", &server);
    let add = ["site", "add", "--email", "mario@example.com", "--expires", "2099-12-31T00:00:00Z", "--name"];
    let add = |t: &mut Transcript, name| id_of(&t.run(&[&add[..], &[name]].concat()));
    let a = add(&mut t, "Trattoria Da Mario");
    let b = add(&mut t, "Bar Centrale");
    t.run(&["site", "list"]);
    t.run(&["site", "list", "--status", "never_seen", "--q", "bar", "--json"]);
    t.run(&["site", "show", &a]);
    t.run(&["site", "update", &a, &b, "--extend-days", "30"]);
    t.run(&["site", "update", &a, "--owner", "Mario Rossi", "--expires", "tomorrow"]);
    t.run(&["site", "lock", &a, MISSING, &b, "--reason", "Payment overdue"]);
    t.run(&["site", "list"]);
    t.run(&["site", "unlock", &a, MISSING, &b]);
    t.run(&["site", "update", &a]);
    t.run(&["site", "update", &a, "--extend-days", "3661"]);
    t.run(&["site", "rotate-key", &a]);
    t.run(&["site", "rotate-key", &a, "--overlap-hours", "24"]);
    t.run(&["site", "rotate-key", &a, "--overlap-hours", "169"]);
    t.run(&["site", "rm", &a]);
    t.run(&["site", "rm", MISSING]);
    t.run(&["site", "rm", &a, MISSING, "--yes"]);
    t.run(&["site", "rm", &a, "--yes"]);
    t.run(&["site", "show", &a]);
    t.run(&["site", "list", "--status", "asleep"]);
    t.run(&["healthcheck"]);
    t.check(&[]);
}

#[test]
fn tokens_are_made_listed_used_and_ended() {
    let server = Server::start();
    let url = server.url().to_owned();
    let mut t = session("tokens", &server);
    let home = server.directory().to_owned();
    t.run(&["token", "add", "--name", "nightly backup", "--scope", "backup"]);
    let expires = ["--network", "127.0.0.0/8", "--network", "2001:db8::7", "--days", "30"];
    let made =
        t.run(&[&["token", "add", "--name", "shop", "--scope", "read", "--json"], &expires[..]].concat());
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let token = made["token"].as_str().unwrap().to_owned();
    std::fs::write(home.join("token"), format!("{token}\n")).unwrap();
    std::fs::write(home.join("misspelt"), format!("{}\n", &token[..41])).unwrap();
    t.run(&["token", "list"]);
    let here = ["--url", &url, "--cacert", "data/tls-certificate.pem", "--token"];
    for (file, command) in [
        ("token", &["site", "list"][..]),
        ("token", &["site", "lock", MISSING, "--reason", "unpaid"]),
        ("token", &["token", "list"]),
        ("misspelt", &["site", "list"]),
    ] {
        t.run_with(&[command, &here[..], &[file]].concat(), "", |command| {
            command.env("HOME", &home);
        });
    }
    t.run(&["token", "add", "--name", "shop", "--scope", "read"]);
    t.run(&["token", "add", "--name", "x", "--scope", "owner"]);
    t.run(&["token", "add", "--name", "x", "--scope", "read", "--days", "401"]);
    t.run(&["token", "add", "--name", "x", "--scope", "read", "--expires", "2020-01-01T00:00:00Z"]);
    t.run(&["token", "add", "--name", "x", "--scope", "read", "--network", "here", "--admin", "nobody"]);
    t.run(&["token", "rm", "2"]);
    t.run(&["token", "rm", "2"]);
    t.run_with(&[&["site", "list"], &here[..], &["token"]].concat(), "", |command| {
        command.env("HOME", &home);
    });
    t.run_with(&["admin", "create", "anna"], "correct horse battery\ncorrect horse battery\n", |_| {});
    t.run(&["token", "add", "--name", "x", "--scope", "read"]);
    t.run(&["token", "add", "--name", "x", "--scope", "read", "--admin", "ANNA"]);
    t.run(&["audit", "--limit", "3"]);
    t.check(&[(&url, "URL")]);
}

#[test]
fn admins_are_created_and_deleted_and_the_last_one_stays() {
    let server = Server::start();
    let mut t = session("admins", &server);
    let twice = "correct horse battery\ncorrect horse battery\n";
    t.run_with(&["admin", "create", "anna"], twice, |_| {});
    t.run_with(&["admin", "create", "Anna"], twice, |_| {});
    t.run_with(&["admin", "create", "bert"], "short\nshort\n", |_| {});
    t.run_with(&["admin", "passwd", "anna"], "another horse battery\n", |_| {});
    t.run(&["admin", "passwd", "nobody"]);
    t.run(&["admin", "list"]);
    t.run(&["admin", "delete", "anna"]);
    t.run(&["admin", "delete", "nobody"]);
    t.run(&["admin", "delete", "anna", "--yes"]);
    t.run(&["admin", "delete", "sysadmin", "--yes"]);
    t.run(&["audit", "--json", "--admin", "anna", "--limit", "1"]);
    let trail = t.run(&["audit", "--json", "--limit", "1"]);
    let actor = trail.split("\"actor\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    t.check(&[(&format!("\"actor\":\"{actor}\""), "\"actor\":\"USER\"")]);
}

#[test]
fn many_sites_are_imported_exported_and_extended() {
    let server = Server::start();
    let directory = server.directory().to_owned();
    let mut t = session("many", &server);
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
    write(
        "sites.csv",
        "name,owner_name,contact_email,license_expires_at\n\
         Trattoria Da Mario,Mario Rossi,mario@example.com,2099-12-31T00:00:00Z\n\
         \"Bar \"\"Centrale\"\", Roma\",,bar@example.com,2099-12-31T00:00:00+01:00\n\
         trattoria da mario,Mario Rossi,MARIO@example.com,2099-12-31T00:00:00Z\n",
    );
    t.run(&["site", "import", "sites.csv"]);
    t.run(&["site", "list"]);
    t.run(&["site", "import", "sites.csv", "--apply"]);
    t.show("sites.csv.keys.csv");
    t.run(&["site", "import", "sites.csv", "--apply"]);
    t.run(&["site", "import", "sites.csv", "--allow-duplicates", "--apply"]);
    t.run(&["site", "import", "sites.csv", "--json"]);
    write(
        "bad.csv",
        "name,contact_email,license_expires_at\n\
         Pizzeria Vesuvio,vesuvio@example.com,2099-12-31T00:00:00Z\n\
         ,no address,soon\n\
         Gelateria,gelato@example.com\n",
    );
    t.run(&["site", "import", "bad.csv", "--apply"]);
    write("columns.csv", "name,email\nA,a@example.com\n");
    t.run(&["site", "import", "columns.csv"]);
    t.run(&["site", "import", "missing.csv"]);
    t.run(&["site", "export"]);
    t.run(&["site", "export", "--q", "roma", "--output", "export.csv"]);
    t.run(&["site", "export", "--output", "export.csv"]);
    t.run(&["site", "import", "export.csv"]);
    t.run(&["site", "export", "--status", "asleep"]);
    t.run(&["site", "extend", "--days", "30", "#1", "Bar \"Centrale\", Roma"]);
    t.run(&["site", "extend", "--days", "30", "--status", "never_seen"]);
    t.run(&["site", "extend", "--days", "30", "--status", "never_seen", "--dry-run"]);
    t.run(&["site", "extend", "--days", "30", "--status", "never_seen", "--yes"]);
    t.run(&["site", "extend", "--days", "30", "--status", "expired", "--yes"]);
    t.run(&["site", "extend", "--days", "0", "--yes", "--q", "roma"]);
    t.run(&["site", "tag", "roma,vip", "--q", "roma", "--yes"]);
    t.run(&["site", "tag", "vip", "#1", "#2"]);
    t.run(&["site", "untag", "vip", "--tag", "vip", "--yes"]);
    t.run(&["site", "lock", "--reason", "Payment overdue", "--tag", "roma", "--yes"]);
    t.run(&["site", "list", "--sort", "-name", "--status", "locked,never_seen"]);
    t.run(&["site", "unlock", "--all", "--yes"]);
    t.run(&["site", "update", "--owner", "Rossi", "--where-owner", "mario rossi", "--yes"]);
    let far = ["--name", "Far", "--email", "far@example.com", "--expires", "9999-01-01T00:00:00Z"];
    t.run(&[&["site", "add"], &far[..]].concat());
    t.run(&["site", "extend", "--days", "3660", "#1", "#2", "Far"]);
    t.run(&["site", "extend", "--days", "3660", "--all", "--yes"]);
    t.run(&["site", "rm", "--all", "--yes", "--json"]);
    t.check(&[]);
}

#[test]
fn formulas_leave_as_text_and_come_back_as_they_were() {
    let server = Server::start();
    let token = server.login();
    let names = ["=cmd|' /C calc'!A0", "+39 Pizza", "-1", "@SUM(A1)", "'=quoted", "'Tis Fine", "Plain; =1+1"];
    let owner = "=HYPERLINK(\"http://192.0.2.1\")";
    for name in names {
        server.register_as(
            &token,
            &json!({ "name": name, "owner_name": owner, "contact_email": "=a@example.com" }),
        );
    }
    let directory = server.directory().to_owned();
    let run = |arguments: &[&str]| {
        let output = sitewarden(arguments).current_dir(&directory).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let sites = || {
        let sites = server.get("/api/sites").bearer(&token).send().json();
        let told = |site: &serde_json::Value| {
            ["name", "owner_name", "contact_email"].map(|field| site[field].as_str().unwrap().to_owned())
        };
        let mut sites: Vec<_> = sites.as_array().unwrap().iter().map(told).collect();
        sites.sort();
        sites
    };
    let before = sites();
    run(&["site", "export", "--output", "all.csv"]);
    let mut table = csv::Reader::from_path(directory.join("all.csv")).unwrap();
    for record in table.records() {
        for cell in &record.unwrap() {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell}");
        }
    }
    let present = run(&["site", "import", "all.csv", "--json"]);
    assert_eq!(present.matches("\"present\"").count(), names.len(), "{present}");
    for site in server.get("/api/sites").bearer(&token).send().json().as_array().unwrap() {
        run(&["site", "delete", site["site_id"].as_str().unwrap(), "--yes"]);
    }
    run(&["site", "import", "all.csv", "--apply"]);
    assert_eq!(sites(), before);
    let keys = std::fs::read_to_string(directory.join("all.csv.keys.csv")).unwrap();
    assert!(keys.contains(",'=cmd|' /C calc'!A0,swk_"), "{keys}");
}

#[test]
fn a_table_of_a_spreadsheet_is_read_and_what_is_wrong_with_it_told_by_its_line() {
    let server = Server::start();
    let directory = server.directory().to_owned();
    let mut t = session("tables", &server);
    let head = b"name,contact_email,license_expires_at\r\n".as_slice();
    let row = |name: &[u8]| [name, b",a@example.com,2099-12-31T00:00:00Z\r\n"].concat();
    for (name, bytes) in [
        ("marked.csv", [b"\xef\xbb\xbf", head, &row(b"A")].concat()),
        (
            "blank.csv",
            [head, b"\r\n", &row(b"A"), b"\r\n\n", &row(b""), &row(b"\"C\nD\""), &row(b"")].concat(),
        ),
        ("open.csv", [head, &row(b"\"A"), &row(b"B")].concat()),
        ("latin.csv", [head, &row(b"Jos\xe9")].concat()),
        ("semicolons.csv", b"name;contact_email;license_expires_at\n".to_vec()),
        ("twice.csv", b"name,name,contact_email,license_expires_at\n".to_vec()),
        ("short.csv", b"name,contact_email\n".to_vec()),
        ("empty.csv", Vec::new()),
        ("head.csv", head.to_vec()),
        ("upper.csv", [&head.to_ascii_uppercase(), &row(b"A")[..]].concat()),
        ("quotes.csv", [head, &row(b"\"A \"\"b\"\", C\""), &row(b"D \"e")].concat()),
    ] {
        std::fs::write(directory.join(name), bytes).unwrap();
        t.run(&["site", "import", name]);
    }
    t.run(&["site", "import", "marked.csv", "--apply", "--keys", "nowhere/keys.csv"]);
    t.run(&["site", "list"]);
    let table = String::from_utf8([head, &row(b"From a pipe")].concat()).unwrap();
    t.run_with(&["site", "import", "-", "--apply"], &table, |_| {});
    t.show("sites.keys.csv");
    t.run_with(&["site", "import", "-", "--apply"], &table, |_| {});
    t.run_with(&["site", "import", "-"], "nothing of the kind\n", |_| {});
    t.check(&[]);
}

#[test]
fn what_cannot_be_done_is_told_with_what_to_do_next() {
    let directory = tempfile::tempdir().unwrap();
    let mut t = Transcript::new("failures", directory.path());
    t.run(&["site", "list"]);
    t.run(&["healthcheck"]);
    t.run(&["admin", "list"]);
    t.run(&["site", "lock", MISSING]);
    t.run(&["site", "paint", MISSING]);
    // What is no number or time needs no server to say so.
    t.run(&["site", "show", MISSING, "#0"]);
    t.run(&["site", "rotate-key", ""]);
    t.run(&["site", "rotate-key", "7"]);
    t.run(&["site", "lock", "--reason", "unpaid"]);
    t.run(&["site", "lock", MISSING, "--status", "expired", "--reason", "unpaid"]);
    t.run(&["site", "unlock", "--all", "--tag", "vip"]);
    t.run(&["site", "tag", "two words", MISSING]);
    t.run(&["site", "list", "--sort", "colour"]);
    t.run(&["site", "list", "--expires-before", "2030-02-30"]);
    t.run(&["site", "extend", "--days", "30", "--status", "asleep"]);
    t.run(&["site", "add", "--name", "A", "--email", "a@example.com", "--expires", "2099-02-30"]);
    t.run(&["audit", "--site", "7"]);
    t.run(&["audit", "--until", "yesterday"]);
    t.run(&["site", "update", MISSING]);
    let home = |command: &mut Command| {
        command.env("HOME", directory.path());
    };
    t.run_with(&["site", "list", "--url", "https://licences.example.com"], "", home);
    t.run_with(&["site", "list", "--url", "licences.example.com"], "", |command| {
        home(command);
        command.env("SITEWARDEN_TOKEN", "t");
    });
    // Nobody is sent to log in where that cannot be done.
    t.run_with(&["site", "list", "--url", "localhost:8443"], "", home);
    t.run_with(&["admin", "create", "anna"], "correct horse battery\n", |_| {});
    t.check(&[]);
}

/// A server that another user runs, with a socket that anybody may open.
fn server_of_another_user() -> Option<Server> {
    if !rustix::process::geteuid().is_root() {
        // Nobody else can start one as another user.
        return None;
    }
    let setup = Setup::new();
    let usual = setup.command();
    let mut command = Command::new(program_for_anybody(setup.directory()));
    command.args(usual.get_args()).env_clear().env("SITEWARDEN_METRICS_LISTEN", "");
    command.current_dir(setup.directory()).uid(65_534).gid(65_534);
    std::fs::set_permissions(setup.directory(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let server = setup.start_with(command);
    Some(server)
}

#[test]
fn a_socket_that_lies_about_and_is_another_users_gets_no_password_until_it_is_named() {
    let Some(server) = server_of_another_user() else { return };
    let mut t = session("stranger", &server);
    let password = "correct horse battery\n";
    t.run_with(&["admin", "passwd", "sysadmin"], password, |_| {});
    t.run(&["site", "list"]);
    t.run(&["healthcheck"]);
    t.run(&["backup", "one.redb"]);
    t.run(&["site", "list", "--socket", "data/control.sock"]);
    t.run(&["admin", "list", "--data-dir", "data"]);
    let socket = server.data_dir().join("control.sock");
    t.run_with(&["site", "list"], "", |command| {
        command.env("SITEWARDEN_CONTROL_SOCKET", &socket);
    });
    std::fs::write(server.directory().join("named.toml"), format!("control_socket = {socket:?}\n")).unwrap();
    t.run_with(&["admin", "passwd", "sysadmin", "--config", "named.toml"], password, |_| {});
    t.check(&[]);
    assert!(!server.directory().join("one.redb").exists());
}

#[test]
fn a_data_directory_that_was_named_is_not_taken_for_that_of_the_server_that_runs() {
    let server = Server::start();
    let mut t = session("data-dir", &server);
    let directory = server.directory().to_owned();
    std::fs::create_dir(directory.join("empty")).unwrap();
    for wrong in ["missing", "empty"] {
        t.run_with(&["admin", "passwd", "sysadmin", "--data-dir", wrong], "correct horse battery\n", |_| {});
        t.run(&["backup", "one.redb", "--data-dir", wrong]);
    }
    t.run(&["admin", "list", "--data-dir", "data"]);
    t.check(&[]);
    server.login();
}

#[test]
fn help_is_a_command_and_the_usual_words_mean_the_same() {
    let server = Server::start();
    let mut t = session("words", &server);
    t.run(&["help"]);
    t.run(&["site", "help", "list"]);
    let id = id_of(&t.run(&[
        "site",
        "create",
        "--name",
        "Bar",
        "--email",
        "bar@example.com",
        "--expires",
        "2099-12-31T00:00:00Z",
    ]));
    t.run(&["site", "delete", &id, "--yes"]);
    t.run_with(&["admin", "add", "anna"], "correct horse battery\n", |_| {});
    t.run(&["admin", "rm", "anna", "--yes"]);
    t.check(&[]);
}

#[test]
fn the_socket_of_another_user_is_said_to_be_closed_to_one() {
    let server = Server::start();
    let socket = server.data_dir().join("control.sock");
    let mut t = session("socket", &server);
    if rustix::process::geteuid().is_root() {
        let open = |path: &Path| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        open(&server.data_dir());
        open(server.directory());
        t.as_user(65_534);
    } else {
        // Only root can become another user: the socket is closed to this one.
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o000)).unwrap();
    }
    t.run(&["site", "list"]);
    t.run(&["admin", "list"]);
    t.run(&["backup", "one.redb"]);
    t.check(&[]);
}

/// A sitewarden that gives these answers (status and JSON), one after the
/// other, to whatever it is asked.
fn answering(answers: Vec<(u16, String)>) -> (String, JoinHandle<Vec<String>>) {
    let head = "Content-Type: application/json\r\nX-Request-Id: 1\r\n";
    serving(answers.into_iter().map(|(status, body)| (status, head.to_owned(), body)).collect())
}

/// A server that gives these answers (status, lines of the head and body), one
/// after the other, to whatever it is asked. Gives what it was asked: the first
/// line of each request, and its body.
fn serving(answers: Vec<(u16, String, String)>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for (status, lines, body) in answers {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(&stream);
            let (mut line, mut length) = (String::new(), 0);
            let mut request = String::new();
            reader.read_line(&mut request).unwrap();
            while line != "\r\n" {
                line.clear();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut content = vec![0; length];
            reader.read_exact(&mut content).unwrap();
            asked.push(request.replace(" HTTP/1.1\r\n", " ") + &String::from_utf8(content).unwrap());
            // What has no content has no length (RFC 9110, section 8.6).
            let length =
                if status == 204 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
            let head = format!("HTTP/1.1 {status} .\r\n{lines}{length}\r\n");
            (&stream).write_all((head + &body).as_bytes()).unwrap();
        }
        asked
    });
    (url, server)
}

#[test]
fn a_token_that_ends_in_the_middle_stops_the_command_and_what_was_done_is_told() {
    let (url, server) =
        answering(vec![(200, json!({ "site_id": MISSING }).to_string()), (401, "{}".to_owned())]);
    let directory = tempfile::tempdir().unwrap();
    let mut t = Transcript::new("token", directory.path());
    let ids = [MISSING, &MISSING.replace('4', "5"), &MISSING.replace('4', "6")];
    let lock = ["site", "lock", ids[0], ids[1], ids[2], "--reason", "unpaid", "--url", &url];
    t.run_with(&lock, "", |command| {
        command.env("SITEWARDEN_TOKEN", "t").env("HOME", directory.path());
    });
    server.join().unwrap();
    t.check(&[(&url, "URL")]);
}

#[test]
fn an_import_that_breaks_off_keeps_the_keys_of_what_was_registered_and_says_how_many() {
    let registered = |place| {
        let site = json!({ "site_id": format!("{place:08}-0000-4000-8000-000000000000"), "name": "A" });
        json!({ "index": place, "status": 201, "site": site, "secret_key": format!("swk_{place}") })
    };
    let first_part = json!({ "results": (0..100).map(registered).collect::<Vec<_>>() });
    let (url, server) =
        answering(vec![(200, "[]".to_owned()), (200, first_part.to_string()), (401, "{}".to_owned())]);
    let directory = tempfile::tempdir().unwrap();
    let rows: String =
        (0..150).map(|row| format!("Site {row},a@example.com,2099-12-31T00:00:00Z\n")).collect();
    let file = directory.path().join("sites.csv");
    std::fs::write(&file, format!("name,contact_email,license_expires_at\n{rows}")).unwrap();
    let mut command = sitewarden(&["site", "import", "sites.csv", "--apply", "--url", &url]);
    command.current_dir(directory.path()).env("SITEWARDEN_TOKEN", "t").env("HOME", directory.path());
    let output = command.output().unwrap();
    server.join().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("100 of 150 registered, their keys are in sites.csv.keys.csv"), "{told}");
    assert!(told.contains("the token in SITEWARDEN_TOKEN has expired"), "{told}");
    let keys = std::fs::read_to_string(directory.path().join("sites.csv.keys.csv")).unwrap();
    assert_eq!(keys.lines().count(), 101);
    assert!(keys.contains("\n101,00000099-0000-4000-8000-000000000000,A,swk_99\n"), "{keys}");
}

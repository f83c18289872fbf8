//! What is done on the server's own host.

use super::{MISSING, session};
use crate::server::{Server, Setup, sitewarden};
use crate::transcript::Transcript;

#[test]
fn a_backup_is_made_checked_and_put_back() {
    let server = Server::start();
    server.register(&server.login());
    let mut t = session("backup", &server);
    t.run(&["backup", "one.redb"]);
    let bytes = t.between("one.redb: ", " bytes");
    t.run(&["backup", "one.redb"]);
    t.run(&["backup", "one.redb", "--force", "--json"]);
    t.show_mode("one.redb");
    t.run(&["backup", "nowhere/one.redb"]);
    t.run(&["check", "one.redb"]);
    t.run(&["check", "one.redb", "--json"]);
    t.run(&["check", "data/sitewarden.redb"]);
    t.run(&["restore", "one.redb"]);
    t.run(&["restore", "one.redb", "--yes"]);
    let setup = server.stop_for_another_start();
    t.run(&["backup", "two.redb"]);
    let at_rest = t.between("two.redb: ", " bytes");
    t.run(&["restore", "missing.redb", "--yes"]);
    std::fs::write(setup.directory().join("text.redb"), "no database").unwrap();
    t.run(&["check", "text.redb"]);
    t.run(&["check", "missing.redb"]);
    t.run(&["restore", "text.redb", "--yes"]);
    t.run(&["restore", "one.redb", "--yes"]);
    let kept = t.between("before-restore-", "\n");
    t.run(&["check", &format!("data/sitewarden.redb.before-restore-{kept}")]);
    let whole = t.between("\nbytes ", "\n").trim().to_owned();
    t.run(&["restore", "one.redb", "--yes", "--json", "--data-dir", "elsewhere"]);
    t.check(&[(&bytes, "BYTES"), (&at_rest, "BYTES"), (&whole, "BYTES"), (&kept, "TIME")]);
}

#[test]
fn a_backup_is_streamed_whether_the_server_runs_or_not() {
    let server = Server::start();
    server.register(&server.login());
    let directory = server.directory().to_owned();
    let stream = |name: &str| {
        let output = sitewarden(&["backup", "-"]).current_dir(&directory).output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
        std::fs::write(directory.join(name), output.stdout).unwrap();
    };
    stream("running.redb");
    let mut t = session("stream", &server);
    let _setup = server.stop_for_another_start();
    stream("down.redb");
    for name in ["running.redb", "down.redb"] {
        let checked = t.run(&["check", name, "--json"]);
        assert!(checked.contains("\"good\":true") && checked.contains("\"sites\":1"), "{checked}");
    }
    let made = |name: &str| directory.join(name).exists();
    assert!(!made("-") && !made("-.part"));
}

#[test]
fn a_backup_takes_the_place_of_files_only() {
    let server = Server::start();
    let mut t = session("backup-places", &server);
    let directory = server.directory().to_owned();
    std::fs::create_dir(directory.join("copies")).unwrap();
    t.run(&["backup", "copies"]);
    t.run(&["backup", "copies", "--force"]);
    t.run(&["backup", "data/control.sock", "--force"]);
    t.run(&["backup", "/dev/stdout", "--force"]);
    t.run(&["backup", "-", "--json"]);
    t.check(&[]);
    assert_eq!(std::fs::read_dir(directory.join("copies")).unwrap().count(), 0);
}

#[test]
fn a_configuration_is_checked_and_what_is_wrong_named() {
    let directory = tempfile::tempdir().unwrap();
    let mut t = Transcript::new("config", directory.path());
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("good.toml", "listen = [\"127.0.0.1:8443\"]\nsilent_after_hours = 24\n");
    write("misspelt.toml", "listn = [\"127.0.0.1:8443\"]\n");
    write("files.toml", "[tls]\nmode = \"files\"\nkey = \"site.key\"\n");
    write("open.toml", "listen = [\"0.0.0.0:80\"]\n[tls]\nmode = \"off\"\n");
    t.run(&["config", "check"]);
    for name in ["good.toml", "misspelt.toml", "files.toml", "open.toml", "missing.toml"] {
        t.run(&["config", "check", "--config", name]);
    }
    t.run(&["config", "check", "--config", "good.toml", "--json"]);
    t.run_with(&["config", "check", "--config", "good.toml"], "", |command| {
        command.env("SITEWARDEN_SILENT_AFTER_HOURS", "often");
    });
    t.run_with(&["config", "check", "--config", "good.toml"], "", |command| {
        command
            .env("SITEWARDEN_SERVICE_HOST", "10.0.0.1")
            .env("SITEWARDEN_URL", "https://licences.example.com");
    });
    t.run_with(&["config", "check", "--config", "good.toml"], "", |command| {
        command.env("SITEWARDEN_TLS_MODE", "off");
    });
    t.check(&[]);
}

#[test]
fn the_certificate_is_told_of_and_one_that_is_not_renewed_by_hand_is_said_to_be_so() {
    let server = Server::start();
    let mut t = session("tls", &server);
    let json = t.run(&["tls", "status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    t.run(&["tls", "status"]);
    t.run(&["tls", "renew"]);
    let names: Vec<&str> =
        json["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(names.contains(&"localhost"), "{names:?}");
    t.check(&[(&json["names"].to_string(), "NAMES"), (&names.join(", "), "NAMES")]);
}

#[test]
fn the_specification_and_completions_are_printed() {
    let directory = tempfile::tempdir().unwrap();
    let mut t = Transcript::new("documents", directory.path());
    t.run_head(&["openapi"], 4);
    t.run_head(&["openapi", "--json"], 1);
    t.run_head(&["completions", "bash"], 1);
    t.run_head(&["completions", "zsh"], 1);
    t.run_head(&["completions", "fish"], 1);
    t.run(&["completions", "tcsh"]);
    t.check(&[]);
}

#[test]
fn a_heartbeat_tells_its_verdict_by_its_exit_code() {
    let server = Setup::new().config("[limits]\nheartbeat_burst = 5\n").start();
    let site = server.register(&server.login());
    let (id, key) = (site["site_id"].as_str().unwrap(), site["secret_key"].as_str().unwrap());
    let url = server.url().to_owned();
    let mut t = session("heartbeat", &server);
    let play = |t: &mut Transcript, url: &str, key: &str, more: &[&str]| {
        t.run_with(&[&["heartbeat", "--url", url], more].concat(), "", |command| {
            command.env("SITEWARDEN_SITE_ID", id).env("SITEWARDEN_SITE_KEY", key);
        });
    };
    let trusted = ["--cacert", "data/tls-certificate.pem"];
    t.run(&["heartbeat", "--url", &url]);
    play(&mut t, &url, key, &[]);
    play(&mut t, &url, key, &trusted);
    t.run(&["site", "lock", id, "--reason", "Payment overdue"]);
    play(&mut t, &url, key, &[&trusted[..], &["--app-version", "2.4.1", "--uptime-seconds", "60"]].concat());
    t.run(&["site", "unlock", id]);
    t.run(&["site", "update", id, "--expires", "2001-01-01T00:00:00Z", "--allow-past"]);
    play(&mut t, &url, key, &trusted);
    t.run(&["site", "update", id, "--expires", "2099-12-31T00:00:00Z", "--active", "false"]);
    play(&mut t, &url, key, &trusted);
    t.run(&["site", "update", id, "--active", "true"]);
    play(&mut t, &url, key, &trusted);
    play(&mut t, &url, key, &trusted);
    let wait = t.between("try again in ", "\n");
    play(&mut t, &url, "swk_wrong", &trusted);
    play(&mut t, "http://licences.example.com", key, &trusted);
    let certificate = std::fs::read(server.certificate()).unwrap();
    let setup = server.stop_for_another_start();
    std::fs::write(setup.data_dir().join("tls-certificate.pem"), certificate).unwrap();
    play(&mut t, &url, key, &trusted);
    let address = url.strip_prefix("https://").unwrap();
    t.check(&[
        (&url, "URL"),
        (address, "ADDRESS"),
        (&format!("try again in {wait}"), "try again in SECONDS"),
    ]);
}

#[test]
fn admins_get_back_in_while_the_server_is_down() {
    let server = Server::start();
    let (token, old) = (server.login(), server.password());
    let setup = server.stop_for_another_start();
    let mut t = Transcript::new("down", setup.directory());
    let password = "correct horse battery\n";
    t.run(&["admin", "list"]);
    t.run_with(&["admin", "passwd", "sysadmin"], password, |_| {});
    t.run_with(&["admin", "create", "anna"], password, |_| {});
    t.run_with(&["admin", "create", "Anna"], password, |_| {});
    t.run_with(&["admin", "create", "bert"], "short\n", |_| {});
    t.run(&["admin", "delete", "anna", "--yes", "--json"]);
    t.run(&["admin", "delete", "anna", "--yes"]);
    t.run(&["admin", "list", "--socket", "data/control.sock"]);
    t.run(&["admin", "list", "--data-dir", "elsewhere"]);
    t.run(&["site", "show", MISSING]);
    let server = setup.start();
    let login = |password: &str| {
        let body = serde_json::json!({ "username": "sysadmin", "password": password });
        server.post("/api/auth/login").json(&body).send().status
    };
    assert_eq!((login(password.trim()), login(&old)), (200, 401));
    assert_eq!(server.get("/api/auth/me").bearer(&token).send().status, 401, "earlier logins have ended");
    let trail = server.get("/api/audit");
    let by = serde_json::json!({ "username": "sysadmin", "password": password.trim() });
    let token = server.post("/api/auth/login").json(&by).send().json()["access_token"].clone();
    let trail = trail.bearer(token.as_str().unwrap()).send().json();
    let done: Vec<_> =
        trail.as_array().unwrap().iter().map(|entry| (&entry["action"], &entry["actor_kind"])).collect();
    let system = serde_json::json!("system");
    for action in ["admin_deleted", "admin_created", "admin_password_changed"] {
        assert!(done.contains(&(&serde_json::json!(action), &system)), "{done:?}");
    }
    t.check(&[]);
}

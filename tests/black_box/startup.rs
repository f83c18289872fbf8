//! Starts that go well, and starts that must not.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use redb::{Database, ReadableDatabase as _, ReadableTableMetadata as _, TableDefinition};
use serde_json::{Value, json};

use crate::server::{Server, Setup, program_for_anybody, run_to_end, sitewarden};

const DATABASE: &str = "sitewarden.redb";

/// The one line with which a start was refused.
fn refusal(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(!stdout.contains("listening"), "{stdout}");
    let last = stderr.lines().last().unwrap_or_default();
    match serde_json::from_str::<Value>(last) {
        Ok(said) => {
            assert_eq!(said["message"], "the server did not start", "{stderr}");
            assert_eq!(said["level"], "ERROR", "{stderr}");
            said["error"].as_str().unwrap().to_owned()
        }
        // No log ran yet: the configuration was no good.
        Err(_) => {
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
            last.strip_prefix("sitewarden: ").unwrap_or_else(|| panic!("{stderr}")).to_owned()
        }
    }
}

/// Asserts that the start was refused in words that hold each of `parts`.
fn assert_refused(output: &Output, parts: &[&str]) {
    let line = refusal(output);
    for part in parts {
        assert!(line.contains(part), "no {part:?} in: {line}");
    }
}

/// What a server with one site left behind.
fn used() -> Setup {
    let server = Server::start();
    server.register(&server.login());
    server.stop_for_another_start()
}

fn mode(path: impl AsRef<Path>) -> u32 {
    path.as_ref().metadata().unwrap().mode() & 0o777
}

/// Takes root's power over permission bits away: runs as user 65534 when the
/// tests run as root. Everything the user needs must lie in `setup`.
fn without_privileges(setup: &Setup) -> Command {
    if !rustix::process::geteuid().is_root() {
        return setup.command();
    }
    let program = program_for_anybody(setup.directory());
    chmod(setup.directory(), 0o755);
    let usual = setup.command();
    let mut command = Command::new(program);
    command.args(usual.get_args()).env_clear().current_dir(setup.directory()).uid(65534).gid(65534);
    command
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn everything_the_first_start_makes_is_for_the_owner_alone() {
    let server = Server::start();
    let data = server.data_dir();
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(data.join(DATABASE)), 0o600);
    assert_eq!(mode(data.join("initial-admin-password")), 0o600);
    assert!(server.password().len() >= 20);
    assert!(!server.log().contains(&server.password()));
    assert!(!json!(server.announced()).to_string().contains(&server.password()));
}

#[test]
fn a_restart_keeps_the_certificate_the_tokens_and_the_password() {
    let server = Server::start();
    let fingerprint = |server: &Server| {
        let said = server.announced().iter().find(|said| said["message"] == "certificate").unwrap();
        let digest = said["sha256"].as_str().unwrap();
        assert_eq!(digest.len(), 32 * 3 - 1, "{digest}");
        digest.to_owned()
    };
    let (before, token, password) = (fingerprint(&server), server.login(), server.password());
    let pem = std::fs::read(server.certificate()).unwrap();
    let server = server.restart();
    assert_eq!(fingerprint(&server), before);
    assert_eq!(std::fs::read(server.certificate()).unwrap(), pem);
    assert_eq!(server.get("/api/auth/me").bearer(&token).send().status, 200);
    assert_eq!(server.password(), password, "no second first admin");
    server.login();
}

#[test]
fn a_password_file_that_was_deleted_is_not_made_again() {
    let server = Server::start();
    std::fs::remove_file(server.data_dir().join("initial-admin-password")).unwrap();
    let server = server.restart();
    assert!(!server.data_dir().join("initial-admin-password").exists());
}

#[test]
fn the_initial_password_is_warned_of_while_it_works_and_goes_with_its_first_change() {
    let warning = "the password of the first start still works";
    let server = Server::start();
    let file = server.data_dir().join("initial-admin-password");
    let token = server.login();
    let change = json!({ "password": "another password" });
    let other = json!({ "username": "other", "password": "another password" });
    assert_eq!(server.post("/api/admins").bearer(&token).json(&other).send().status, 201);
    assert_eq!(server.put("/api/admins/other/password").bearer(&token).json(&change).send().status, 204);
    assert!(file.exists(), "another admin's");
    let server = server.restart();
    server.log_line(|line| line.contains(warning) && line.contains("admin passwd sysadmin"));
    let path = "/api/admins/SysAdmin/password";
    assert_eq!(server.put(path).bearer(&server.login()).json(&change).send().status, 204);
    assert!(!file.exists());
    let setup = server.stop_for_another_start();
    // A password that opens nothing is no secret: it came with another database.
    std::fs::write(&file, "of another database\n").unwrap();
    let server = setup.start();
    server.log_line(|line| line.contains("removed the initial password"));
    assert!(!file.exists());
    assert!(!server.stop().contains(warning));
}

#[test]
fn the_initial_password_goes_with_the_admin_whose_it_is() {
    let server = Server::start();
    let token = server.login();
    let other = json!({ "username": "other", "password": "another password" });
    assert_eq!(server.post("/api/admins").bearer(&token).json(&other).send().status, 201);
    assert_eq!(server.delete("/api/admins/sysadmin").bearer(&token).send().status, 204);
    assert!(!server.data_dir().join("initial-admin-password").exists());
    assert!(server.stop().contains("removed the initial password"));
}

#[test]
fn a_killed_server_has_kept_what_it_answered() {
    let server = Server::start();
    let token = server.login();
    let site = server.register(&token);
    assert_eq!(server.heartbeat(&site).send().status, 200);
    let server = server.kill().start();
    let path = format!("/api/sites/{}", site["site_id"].as_str().unwrap());
    let kept = server.get(&path).bearer(&token).send().json();
    assert_eq!(kept["last_uptime_seconds"], 86400);
    assert_eq!(server.heartbeat(&site).send().status, 200);
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_made() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let setup = Setup::new();
    let mut command = sitewarden(&["serve", "--listen", &format!("127.0.0.1:{port}")]);
    command.current_dir(setup.directory());
    assert_refused(
        &run_to_end(command),
        &["cannot listen on", &format!("127.0.0.1:{port}"), "in use", "set listen"],
    );
    assert!(!setup.data_dir().join(DATABASE).exists());
}

#[test]
fn an_address_that_the_host_does_not_have_is_named() {
    let setup = Setup::new();
    // RFC 5737: never anyone's.
    let mut command = sitewarden(&["serve", "--listen", "192.0.2.1:0"]);
    command.current_dir(setup.directory());
    assert_refused(&run_to_end(command), &["cannot listen on 192.0.2.1:0", "set listen"]);
}

#[test]
fn a_file_in_place_of_the_data_directory_is_named_and_left_alone() {
    let setup = Setup::new();
    std::fs::write(setup.data_dir(), "mine").unwrap();
    assert_refused(&setup.run_to_end(), &["cannot use the data directory ./data", "set data_dir"]);
    assert_eq!(std::fs::read_to_string(setup.data_dir()).unwrap(), "mine");
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let setup = Setup::new().env("SITEWARDEN_DATA_DIR", "/proc/sitewarden");
    assert_refused(&setup.run_to_end(), &["cannot use the data directory /proc/sitewarden", "set data_dir"]);
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    let setup = Setup::new();
    std::fs::create_dir(setup.data_dir()).unwrap();
    chmod(&setup.data_dir(), 0o555);
    let output = run_to_end(without_privileges(&setup));
    assert_refused(&output, &["cannot use the data directory ./data", "make it writable", "set data_dir"]);
    assert_eq!(std::fs::read_dir(setup.data_dir()).unwrap().count(), 0);
}

#[test]
fn a_data_directory_that_cannot_be_read_is_named() {
    let setup = Setup::new();
    std::fs::create_dir(setup.data_dir()).unwrap();
    chmod(&setup.data_dir(), 0o333);
    assert_refused(&run_to_end(without_privileges(&setup)), &["cannot use the data directory ./data"]);
    chmod(&setup.data_dir(), 0o700);
}

#[test]
fn a_database_that_cannot_be_read_is_named_and_left_alone() {
    let setup = used();
    let database = setup.data_dir().join(DATABASE);
    let before = std::fs::read(&database).unwrap();
    chmod(&setup.data_dir(), 0o777);
    chmod(&database, 0);
    let output = run_to_end(without_privileges(&setup));
    assert_refused(&output, &[DATABASE, "ermission denied", "check that the user"]);
    chmod(&database, 0o600);
    assert!(std::fs::read(&database).unwrap() == before);
}

#[test]
fn a_database_in_use_by_another_process_is_named() {
    let server = Server::start();
    let data = server.data_dir();
    let command = sitewarden(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()]);
    assert_refused(&run_to_end(command), &[DATABASE, "in use by another process", "stop the other"]);
    assert_eq!(server.get("/health").send().status, 200);
}

#[test]
fn a_foreign_file_is_refused_and_left_as_it_is() {
    let text = "a shopping list, and nothing else\n".repeat(1000);
    for foreign in [text.as_bytes(), b"x", &[0; 5000], b"SQLite format 3\0and so on"] {
        let setup = Setup::new();
        std::fs::create_dir(setup.data_dir()).unwrap();
        let path = setup.data_dir().join(DATABASE);
        std::fs::write(&path, foreign).unwrap();
        assert_refused(&setup.run_to_end(), &[DATABASE, "not a sitewarden database", "left as it is"]);
        assert!(std::fs::read(&path).unwrap() == foreign);
    }
}

#[test]
fn a_redb_file_of_another_program_is_refused_and_keeps_its_content() {
    let setup = Setup::new();
    std::fs::create_dir(setup.data_dir()).unwrap();
    let path = setup.data_dir().join(DATABASE);
    let recipes = TableDefinition::<&str, &str>::new("recipes");
    {
        let database = Database::create(&path).unwrap();
        let writing = database.begin_write().unwrap();
        writing.open_table(recipes).unwrap().insert("pesto", "basil").unwrap();
        writing.commit().unwrap();
    }
    assert_refused(&setup.run_to_end(), &[DATABASE, "not a sitewarden database", "left as it is"]);
    let database = Database::open(&path).unwrap();
    let reading = database.begin_read().unwrap();
    assert_eq!(reading.list_tables().unwrap().count(), 1, "no table was added");
    assert_eq!(reading.open_table(recipes).unwrap().get("pesto").unwrap().unwrap().value(), "basil");
}

#[test]
fn a_damaged_database_is_refused_and_left_as_it_is() {
    let setup = used();
    let path = setup.data_dir().join(DATABASE);
    let whole = std::fs::read(&path).unwrap();
    let half = &whole[..whole.len() / 2];
    let mut scribbled = whole.clone();
    scribbled[..4096].fill(0xA5);
    for damaged in [half, &scribbled] {
        std::fs::write(&path, damaged).unwrap();
        let remedy =
            "put it in place with: sitewarden restore ./data/backup/sitewarden.redb --data-dir ./data";
        assert_refused(
            &setup.run_to_end(),
            &[DATABASE, "is damaged", "the newest good backup is of", remedy],
        );
        assert!(std::fs::read(&path).unwrap() == damaged, "it was written to");
    }
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_keeps_its_content() {
    let setup = used();
    let path = setup.data_dir().join(DATABASE);
    let meta = TableDefinition::<&str, &[u8]>::new("meta_v1");
    let sites = TableDefinition::<u64, &[u8]>::new("sites_v1");
    let newer = 1_000_000_u32.to_le_bytes();
    {
        let database = Database::open(&path).unwrap();
        let writing = database.begin_write().unwrap();
        writing.open_table(meta).unwrap().insert("schema_version", newer.as_slice()).unwrap();
        writing.commit().unwrap();
    }
    assert_refused(
        &setup.run_to_end(),
        &[DATABASE, "1000000", "newer sitewarden", "install the newer version"],
    );
    let database = Database::open(&path).unwrap();
    let reading = database.begin_read().unwrap();
    let kept = reading.open_table(meta).unwrap().get("schema_version").unwrap().unwrap().value().to_vec();
    assert_eq!(kept, newer);
    assert_eq!(reading.open_table(sites).unwrap().len().unwrap(), 1);
}

#[test]
fn a_control_socket_that_names_something_else_leaves_it_as_it_is() {
    let setup = Setup::new();
    let (file, link) = (setup.directory().join("notes.txt"), setup.directory().join("link"));
    std::fs::write(&file, "of somebody").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let mut setup = setup;
    for path in [file.clone(), link.clone(), setup.directory().to_owned()] {
        let path = path.to_str().unwrap();
        setup = setup.env("SITEWARDEN_CONTROL_SOCKET", path);
        assert_refused(&setup.run_to_end(), &["cannot use the control socket", path, "is no socket"]);
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "of somebody");
    assert!(link.is_symlink());
}

/// A certificate and its key, as PEM files in `setup`.
fn pair(setup: &Setup, name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let (cert, key) =
        (setup.directory().join(format!("{name}.pem")), setup.directory().join(format!("{name}.key")));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (cert, key)
}

#[test]
fn pem_files_of_ones_own_are_served() {
    let setup = Setup::new();
    let (cert, key) = pair(&setup, "own");
    let server = setup.tls_files(&cert, &key).start().trusting(&cert);
    assert_eq!(server.get("/health").send().status, 200);
    assert!(!server.certificate().exists(), "no certificate of its own is made");
}

#[test]
fn pem_files_that_are_missing_broken_or_mismatched_are_named() {
    let setup = Setup::new();
    let (cert, key) = pair(&setup, "one");
    let (_, other_key) = pair(&setup, "other");
    let missing = setup.directory().join("missing.pem");
    let broken = setup.directory().join("broken.pem");
    let words = setup.directory().join("words.pem");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    std::fs::write(&words, "not PEM at all").unwrap();
    let name = |path: &Path| path.to_str().unwrap().to_owned();
    let mut setup = setup;
    for (cert, key, parts) in [
        (&missing, &key, [name(&missing), "tls.cert".into(), "No such file".into()]),
        (&cert, &missing, [name(&missing), "tls.key".into(), "No such file".into()]),
        (&broken, &key, [name(&broken), "tls.cert".into(), "is damaged".into()]),
        (&words, &key, [name(&words), "tls.cert".into(), "holds no certificate".into()]),
        (&cert, &words, [name(&words), "tls.key".into(), "holds no private key".into()]),
        (&cert, &other_key, [name(&other_key), name(&cert), "does not belong".into()]),
    ] {
        setup = setup.tls_files(cert, key);
        assert_refused(&setup.run_to_end(), &parts.each_ref().map(String::as_str));
    }
    assert!(!setup.data_dir().exists(), "nothing is made");
}

#[test]
fn an_rsa_key_that_is_too_short_is_said_to_be_so() {
    let setup = Setup::new();
    // openssl req -x509 -newkey rsa:1024 -nodes: certificate and key in one file.
    let pair = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rsa1024.pem");
    let setup = setup.tls_files(&pair, &pair);
    assert_refused(
        &setup.run_to_end(),
        &["rsa1024.pem (tls.key)", "1024 bits", "too short", "2048 bits or more"],
    );
}

/// What can be told of a configuration without serving: its file, and the
/// words that must be in the refusal.
fn unfit(setup: &Setup) -> Vec<(String, Vec<String>)> {
    let path = |name: &str, text: &str| {
        let path = setup.directory().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (cert, key) = pair(setup, "good");
    let (words, short) = (path("words", "no PEM"), path("short", "abc"));
    let long = setup.directory().join("x".repeat(100)).to_str().unwrap().to_owned();
    let acme = "[tls]\nmode = \"acme\"\ndomains = [\"licences.example\"]\n";
    let files = |cert: &str, key: &str| format!("[tls]\nmode = \"files\"\ncert = {cert:?}\nkey = {key:?}\n");
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    [
        (files("/missing.pem", key), vec!["cannot read /missing.pem (tls.cert)"]),
        (files(cert, "/missing.key"), vec!["cannot read /missing.key (tls.key)"]),
        (files(cert, &words), vec![&words, "(tls.key)", "holds no private key"]),
        (
            format!("[auth]\nsigning_key_file = {short:?}\n"),
            vec![&short, "auth.signing_key_file", "holds 3 bytes"],
        ),
        (format!("{acme}ca_file = {words:?}\n"), vec![&words, "(tls.ca_file)", "no PEM certificate"]),
        (format!("{acme}ca_file = \"/missing.pem\"\n"), vec!["cannot use /missing.pem (tls.ca_file)"]),
        (
            format!("{acme}eab_kid = \"k\"\neab_hmac_key_file = {words:?}\n"),
            vec![&words, "(tls.eab_hmac_key_file)", "no key in base64url"],
        ),
        (
            "listen = [\"127.0.0.1:8443\"]\nmetrics_listen = \"127.0.0.1:8443\"\n".to_owned(),
            vec!["metrics_listen in ", "listen in ", "8443", "another port"],
        ),
        (format!("data_dir = {words:?}\n"), vec!["cannot use the data directory", &words, "ot a directory"]),
        (format!("data_dir = \"{words}/data\"\n"), vec!["cannot use the data directory", "ot a directory"]),
        (
            format!("control_socket = {words:?}\n"),
            vec!["cannot use the control socket", &words, "is no socket"],
        ),
        ("data_dir = \"\"\n".to_owned(), vec!["data_dir in ", "must not be empty"]),
        ("data_dir = \"/proc/x\"\n".to_owned(), vec!["cannot use the data directory /proc/x"]),
        (
            "control_socket = \"nowhere/control.sock\"\n".to_owned(),
            vec!["cannot use the control socket nowhere/control.sock", "there is no directory nowhere"],
        ),
        (
            "listen = [\"127.0.0.1:0\", \"192.0.2.1:8443\"]\n".to_owned(),
            vec!["cannot listen on 192.0.2.1:8443", "this host has no such address"],
        ),
        (
            format!("control_socket = {long:?}\n"),
            vec!["cannot use the control socket", "longer than 107 bytes"],
        ),
    ]
    .map(|(toml, parts)| (toml, parts.into_iter().map(str::to_owned).collect()))
    .into()
}

#[test]
fn what_a_start_is_refused_for_config_check_says_before_and_neither_makes_anything() {
    let mut setup = Setup::new();
    let everything = |setup: &Setup| {
        let mut names: Vec<_> =
            std::fs::read_dir(setup.directory()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    for (toml, parts) in unfit(&setup) {
        setup = setup.config(&toml);
        // This writes the file; its own flags and variables would hide some of what is in it.
        let _ = setup.command();
        let file = setup.directory().join("sitewarden.toml");
        let before = everything(&setup);
        let mut check = sitewarden(&["config", "check", "--config", file.to_str().unwrap()]);
        check.current_dir(setup.directory());
        let checked = refusal(&run_to_end(check));
        for part in &parts {
            assert!(checked.contains(part.as_str()), "no {part:?} in: {checked}");
        }
        let mut serve = sitewarden(&["serve", "--config", file.to_str().unwrap()]);
        serve.current_dir(setup.directory());
        assert_eq!(refusal(&run_to_end(serve)), checked);
        assert_eq!(everything(&setup), before, "{toml}");
    }
}

#[test]
fn a_control_socket_in_a_directory_that_is_closed_or_not_made_yet_leaves_nothing_behind() {
    let setup = Setup::new();
    let closed = setup.directory().join("closed");
    std::fs::create_dir(&closed).unwrap();
    chmod(&closed, 0o555);
    let paths = [closed.join("control.sock"), PathBuf::from("/run/no-such-directory/control.sock")];
    for path in paths {
        let mut serve = without_privileges(&setup);
        chmod(setup.directory(), 0o777);
        serve.env("SITEWARDEN_CONTROL_SOCKET", &path);
        assert_refused(&run_to_end(serve), &["cannot use the control socket", path.to_str().unwrap()]);
        assert!(!setup.data_dir().exists(), "{path:?}");
    }
}

#[test]
fn config_check_of_a_good_configuration_makes_nothing() {
    let setup = Setup::new();
    let (cert, key) = pair(&setup, "good");
    let signing_key = setup.directory().join("signing.key");
    std::fs::write(&signing_key, "x".repeat(32)).unwrap();
    let setup = setup.config(&format!(
        "data_dir = \"some/where/data\"\n[tls]\nmode = \"files\"\ncert = {cert:?}\nkey = {key:?}\n\
         [auth]\nsigning_key_file = {signing_key:?}\n"
    ));
    // This writes the file.
    let _ = setup.command();
    let mut check = sitewarden(&["config", "check", "--config", "sitewarden.toml"]);
    check.current_dir(setup.directory());
    let output = run_to_end(check);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "sitewarden.toml is good\n", "{output:?}");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    assert!(!setup.directory().join("some").exists());
}

#[test]
fn an_unknown_key_is_named_with_its_file_or_variable() {
    let setup = Setup::new().config("[limits]\nbody_byte = 1\n");
    let file = setup.directory().join("sitewarden.toml");
    assert_refused(
        &setup.run_to_end(),
        &["unknown key limits.body_byte", file.to_str().unwrap(), "limits has ", "body_bytes"],
    );
    let setup = Setup::new().env("SITEWARDEN_TLS__MOD", "off");
    assert_refused(&setup.run_to_end(), &["unknown key tls.mod", "SITEWARDEN_TLS__MOD", "tls has "]);
    assert!(!setup.data_dir().exists(), "nothing is made");
}

#[test]
fn a_configuration_file_that_is_missing_or_no_toml_is_named() {
    let output = run_to_end(sitewarden(&["serve", "--config", "/nonexistent/sitewarden.toml"]));
    assert_refused(&output, &["cannot read the configuration file /nonexistent/sitewarden.toml"]);
    let setup = Setup::new().config("listen = [\n");
    assert_refused(&setup.run_to_end(), &["sitewarden.toml is not valid TOML: line"]);
}

#[test]
fn a_signing_key_file_that_is_missing_or_short_is_named() {
    let setup = Setup::new();
    let file = setup.directory().join("signing.key");
    let setup = setup.config(&format!("[auth]\nsigning_key_file = {file:?}\n"));
    assert_refused(&setup.run_to_end(), &[file.to_str().unwrap(), "auth.signing_key_file", "No such file"]);
    std::fs::write(&file, "x".repeat(31)).unwrap();
    assert_refused(&setup.run_to_end(), &[file.to_str().unwrap(), "31 bytes", "at least 32"]);
    assert!(!setup.data_dir().exists(), "nothing is made");
    std::fs::write(&file, "x".repeat(32)).unwrap();
    setup.start().login();
}

#[test]
fn wrong_usage_ends_with_code_2() {
    for arguments in [&["serve", "--no-such-flag"][..], &["no-such-command"], &["heartbeat"]] {
        assert_eq!(run_to_end(sitewarden(arguments)).status.code(), Some(2), "{arguments:?}");
    }
}

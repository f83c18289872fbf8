//! Where settings come from, and what some of them do to the outside.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::client::{Call, Trust};
use crate::server::{Server, Setup, run_to_end, sitewarden};

fn token_seconds(server: &Server) -> u64 {
    let login = json!({ "username": "sysadmin", "password": server.password() });
    server.post("/api/auth/login").json(&login).send().json()["expires_in"].as_u64().unwrap()
}

#[test]
fn the_environment_wins_over_the_file_and_that_over_the_default() {
    assert_eq!(token_seconds(&Server::start()), 15 * 60);
    let file = "[auth]\ntoken_minutes = 2\n";
    assert_eq!(token_seconds(&Setup::new().config(file).start()), 2 * 60);
    let both = Setup::new().config(file).env("SITEWARDEN_AUTH__TOKEN_MINUTES", "3");
    assert_eq!(token_seconds(&both.start()), 3 * 60);
}

#[test]
fn a_flag_wins_over_the_environment() {
    // The setup gives --listen, and port 1 could not be had.
    let server = Setup::new().env("SITEWARDEN_LISTEN", "192.0.2.1:1").start();
    assert_eq!(server.get("/health").send().status, 200);
}

#[test]
fn variables_that_are_no_settings_stop_no_command() {
    let others = [
        ("SITEWARDEN_SERVICE_HOST", "10.0.0.1"),
        ("SITEWARDEN_PORT", "tcp://10.0.0.1:8443"),
        ("SITEWARDEN_VERDICT_FILE", "verdict.json"),
    ];
    let elsewhere =
        [("SITEWARDEN_URL", "https://licences.example.com"), ("SITEWARDEN_CACERT", "/missing.pem")];
    let setup =
        others.iter().chain(&elsewhere).fold(Setup::new(), |setup, (name, value)| setup.env(name, value));
    let server = setup.start();
    server.log_line(|line| line.contains("SITEWARDEN_SERVICE_HOST") && line.contains("is no setting"));
    assert!(!server.log().contains("SITEWARDEN_URL"), "{}", server.log());
    for arguments in
        [&["site", "list"][..], &["admin", "list"], &["backup", "copy.redb"], &["config", "check"]]
    {
        let mut command = sitewarden(arguments);
        command.current_dir(server.directory()).envs(others);
        let output = command.output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn every_address_of_a_list_is_served_and_announced() {
    let setup = Setup::new();
    let mut command = sitewarden(&["serve"]);
    command.env("SITEWARDEN_LISTEN", "127.0.0.1:0, 127.0.0.2:0").current_dir(setup.directory());
    let server = setup.start_with(command);
    let second = server.next_announced();
    let second = second["url"].as_str().unwrap();
    assert!(server.url().starts_with("https://127.0.0.1:") && second.starts_with("https://127.0.0.2:"));
    let trust = Trust::certificate(&server.certificate());
    for url in [server.url(), second] {
        assert_eq!(Call::new(&trust, "GET", &format!("{url}/health")).send().status, 200, "{url}");
    }
}

#[test]
fn every_address_of_the_host_is_announced_as_localhost_and_the_certificate_names_it() {
    let setup = Setup::new();
    let mut command = sitewarden(&["serve", "--listen", "[::]:0"]);
    command.current_dir(setup.directory());
    let server = setup.start_with(command);
    assert_eq!(server.url(), format!("https://localhost:{}", server.port()));
    let trust = Trust::certificate(&server.certificate());
    let host = rustix::system::uname().nodename().to_str().unwrap().to_ascii_lowercase();
    let pem = std::fs::read(server.certificate()).unwrap();
    let names = names_of(&pem);
    for name in ["localhost", "127.0.0.1", "::1", &host] {
        assert!(names.iter().any(|known| known == name), "{name} in {names:?}");
    }
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{}/health", server.port());
        assert_eq!(Call::new(&trust, "GET", &url).send().status, 200, "{url}");
    }
}

/// The names that a certificate is for.
fn names_of(pem: &[u8]) -> Vec<String> {
    use x509_parser::prelude::*;
    let (_, pem) = parse_x509_pem(pem).unwrap();
    let certificate = pem.parse_x509().unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(v4) => std::net::Ipv4Addr::from(v4).to_string(),
            Err(_) => std::net::Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).unwrap()).to_string(),
        },
        other => panic!("{other:?}"),
    };
    names.value.general_names.iter().map(text).collect()
}

/// A certificate for `names` from one year to another, with its key, in one
/// file.
fn certificate(directory: &Path, names: &[&str], years: [i32; 2]) -> PathBuf {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut parameters = rcgen::CertificateParams::new(names).unwrap();
    parameters.not_before = rcgen::date_time_ymd(years[0], 1, 1);
    parameters.not_after = rcgen::date_time_ymd(years[1], 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let path = directory.join("pair.pem");
    std::fs::write(&path, parameters.self_signed(&key).unwrap().pem() + &key.serialize_pem()).unwrap();
    path
}

#[test]
fn config_check_warns_of_a_certificate_that_no_client_will_take() {
    let directory = tempfile::tempdir().unwrap();
    for (names, years, warning) in [
        (&["a.example"][..], [2000, 2001], Some("has ended, on 2001-01-01T00:00:00Z")),
        (&["a.example"], [2098, 2099], Some("is not valid before 2098-01-01T00:00:00Z")),
        (&[], [2000, 2099], Some("names no host (no subjectAltName)")),
        (&["a.example"], [2000, 2099], None),
    ] {
        let pair = certificate(directory.path(), names, years);
        let file = directory.path().join("sitewarden.toml");
        std::fs::write(&file, format!("[tls]\nmode = \"files\"\ncert = {pair:?}\nkey = {pair:?}\n")).unwrap();
        let mut check = sitewarden(&["config", "check", "--json", "--config", "sitewarden.toml"]);
        check.current_dir(directory.path());
        let ended = run_to_end(check);
        let words = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(0), "{words}");
        let said: Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!(said["ok"], true);
        let warnings = said["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), usize::from(warning.is_some()), "{words}");
        assert_eq!(words.lines().count(), warnings.len(), "{words}");
        if let Some(warning) = warning {
            assert!(words.starts_with("sitewarden: warning: ") && words.contains(warning), "{words}");
        }
    }
}

#[test]
fn a_start_that_is_refused_for_its_settings_says_so_in_the_form_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("key.toml", "listn = []\n");
    write("value.toml", "data_dir = 7\n");
    write("text.toml", "data_dir = 7\n[log]\nformat = \"text\"\n");
    let serve = |arguments: &[&str], format: Option<&str>| {
        let mut command = sitewarden(&[&["serve"], arguments].concat());
        command.current_dir(directory.path());
        if let Some(format) = format {
            command.env("SITEWARDEN_LOG__FORMAT", format);
        }
        let ended = run_to_end(command);
        assert_eq!(ended.status.code(), Some(1));
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(told.lines().count(), 1, "{told}");
        told
    };
    for (arguments, reason) in [
        (&["--config", "key.toml"][..], "unknown key listn"),
        (&["--config", "value.toml"], "data_dir in value.toml must be a string"),
        (&["--config", "missing.toml"], "cannot read the configuration file missing.toml"),
        (&["--config", "text.toml", "--log-format", "json"], "data_dir in text.toml must be a string"),
        (&["--data-dir", ""], "data_dir in the flag --data-dir must not be empty"),
    ] {
        let said: Value = serde_json::from_str(&serve(arguments, None)).unwrap();
        assert_eq!((&said["level"], &said["message"]), (&json!("ERROR"), &json!("the server did not start")));
        assert!(said["error"].as_str().unwrap().contains(reason), "{said}");
        assert!(said["timestamp"].is_string(), "{said}");
    }
    for (arguments, format) in [
        (&["--config", "text.toml"][..], None),
        (&["--config", "missing.toml"], Some("text")),
        (&["--config", "key.toml", "--log-format", "text"], Some("json")),
    ] {
        let told = serve(arguments, format);
        assert!(told.starts_with("sitewarden: "), "{told}");
    }
}

#[test]
fn without_tls_it_serves_plain_http_on_loopback() {
    let server = Setup::new().config("[tls]\nmode = \"off\"\n").start();
    assert!(server.url().starts_with("http://127.0.0.1:"), "{}", server.url());
    let token = server.login();
    assert_eq!(server.get("/api/sites").bearer(&token).send().status, 200);
    assert!(!server.certificate().exists());
}

#[test]
fn plain_http_on_a_public_address_is_refused() {
    let setup = Setup::new();
    let mut command = sitewarden(&["serve", "--tls-mode", "off", "--listen", "0.0.0.0:0"]);
    command.current_dir(setup.directory());
    let ended = run_to_end(command);
    assert_eq!(ended.status.code(), Some(1));
    let log = String::from_utf8(ended.stderr).unwrap();
    assert!(log.contains("tls.mode") && log.contains("is not a loopback address"), "{log}");
}

#[test]
fn it_starts_from_an_empty_directory_with_no_configuration_at_all() {
    let setup = Setup::new();
    let mut command = sitewarden(&["serve", "--listen", "127.0.0.1:0"]);
    command.current_dir(setup.directory());
    let server = setup.start_with(command);
    server.login();
    let mut made: Vec<String> = std::fs::read_dir(server.data_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !["backup", "control.sock"].contains(&name.as_str()))
        .collect();
    made.sort();
    assert_eq!(made, ["initial-admin-password", "sitewarden.redb", "tls-certificate.pem"]);
}

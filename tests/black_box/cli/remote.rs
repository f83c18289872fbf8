//! The same commands from elsewhere, with a token.

use super::session;
use crate::server::Server;
use crate::transcript::Transcript;

#[test]
fn a_login_from_elsewhere_is_kept_for_its_user_alone_and_ends_with_the_password() {
    let server = Server::start();
    let url = server.url().to_owned();
    let password = server.password() + "\n";
    let mut t = session("login", &server);
    let home = server.data_dir().parent().unwrap().to_owned();
    let run = |t: &mut Transcript, arguments: &[&str], stdin: &str| {
        t.run_with(arguments, stdin, |command| {
            command.env("HOME", &home);
        })
    };
    let trusted = ["--cacert", "data/tls-certificate.pem"];
    run(&mut t, &["login"], "");
    run(&mut t, &["site", "list", "--url", &url], "");
    run(&mut t, &[&["healthcheck", "--url", &url], &trusted[..]].concat(), "");
    run(&mut t, &["login", "--url", &url], &password);
    run(&mut t, &[&["login", "--url", &url], &trusted[..]].concat(), "");
    run(&mut t, &[&["login", "--url", &url], &trusted[..]].concat(), "wrong password\n");
    run(&mut t, &[&["login", "--url", &url], &trusted[..]].concat(), &password);
    t.show_mode(".config/sitewarden/logins.json");
    t.show_mode(".config/sitewarden");
    run(&mut t, &["site", "list", "--url", &url], "");
    run(&mut t, &["site", "list", "--url", &format!("{url}/")], "");
    run(&mut t, &["admin", "create", "anna", "--url", &url], "correct horse battery\n");
    run(&mut t, &["admin", "passwd", "sysadmin"], "correct horse battery\n");
    run(&mut t, &["site", "list", "--url", &url], "");
    run(
        &mut t,
        &[&["login", "anna", "--json", "--url", &url], &trusted[..]].concat(),
        "correct horse battery\n",
    );
    run(&mut t, &["healthcheck", "--url", &url], "");
    run(&mut t, &["login", "--url", "http://licences.example.com"], &password);
    t.check(&[(&url, "URL")]);
}

#[test]
fn a_token_comes_from_a_file_or_standard_input_and_not_from_the_argument_list() {
    let server = Server::start();
    let url = server.url().to_owned();
    let token = server.login();
    let mut t = session("token-file", &server);
    let home = server.data_dir().parent().unwrap().to_owned();
    std::fs::write(home.join("token"), format!("{token}\n")).unwrap();
    std::fs::write(home.join("empty"), "\n").unwrap();
    let mut list = |with: &[&str], stdin: &str| {
        let url = ["--url", &url, "--cacert", "data/tls-certificate.pem"];
        t.run_with(&[&["admin", "list"], &url[..], with].concat(), stdin, |command| {
            command.env("HOME", &home);
        });
    };
    list(&["--token", "token"], "");
    list(&["--token", "-"], &token);
    list(&["--token", "empty"], "");
    list(&["--token", "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"], "");
    list(&["--token", "-"], "no token");
    t.run(&["admin", "list", "--token", "token"]);
    t.check(&[(&url, "URL")]);
}

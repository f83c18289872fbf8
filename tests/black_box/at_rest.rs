//! Admins of a server that does not run.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use crate::server::{Server, Setup, sitewarden};
use crate::transcript::Transcript;

const PASSWORD: &str = "correct horse battery";

/// Runs a command where `setup` has its data, and asserts that it is done.
fn run(setup: &Setup, arguments: &[&str], password: &str) {
    let mut t = Transcript::new("", setup.directory());
    t.run_with(arguments, &format!("{password}\n{password}\n"), |_| {});
    assert!(t.text().ends_with("[exit 0]\n\n"), "{}", t.text());
}

#[test]
fn admins_are_managed_on_the_file_before_the_first_start_and_the_server_goes_on_with_them() {
    let setup = Setup::new();
    let mut t = Transcript::new("at_rest", setup.directory());
    let twice = "correct horse battery\ncorrect horse battery\n";
    t.run_with(&["admin", "create", "anna"], twice, |_| {});
    std::fs::create_dir(setup.data_dir()).unwrap();
    t.run(&["admin", "list"]);
    t.run_with(&["admin", "create", "anna"], twice, |_| {});
    t.run_with(&["admin", "create", "Anna"], twice, |_| {});
    t.run_with(&["admin", "create", "bert"], "short\nshort\n", |_| {});
    t.run_with(&["admin", "create", "bert"], twice, |_| {});
    t.run_with(&["admin", "passwd", "bert"], "another horse battery\n", |_| {});
    t.run_with(&["admin", "passwd", "nobody"], twice, |_| {});
    t.run(&["admin", "delete", "anna", "--yes"]);
    t.run(&["admin", "delete", "bert", "--yes"]);
    t.run(&["admin", "list"]);
    t.run(&["site", "list"]);
    t.check(&[]);

    let server = setup.start();
    assert!(!server.data_dir().join("initial-admin-password").exists(), "there was an admin already");
    assert_eq!(server.try_login("sysadmin", PASSWORD).status, 401);
    assert_eq!(server.try_login("bert", "another horse battery").status, 200);
    let mut trail = sitewarden(&["audit", "--json"]);
    let trail = trail.current_dir(server.directory()).output().unwrap();
    let trail: serde_json::Value = serde_json::from_slice(&trail.stdout).unwrap();
    let told: Vec<String> = trail
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["actor_kind"] == "system")
        .map(|event| format!("{} {}", event["action"].as_str().unwrap(), event["admin"].as_str().unwrap()))
        .collect();
    let expected =
        ["admin_deleted anna", "admin_password_changed bert", "admin_created bert", "admin_created anna"];
    assert_eq!(told, expected);
}

#[test]
fn an_admin_that_was_refused_before_the_first_start_does_not_keep_it_from_making_its_own() {
    let setup = Setup::new();
    std::fs::create_dir(setup.data_dir()).unwrap();
    let mut t = Transcript::new("", setup.directory());
    t.run_with(&["admin", "create", "anna"], "short\nshort\n", |_| {});
    assert!(t.text().ends_with("[exit 1]\n\n"), "{}", t.text());
    assert!(setup.data_dir().join("sitewarden.redb").exists());
    setup.start().login();
}

#[test]
fn a_password_changed_while_the_server_is_down_counts_at_its_next_start_and_ends_logins() {
    let server = Server::start();
    let token = server.login();
    assert_eq!(server.get("/api/auth/me").bearer(&token).send().status, 200);
    let old = server.password();
    let setup = server.stop_for_another_start();
    run(&setup, &["admin", "passwd", "sysadmin"], PASSWORD);
    let server = setup.start();
    assert_eq!(server.try_login("sysadmin", PASSWORD).status, 200);
    assert_eq!(server.try_login("sysadmin", &old).status, 401);
    assert_eq!(server.get("/api/auth/me").bearer(&token).send().status, 401);
}

#[test]
fn the_initial_password_goes_when_it_is_changed_or_its_admin_deleted_while_the_server_is_down() {
    for (command, gone) in [
        (["admin", "passwd", "other", "--json"], false),
        (["admin", "passwd", "sysadmin", "--json"], true),
        (["admin", "delete", "sysadmin", "--yes"], true),
    ] {
        let setup = Server::start().stop_for_another_start();
        run(&setup, &["admin", "create", "other"], PASSWORD);
        let mut t = Transcript::new("", setup.directory());
        t.run_with(&command, &format!("{PASSWORD}\n{PASSWORD}\n"), |_| {});
        assert_eq!(setup.data_dir().join("initial-admin-password").exists(), !gone, "{command:?}");
        let told = t.text().contains("removed ./data/initial-admin-password");
        assert_eq!(told, gone, "{}", t.text());
    }
}

#[test]
fn a_password_is_changed_on_the_file_of_a_killed_server_whose_socket_is_left() {
    let setup = Server::start().kill();
    assert!(setup.data_dir().join("control.sock").exists());
    run(&setup, &["admin", "passwd", "sysadmin"], PASSWORD);
    assert_eq!(setup.start().try_login("sysadmin", PASSWORD).status, 200);
}

#[test]
fn a_change_while_the_server_is_down_is_in_the_backup_at_once() {
    let setup = Server::start().stop_for_another_start();
    run(&setup, &["admin", "passwd", "sysadmin"], PASSWORD);
    let (database, backup) = (setup.data_dir().join("sitewarden.redb"), setup.data_dir().join("backup"));
    std::fs::copy(backup.join("sitewarden.redb"), database).unwrap();
    assert_eq!(setup.start().try_login("sysadmin", PASSWORD).status, 200);
}

#[test]
fn a_server_that_runs_but_cannot_be_reached_keeps_its_file_to_itself() {
    let server = Server::start();
    std::fs::remove_file(server.data_dir().join("control.sock")).unwrap();
    let directory = server.directory().to_owned();
    let output = sitewarden(&["admin", "list"]).current_dir(directory).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert_eq!(
        told,
        "sitewarden: cannot reach the server that has ./data/sitewarden.redb open: nobody listens on \
         ./data/control.sock; try again if it is starting or stopping, else name its control socket with \
         --socket\n"
    );
    server.login();
}

#[test]
fn a_socket_that_was_named_stands_for_a_server_and_not_for_a_file() {
    let setup = Server::start().stop_for_another_start();
    let list = ["admin", "list", "--socket", "data/control.sock"];
    let output = sitewarden(&list).current_dir(setup.directory()).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Every file and directory from here on down: owner, group and mode.
fn owners(path: &Path) -> Vec<(String, u32, u32, u32)> {
    let found = path.symlink_metadata().unwrap();
    let mut all = vec![(path.display().to_string(), found.uid(), found.gid(), found.mode() & 0o777)];
    if found.is_dir() {
        all.extend(std::fs::read_dir(path).unwrap().flat_map(|entry| owners(&entry.unwrap().path())));
    }
    all
}

#[test]
fn what_root_does_on_the_file_of_another_user_leaves_nothing_of_roots_there() {
    let root = rustix::process::geteuid().is_root();
    // A new file of one user, and one that a server left behind.
    for setup in [Setup::new(), Server::start().stop_for_another_start()] {
        let data = setup.data_dir();
        std::fs::create_dir_all(&data).unwrap();
        let _ = std::fs::remove_dir_all(data.join("backup"));
        let user = if root { 65_534 } else { rustix::process::geteuid().as_raw() };
        if root {
            let chown = Command::new("chown").args(["-R", "65534:65534"]).arg(&data).status().unwrap();
            assert!(chown.success());
        }
        run(&setup, &["admin", "create", "anna"], PASSWORD);
        run(&setup, &["admin", "list"], "");
        let all = owners(&data);
        assert!(all.iter().any(|(path, ..)| path.ends_with("/backup/sitewarden.redb")), "{all:?}");
        for (path, uid, gid, mode) in &all {
            assert_eq!(*uid, user, "{path}");
            assert!(!root || *gid == 65_534, "{path}");
            let secret = path.ends_with(".redb") || path.ends_with("/backup");
            assert!(!secret || mode & 0o077 == 0, "{path} {mode:o}");
        }
    }
}

//! A backup over the wire.

use crate::server::{Server, run_to_end, sitewarden};

#[test]
fn a_backup_is_one_file_that_check_finds_good_and_only_an_admin_gets_it() {
    let server = Server::start();
    for path in ["/api/backup", "/api/backup/"] {
        let stranger = server.get(path).send();
        stranger.assert_problem(401);
    }
    let token = server.login();
    let site = server.register(&token);
    let with_its_key = server.get("/api/backup").bearer(site["secret_key"].as_str().unwrap()).send();
    with_its_key.assert_problem(401);
    let backup = server.get("/api/backup").bearer(&token).send();
    assert_eq!((backup.status, backup.header("Content-Type")), (200, "application/octet-stream"));
    assert_eq!(backup.header("Content-Length"), backup.body.len().to_string());
    assert_eq!(backup.header("Cache-Control"), "no-store");
    let name = backup.header("Content-Disposition");
    assert!(name.starts_with("attachment; filename=\"sitewarden-") && name.ends_with("Z.redb\""), "{name}");

    let file = server.data_dir().join("downloaded.redb");
    std::fs::write(&file, &backup.body).unwrap();
    let mut command = sitewarden(&["check", "--json"]);
    command.arg(&file);
    let checked = run_to_end(command);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let report: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((&report["good"], &report["counts"]["sites"]), (&true.into(), &1.into()));
    let left: Vec<_> = std::fs::read_dir(server.data_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".part"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

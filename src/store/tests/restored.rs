//! Backups put in the place of the database, by `restore` and by hand.

use super::files::V1;
use super::*;
use crate::store::inspect::{CheckError, check};
use crate::store::restore::{RestoreError, restore};

#[tokio::test]
async fn a_backup_put_in_place_by_hand_and_started_works() {
    let directory = tempfile::tempdir().unwrap();
    let schedule = Schedule {
        directory: directory.path().join("backup"),
        after_change: Duration::ZERO,
        every: Duration::ZERO,
        keep_daily: 1,
        clock: || at(NOW),
    };
    let store = open_in(directory.path());
    register(&store, 1).await.unwrap();
    store.keep_backups(schedule).unwrap();
    store.close();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::copy(directory.path().join("backup").join(FILE_NAME), elsewhere.path().join(FILE_NAME)).unwrap();
    let store = open_in(elsewhere.path());
    assert!(beat(&store, 1, 1, NOW).await.unwrap().licensed);
}

#[tokio::test]
async fn restore_checks_first_keeps_what_was_there_and_refuses_while_the_server_runs() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    register(&store, 77).await.unwrap();
    let refusal = restore(&File::open(V1).unwrap(), directory.path(), at(NOW)).unwrap_err();
    assert!(matches!(refusal, RestoreError::Running(_)), "{refusal}");
    let path = directory.path().join(FILE_NAME);
    assert!(matches!(check(&path), Err(CheckError::InUse(_))));
    store.close();

    let bad = directory.path().join("bad.redb");
    std::fs::write(&bad, &std::fs::read(V1).unwrap()[..50_000]).unwrap();
    assert!(matches!(
        restore(&File::open(&bad).unwrap(), directory.path(), at(NOW)),
        Err(RestoreError::Check(_))
    ));
    assert!(site(&open_in(directory.path()), 77).await.is_some());

    let restored = restore(&File::open(V1).unwrap(), directory.path(), at(NOW)).unwrap();
    let kept = restored.kept.unwrap();
    assert_eq!(kept, directory.path().join("sitewarden.redb.before-restore-2030-03-17T174640Z"));
    let store = open_in(directory.path());
    assert!(site(&store, 1).await.is_some() && site(&store, 77).await.is_none());
    store.close();
    let store = Store::open(&kept).unwrap();
    assert!(site(&store, 77).await.is_some());
    // The restored one, the one before, the bad one, and the directory of the
    // copy from before the restored one was brought up to date.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 4);
}

#[tokio::test]
async fn what_a_killed_restore_left_goes_at_the_next_start_or_restore() {
    let directory = tempfile::tempdir().unwrap();
    let left = directory.path().join(".sitewarden.redb.restore");
    let files = || std::fs::read_dir(directory.path()).unwrap().count();
    // With no database and with one.
    for _ in 0..2 {
        std::fs::write(&left, "half of a backup").unwrap();
        open_in(directory.path()).close();
        assert!(!left.exists() && files() == 1);
    }
    std::fs::remove_file(directory.path().join(FILE_NAME)).unwrap();
    std::fs::write(&left, "half of a backup").unwrap();
    let restored = restore(&File::open(V1).unwrap(), directory.path(), at(NOW)).unwrap();
    assert!(restored.kept.is_none() && !left.exists() && files() == 1);
    assert!(site(&open_in(directory.path()), 1).await.is_some());
}

//! The key that signs tokens stays in the database and gets into no copy.

use std::path::PathBuf;

use super::*;
use crate::domain::Action;
use crate::store::inspect::check;
use crate::store::keyring::NoSigningKey;
use crate::store::restore::{copy_at_rest, restore};

const KEY: [u8; 32] = *b"the key that signs all tokens...";

fn holds(path: &Path, secret: &[u8]) -> bool {
    std::fs::read(path).unwrap().windows(secret.len()).any(|window| window == secret)
}

/// A store with a signing key, a site and a failed login, and its file.
async fn with_key(directory: &Path) -> (Store, PathBuf) {
    let store = open_in(directory);
    store.signing_key_or(SigningKey(KEY)).await.unwrap();
    register(&store, 1).await.unwrap();
    store.record_failed_login(None, HERE, at(NOW)).await.unwrap();
    (store, directory.join(FILE_NAME))
}

async fn key_of(store: &Store) -> [u8; 32] {
    store.signing_key_or(SigningKey([1; 32])).await.unwrap().0
}

fn assert_is_a_good_copy_without(path: &Path, secret: &[u8]) {
    assert!(!holds(path, secret), "{} holds the key", path.display());
    let report = check(path).unwrap();
    assert!(report.closed_cleanly);
    let count = |table| report.counts.iter().find(|(name, _)| *name == table).unwrap().1;
    assert_eq!((count("sites"), count("strangers")), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_copy_holds_the_signing_key_however_it_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let (store, database) = with_key(directory.path()).await;
    assert!(holds(&database, &KEY), "else this test tells nothing");
    store
        .keep_backups(Schedule {
            directory: directory.path().join("backup"),
            after_change: Duration::ZERO,
            every: Duration::ZERO,
            keep_daily: 1,
            clock: || at(NOW),
        })
        .unwrap();
    let (mut file, _) = store.snapshot(directory.path()).await.unwrap();
    let streamed = directory.path().join("streamed.redb");
    io::copy(&mut file, &mut File::create(&streamed).unwrap()).unwrap();
    store.close();
    let at_rest = directory.path().join("at-rest.redb");
    copy_at_rest(&database, &at_rest).unwrap();
    let backups = directory.path().join("backup");
    for copy in [streamed, at_rest, backups.join(FILE_NAME), backups.join("sitewarden-2030-03-17.redb")] {
        assert_is_a_good_copy_without(&copy, &KEY);
    }
    assert_eq!(key_of(&open_in(directory.path())).await, KEY, "the database keeps it");
}

#[tokio::test]
async fn a_copy_made_before_an_upgrade_does_not_hold_it_either_nor_does_one_of_a_killed_server() {
    let directory = tempfile::tempdir().unwrap();
    let (store, database) = with_key(directory.path()).await;
    // Keys of before lie about in pages that were given up.
    for _ in 0..20 {
        store.probe().await.unwrap();
        register_more(&store).await;
    }
    let killed = tempfile::tempdir().unwrap();
    let path = killed.path().join(FILE_NAME);
    std::fs::copy(&database, &path).unwrap();
    let steps = [migrate::STEPS, &[(|_| Ok(())) as migrate::Step]].concat();
    drop(open::open(&path, &steps).unwrap());
    let mut copies = std::fs::read_dir(killed.path().join("backup")).unwrap();
    let copy = copies.next().unwrap().unwrap().path();
    assert!(holds(&path, &KEY) && !holds(&copy, &KEY));
    let report = check(&copy).unwrap();
    assert_eq!((report.schema_version, report.closed_cleanly), (SCHEMA_VERSION, true));
    assert!(report.counts.contains(&("sites", 21)) && report.counts.contains(&("strangers", 0)));
}

async fn register_more(store: &Store) {
    let number = store.audit(AuditFilter::default(), None, 1).await.unwrap().total + 1;
    register(store, number.into()).await.unwrap();
}

#[tokio::test]
async fn a_damaged_database_is_not_copied_at_rest() {
    let directory = tempfile::tempdir().unwrap();
    let (database, copy) = (directory.path().join(FILE_NAME), directory.path().join("copy.redb"));
    std::fs::write(&database, vec![0xa5; 100_000]).unwrap();
    assert!(copy_at_rest(&database, &copy).is_err());
    assert!(!copy.exists());
}

#[tokio::test]
async fn a_restored_backup_brings_no_signing_key_though_it_held_one() {
    let directory = tempfile::tempdir().unwrap();
    // Version 0.1.0 put the key into its backups.
    let backup = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/v1.redb"));
    assert!(holds(backup, &[7; 32]));
    let restored = restore(&File::open(backup).unwrap(), directory.path(), at(NOW)).unwrap();
    let database = directory.path().join(FILE_NAME);
    assert!(!holds(&database, &[7; 32]));
    assert!(restored.report.counts.contains(&("sites", 5)));
    assert_eq!(key_of(&open_in(directory.path())).await, [1; 32], "it makes its own");
}

#[tokio::test]
async fn a_rotated_signing_key_takes_the_place_of_the_one_before_and_is_in_the_trail() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    let rotate =
        async |byte| store.rotate_signing_key(SigningKey([byte; 32]), root(), at(NOW)).await.unwrap();
    assert_eq!(rotate(2).await, Err(NoSigningKey));
    assert_eq!(store.audit(AuditFilter::default(), None, 1).await.unwrap().total, 0);
    key_of(&store).await;
    assert_eq!(rotate(3).await, Ok(()));
    assert_eq!(key_of(&store).await, [3; 32]);
    let trail = store.audit(AuditFilter::default(), None, 10).await.unwrap();
    assert_eq!((trail.total, trail.entries[0].action), (1, Action::SigningKeyRotated));
}

//! Files of all kinds at the place of the database.

use redb::{ReadableDatabase, TableDefinition};

use super::*;
use crate::domain::LockReason;
use crate::domain::site::RevisionCheck;
use crate::domain::{SiteChange, Username};
use crate::store::inspect::{CheckError, check};
use crate::store::migrate::Step;
use crate::store::restore::{RestoreError, restore};

/// A file as version 0.1.0 wrote it. It is opened for ever.
const V1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/v1.redb");

/// Copies the v1 file to where a store expects it.
fn v1_in(directory: &Path) -> PathBuf {
    let path = directory.join(FILE_NAME);
    std::fs::copy(V1, &path).unwrap();
    path
}

/// Makes [`V1`] anew where `MAKE_V1` names a file: to be used only to make the
/// file of a version that nobody runs yet.
#[tokio::test]
async fn the_committed_file_can_be_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = std::env::var_os("MAKE_V1").map_or_else(|| directory.path().join(FILE_NAME), PathBuf::from);
    make_v1(&path).await;
    let counts = |path: &Path| check(path).unwrap().counts;
    assert_eq!(counts(&path), counts(Path::new(V1)));
}

async fn make_v1(path: &Path) {
    let store = Store::open(path).unwrap();
    let name: Username = "Sysadmin".parse().unwrap();
    store
        .create_first_admin(name, "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA".to_owned(), at(NOW))
        .await
        .unwrap();
    store.signing_key_or(SigningKey([7; 32])).await.unwrap();
    store
        .keep_tls_identity(TlsIdentity { certificate: vec![1, 2, 3], private_key: vec![4, 5] })
        .await
        .unwrap();
    for number in 1..=5 {
        register(&store, number).await.unwrap();
    }
    beat(&store, 1, 60, NOW + 100).await.unwrap();
    beat(&store, 2, u64::MAX, NOW + 200).await.unwrap();
    let reason: LockReason = "Ünpaid since März 🍕".parse().unwrap();
    store
        .lock_site(SiteId::from_u128(2), reason, RevisionCheck::Any, root(), at(NOW))
        .await
        .unwrap()
        .unwrap();
    let change = SiteChange { is_active: Some(false), ..SiteChange::default() };
    store
        .update_site(SiteId::from_u128(3), change, RevisionCheck::Any, root(), at(NOW))
        .await
        .unwrap()
        .unwrap();
    store
        .rotate_key(SiteId::from_u128(4), key(2).hash(), 24, RevisionCheck::Any, root(), at(NOW))
        .await
        .unwrap()
        .unwrap();
    store.delete_site(SiteId::from_u128(5), RevisionCheck::Any, root(), at(NOW)).await.unwrap().unwrap();
    store.close();
}

#[tokio::test]
async fn a_file_of_schema_version_1_is_read_in_every_field() {
    let directory = tempfile::tempdir().unwrap();
    let path = v1_in(directory.path());
    assert_eq!(check(&path).unwrap().schema_version, 1);
    let store = Store::open(&path).unwrap();
    let admin = store.admin_named("SYSADMIN".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((admin.id, admin.username.as_str(), admin.token_epoch), (1, "Sysadmin", 1));
    assert_eq!((admin.password_hash.len(), admin.created_at), (40, at(NOW)));
    assert_eq!(store.signing_key_or(SigningKey([0; 32])).await.unwrap().0, [7; 32]);
    let identity = store.tls_identity().await.unwrap().unwrap();
    assert_eq!((identity.certificate, identity.private_key), (vec![1, 2, 3], vec![4, 5]));
    for number in 1..=4 {
        let site = site(&store, number).await.unwrap();
        assert_eq!(u128::from(site.id), number);
        assert_eq!(site.site_id, SiteId::from_u128(number));
        assert_eq!(site.name.as_str(), format!("Site {number}"));
        assert_eq!(site.owner_name.as_str(), "Owner");
        assert_eq!(site.contact_email.as_str(), "owner@example.com");
        assert!(site.key.matches(&key(if number == 4 { 2 } else { 1 }).hash()));
        assert_eq!(site.key_generation, if number == 4 { 2 } else { 1 });
        let old_key = site.old_key.map(|old| (old.hash.matches(&key(1).hash()), old.valid_until));
        assert_eq!(old_key, (number == 4).then_some((true, at(NOW + 86_400))));
        assert_eq!(site.is_active, number != 3);
        assert_eq!(site.revision, if number == 1 { 1 } else { 2 });
        assert_eq!((site.license_expires_at, site.created_at), (at(NOW + 86_400), at(NOW)));
        let reason = site.lock_reason.as_ref().map(LockReason::as_str);
        assert_eq!(reason, (number == 2).then_some("Ünpaid since März 🍕"));
        let seen = site.seen.map(|seen| (seen.at, seen.ip, seen.heartbeat.uptime_seconds));
        assert_eq!(
            seen,
            match number {
                1 => Some((at(NOW + 100), HERE, 60)),
                2 => Some((at(NOW + 200), HERE, u64::MAX)),
                _ => None,
            }
        );
    }
    assert!(site(&store, 5).await.is_none());
    let trail = store.audit(AuditFilter::default(), None, 100).await.unwrap();
    assert_eq!((trail.total, trail.entries[0].action.as_str()), (9, "site_deleted"));
    assert_eq!(trail.entries[8].actor, root());
    assert_eq!(register(&store, 6).await.unwrap().id, 6);
}

/// A table that came with schema version 2 of some future.
const NEW: TableDefinition<'_, u64, u64> = TableDefinition::new("future_v1");

fn fill_new(transaction: &redb::WriteTransaction) -> Result<(), Unavailable> {
    transaction.open_table(NEW)?.insert(1, 2)?;
    Ok(())
}

fn fail(_: &redb::WriteTransaction) -> Result<(), Unavailable> {
    Err(tables::unreadable("future_v1", "on purpose"))
}

#[tokio::test]
async fn an_older_file_is_copied_and_brought_up_to_date_in_one_transaction() {
    let directory = tempfile::tempdir().unwrap();
    let path = v1_in(directory.path());
    let steps: Vec<Step> = migrate::STEPS.iter().copied().chain([fill_new as Step]).collect();
    let opened = open::open(&path, &steps).unwrap();
    assert_eq!(tables::schema_version(&opened.database).unwrap(), migrate::newest(&steps));
    let table = opened.database.begin_read().unwrap().open_table(NEW).unwrap();
    assert_eq!(table.get(1).unwrap().unwrap().value(), 2);
    drop(opened);
    // The file as it was before is in the directory of backups.
    let kept: Vec<_> = std::fs::read_dir(directory.path().join("backup"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(kept.len(), 1);
    assert!(kept[0].file_name().unwrap().to_str().unwrap().starts_with("pre-upgrade-v1-20"));
    assert_eq!(check(&kept[0]).unwrap().schema_version, 1);
    // It is of a newer version now, for this build.
    let refusal = Store::open(&path).err().unwrap();
    assert!(
        matches!(refusal, OpenError::Newer { found, .. } if found == migrate::newest(&steps)),
        "{refusal}"
    );
    assert!(matches!(check(&path), Err(CheckError::Newer { .. })));
    // No second copy at the next start.
    drop(open::open(&path, &steps).unwrap());
    assert_eq!(std::fs::read_dir(directory.path().join("backup")).unwrap().count(), 1);
}

#[tokio::test]
async fn an_upgrade_that_fails_half_way_leaves_the_file_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = v1_in(directory.path());
    let steps: Vec<Step> = migrate::STEPS.iter().copied().chain([fill_new as Step, fail as Step]).collect();
    let refusal = open::open(&path, &steps).err().unwrap();
    assert!(matches!(refusal, OpenError::Upgrade { .. }), "{refusal}");
    let store = Store::open(&path).unwrap();
    assert!(site(&store, 1).await.is_some());
}

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
async fn a_damaged_database_is_refused_with_the_command_that_restores_the_newest_good_backup() {
    let directory = tempfile::tempdir().unwrap();
    let backup = directory.path().join("backup");
    std::fs::create_dir(&backup).unwrap();
    let path = directory.path().join(FILE_NAME);
    std::fs::write(&path, vec![0xa5; 100_000]).unwrap();
    let refusal = Store::open(&path).err().unwrap().to_string();
    assert!(refusal.ends_with("put a good copy in its place, or choose another data_dir"), "{refusal}");
    // The newest is damaged too; the one before is the newest good one.
    std::fs::copy(V1, backup.join("sitewarden-2030-03-17.redb")).unwrap();
    std::fs::write(backup.join(FILE_NAME), "no database").unwrap();
    let refusal = Store::open(&path).err().unwrap().to_string();
    let command = format!(
        "sitewarden restore {} --data-dir {}",
        backup.join("sitewarden-2030-03-17.redb").display(),
        directory.path().display()
    );
    assert!(refusal.ends_with(&command), "{refusal}");
    assert_eq!(std::fs::read(&path).unwrap(), vec![0xa5; 100_000]);
    // A database that is gone is not begun anew over its backups.
    std::fs::remove_file(&path).unwrap();
    let refusal = Store::open(&path).err().unwrap();
    assert!(matches!(refusal, OpenError::Missing { .. }) && refusal.to_string().contains(&command));
    assert!(!path.exists());
}

#[tokio::test]
async fn restore_checks_first_keeps_what_was_there_and_refuses_while_the_server_runs() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    register(&store, 77).await.unwrap();
    let refusal = restore(Path::new(V1), directory.path(), at(NOW)).unwrap_err();
    assert!(matches!(refusal, RestoreError::Running(_)), "{refusal}");
    let path = directory.path().join(FILE_NAME);
    assert!(matches!(check(&path), Err(CheckError::InUse(_))));
    store.close();

    let bad = directory.path().join("bad.redb");
    std::fs::write(&bad, &std::fs::read(V1).unwrap()[..50_000]).unwrap();
    assert!(matches!(restore(&bad, directory.path(), at(NOW)), Err(RestoreError::Check(_))));
    assert!(site(&open_in(directory.path()), 77).await.is_some());

    let restored = restore(Path::new(V1), directory.path(), at(NOW)).unwrap();
    let kept = restored.kept.unwrap();
    assert_eq!(kept, directory.path().join("sitewarden.redb.before-restore-2030-03-17T174640Z"));
    let store = open_in(directory.path());
    assert!(site(&store, 1).await.is_some() && site(&store, 77).await.is_none());
    store.close();
    let store = Store::open(&kept).unwrap();
    assert!(site(&store, 77).await.is_some());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
}

#[tokio::test]
async fn a_first_start_that_was_cut_short_does_not_stand_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(".sitewarden.redb.new"), "half").unwrap();
    std::fs::write(directory.path().join(FILE_NAME), "").unwrap();
    let store = open_in(directory.path());
    register(&store, 1).await.unwrap();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn check_finds_an_index_that_does_not_agree() {
    let directory = tempfile::tempdir().unwrap();
    let path = v1_in(directory.path());
    let opened = open::open(&path, migrate::STEPS).unwrap();
    let transaction = opened.database.begin_write().unwrap();
    WriteTables::open(&transaction).unwrap().site_ids.remove(2).unwrap();
    transaction.commit().unwrap();
    drop(opened);
    let refusal = check(&path).unwrap_err().to_string();
    assert!(
        refusal.ends_with("a record in site_ids cannot be read: site 2 is not found by its site_id"),
        "{refusal}"
    );
}

#[tokio::test]
async fn check_changes_nothing_and_reads_a_file_whose_process_was_killed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    register(&store, 1).await.unwrap();
    // As it lies on the disk while nobody writes: never closed.
    let killed = directory.path().join("killed.redb");
    std::fs::copy(directory.path().join(FILE_NAME), &killed).unwrap();
    let before = std::fs::read(&killed).unwrap();
    let report = check(&killed).unwrap();
    assert!(!report.closed_cleanly && report.counts.contains(&("sites", 1)));
    assert_eq!(std::fs::read(&killed).unwrap(), before);
}

#[test]
fn a_file_is_sealed_when_it_is_closed_in_order_and_only_then() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE_NAME);
    let store = Store::open(&path).unwrap();
    assert!(!seal::take_off(&File::open(&path).unwrap()));
    store.close();
    Store::open(&path).unwrap().close();
    assert!(seal::take_off(&File::open(&path).unwrap()));
}

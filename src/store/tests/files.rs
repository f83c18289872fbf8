//! Files of all kinds at the place of the database: what is opened, brought up
//! to date, refused, and what `check` finds in them.

use std::path::PathBuf;

use redb::{ReadableDatabase, TableDefinition};

use super::*;
use crate::domain::{Effect, TokenEpoch};
use crate::store::inspect::{CheckError, check};
use crate::store::migrate::Step;
use crate::store::requests::Once;

/// A file as version 0.1.0 wrote it. It is opened for ever.
pub(super) const V1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/v1.redb");

/// A file as a newer version would have written it.
const NEWER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/newer.redb");

/// Copies the v1 file to where a store expects it.
pub(super) fn v1_in(directory: &Path) -> PathBuf {
    let path = directory.join(FILE_NAME);
    std::fs::copy(V1, &path).unwrap();
    path
}

#[tokio::test]
async fn the_recipe_makes_a_file_of_the_same_content_as_the_committed_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE_NAME);
    recipe::v1(&path).await;
    let report = |path: &Path| check(path).unwrap();
    assert_eq!(report(&path).counts, report(Path::new(V1)).counts);
    assert_eq!(report(&path).newest_heartbeat, report(Path::new(V1)).newest_heartbeat);
    // None but those of what came after version 0.1.0 is empty.
    let empty: Vec<_> = report(&path).counts.into_iter().filter(|(_, count)| *count == 0).collect();
    let new = [
        "strangers",
        "lease_keys",
        "second_factors",
        "sessions",
        "tokens",
        "token_hashes",
        "token_uses",
        "history",
        "heartbeat_days",
    ];
    assert_eq!(empty, new.map(|name| (name, 0)));
}

#[tokio::test]
async fn the_committed_file_of_a_newer_version_is_refused_as_that_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE_NAME);
    std::fs::copy(V1, &path).unwrap();
    recipe::newer(&path);
    for newer in [path.as_path(), Path::new(NEWER)] {
        let found = check(newer).unwrap_err();
        assert!(matches!(found, CheckError::Newer { found: recipe::NEWER_SCHEMA, .. }), "{found}");
    }
    std::fs::copy(NEWER, &path).unwrap();
    let refusal = Store::open(&path).err().unwrap();
    assert!(matches!(refusal, OpenError::Newer { found: recipe::NEWER_SCHEMA, .. }), "{refusal}");
    assert_eq!(count_of(&path, "sites_v1"), 5);
}

/// How many rows a table of a file has that no store opens.
fn count_of(path: &Path, table: &str) -> u64 {
    use redb::ReadableTableMetadata;
    let database = redb::Database::open(path).unwrap();
    let table = TableDefinition::<u64, &[u8]>::new(table);
    database.begin_read().unwrap().open_table(table).unwrap().len().unwrap()
}

#[tokio::test]
async fn a_file_of_schema_version_1_is_read_in_every_field() {
    let directory = tempfile::tempdir().unwrap();
    let path = v1_in(directory.path());
    assert_eq!(check(&path).unwrap().schema_version, 1);
    let store = Store::open(&path).unwrap();
    let admin = store.admin_named("SYSADMIN".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((admin.id, admin.username.as_str(), admin.token_epoch), (1, "Sysadmin", TokenEpoch(1)));
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
        assert_eq!(site.terms.is_active, number != 3);
        assert_eq!(site.revision, if number == 1 { 1 } else { 2 });
        assert_eq!((site.terms.license_expires_at, site.created_at), (at(NOW + 86_400), at(NOW)));
        let reason = site.terms.lock.as_ref().map(|lock| lock.reason.as_str());
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
    // Of the batch nothing is left but its entries.
    assert_eq!((trail.total, trail.entries[0].action.as_str()), (10, "site_registered"));
    assert_eq!(trail.entries[1].action.as_str(), "site_deleted");
    assert_eq!(trail.entries[9].actor, root());
    let once = Once { request: [8; 32], body: [9; 32], salt: [0; 32] };
    let repeated = store.apply_batch(Vec::new(), false, Some(once), root(), at(NOW)).await.unwrap().unwrap();
    assert_eq!(repeated.repeated, Some([10; 32]));
    let results: Vec<_> =
        repeated.results.iter().map(|result| result.as_ref().map(|done| done.effect)).collect();
    let none = &Refused::NotFound;
    assert_eq!(results, [Ok(Effect::Registered), Err(none), Err(none), Err(none)]);
    let account = store.acme_account().await.unwrap().unwrap();
    let directory_url = "https://acme.example/directory";
    assert_eq!(
        (account.directory_url.as_str(), account.credentials.as_str()),
        (directory_url, r#"{"id":"1"}"#)
    );
    let certificate = store.acme_certificate().await.unwrap().unwrap();
    assert_eq!((certificate.chain, certificate.private_key), (vec![vec![1, 2], vec![3]], vec![6, 7]));
    let setback = store.acme_setback().await.unwrap().unwrap();
    assert_eq!((setback.failures, setback.failed_checks, setback.retry_at), (3, 2, at(NOW + 300)));
    assert_eq!(
        (setback.domains, setback.reason),
        (vec!["licences.example".to_owned()], "no route".to_owned())
    );
    assert_eq!(register(&store, 7).await.unwrap().id, 7);
}

/// A table that came with schema version 2 of some future.
const NEW: TableDefinition<'_, u64, u64> = TableDefinition::new("future_v1");

fn fill_new(transaction: &redb::WriteTransaction) -> Result<(), Unavailable> {
    transaction.open_table(NEW)?.insert(1, 2)?;
    Ok(())
}

fn fail(_: &redb::WriteTransaction) -> Result<(), Unavailable> {
    Err(error::unreadable("future_v1", "on purpose"))
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

fn write_trail_again(transaction: &redb::WriteTransaction) -> Result<(), Unavailable> {
    crate::store::trail::chain_all(&mut WriteTables::of(transaction))
}

#[tokio::test]
async fn an_upgrade_that_writes_records_anew_leaves_the_file_no_longer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE_NAME);
    let store = Store::open(&path).unwrap();
    register(&store, 1).await.unwrap();
    let lock = |number| {
        let reason = format!("{number}{}", "x".repeat(400)).parse().unwrap();
        Operation::Lock(NewLock::now(reason)).on(SiteId::from_u128(1))
    };
    let locks = (0..2000).map(lock).collect();
    store.apply_batch(locks, true, None, root(), at(NOW)).await.unwrap().unwrap();
    store.close();
    let length = |path: &Path| path.metadata().unwrap().len();
    let (before, steps) = (length(&path), [migrate::STEPS, &[write_trail_again as Step]].concat());
    // What the steps alone do to it.
    let other = directory.path().join("other.redb");
    std::fs::copy(&path, &other).unwrap();
    let database = redb::Database::open(&other).unwrap();
    migrate::migrate(&database, SCHEMA_VERSION, &steps).unwrap();
    drop(database);
    assert!(length(&other) > before + before / 10, "else this shows nothing: {} {before}", length(&other));
    drop(open::open(&path, &steps).unwrap());
    assert!(length(&path) <= before + before / 10, "{} bytes, and {before} before", length(&path));
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

#[test]
fn a_missing_database_is_not_begun_anew_over_damaged_copies() {
    let directory = tempfile::tempdir().unwrap();
    let backup = directory.path().join("backup");
    std::fs::create_dir(&backup).unwrap();
    let path = directory.path().join(FILE_NAME);
    std::fs::write(backup.join(FILE_NAME), "no database").unwrap();
    // Missing, or empty as a disk that was full has left it.
    for empty in [false, true] {
        if empty {
            std::fs::write(&path, "").unwrap();
        }
        let refusal = Store::open(&path).err().unwrap();
        assert!(matches!(refusal, OpenError::Missing { .. }), "{refusal}");
        let (from, to) = (backup.display(), directory.path().display());
        let expected = format!(
            "none of those in {from} is good; put a good one in place with: sitewarden restore FILE --data-dir \
             {to}, or move the copies away to begin with an empty database"
        );
        assert!(refusal.to_string().ends_with(&expected), "{refusal}");
        assert_eq!(std::fs::read(backup.join(FILE_NAME)).unwrap(), b"no database");
    }
    // Moved away, it is.
    std::fs::rename(backup.join(FILE_NAME), directory.path().join("away.redb")).unwrap();
    Store::open(&path).unwrap().close();
}

#[test]
fn a_missing_database_is_not_begun_anew_where_the_copies_cannot_be_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let backup = directory.path().join("backup");
    std::fs::write(&backup, "a file, where a directory should be").unwrap();
    let path = directory.path().join(FILE_NAME);
    let refusal = Store::open(&path).err().unwrap();
    assert!(matches!(&refusal, OpenError::Io { path, .. } if *path == backup), "{refusal}");
    assert!(!path.exists());
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
    WriteTables::of(&transaction).site_ids.remove(2).unwrap();
    transaction.commit().unwrap();
    drop(opened);
    let refusal = check(&path).unwrap_err().to_string();
    assert!(
        refusal.ends_with("a record in site_ids cannot be read: site 2 is not found by its site_id"),
        "{refusal}"
    );
}

/// Puts `bytes` in the place of a record of the v1 file, and gives what
/// `check` says of it.
fn checked_with(put: impl FnOnce(&mut WriteTables<'_>)) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = v1_in(directory.path());
    let opened = open::open(&path, migrate::STEPS).unwrap();
    let transaction = opened.database.begin_write().unwrap();
    put(&mut WriteTables::of(&transaction));
    transaction.commit().unwrap();
    drop(opened);
    match check(&path) {
        Ok(report) => format!("good: {report:?}"),
        Err(refusal) => {
            // And no start makes a copy of it.
            let refusal = refusal.to_string();
            refusal.rsplit_once("is damaged: ").unwrap().1.to_owned()
        }
    }
}

#[test]
fn check_reads_every_record_of_every_table() {
    let damaged: &[u8] = &[1, 250];
    type Damage<'a> = (&'a str, Box<dyn Fn(&mut WriteTables<'_>)>);
    let mut cases: Vec<Damage<'_>> = vec![
        ("sites", Box::new(move |tables| tables.sites.put_as_it_is(2, damaged))),
        ("site_ids", Box::new(|tables| tables.site_ids.put_as_it_is(99, 99))),
        ("heartbeats", Box::new(move |tables| tables.heartbeats.put_as_it_is(1, damaged))),
        ("admins", Box::new(move |tables| tables.admins.put_as_it_is(1, damaged))),
        ("admin_names", Box::new(|tables| tables.admin_names.put_as_it_is("x", 99))),
        ("audit", Box::new(move |tables| tables.audit.put_as_it_is(3, damaged))),
        ("strangers", Box::new(move |tables| tables.strangers.put_as_it_is(3, damaged))),
        ("lease_keys", Box::new(move |tables| tables.lease_keys.put_as_it_is(1, damaged))),
        ("second_factors", Box::new(move |tables| tables.second_factors.put_as_it_is(1, damaged))),
        ("sessions", Box::new(move |tables| tables.sessions.put_as_it_is(1 << 64, damaged))),
        (
            "requests",
            Box::new(move |tables| {
                tables.requests.put_as_it_is([8; 32].as_slice(), damaged);
            }),
        ),
        ("tokens", Box::new(move |tables| tables.tokens.put_as_it_is(3, damaged))),
        ("token_hashes", Box::new(|tables| tables.token_hashes.put_as_it_is([8; 32].as_slice(), 99))),
        ("token_uses", Box::new(|tables| tables.token_uses.put_as_it_is(99, 7))),
        ("history", Box::new(move |tables| tables.history.put_as_it_is(1, damaged))),
        ("heartbeat_days", Box::new(|tables| tables.heartbeat_days.put_as_it_is(1 << 40, 7))),
    ];
    let entries = [
        "schema_version",
        "next_site",
        "next_admin",
        "next_audit",
        "next_stranger",
        "next_token",
        "signing_key",
        "lineage",
        "least_revision",
        "tls_identity",
        "acme_account",
        "acme_certificate",
        "acme_setback",
    ];
    for name in entries {
        cases.push((name, Box::new(move |tables| tables.meta.put_as_it_is(name, damaged))));
    }
    for (name, damage) in &cases {
        let said = checked_with(damage);
        assert!(said.starts_with(&format!("a record in {name} cannot be read: ")), "{name}: {said}");
    }
    // No table is left out here, nor any name that the v1 file has.
    let report = check(Path::new(V1)).unwrap();
    for (table, _) in report.counts {
        assert!(table == "meta" || cases.iter().any(|(name, _)| *name == table), "{table}");
    }
    // What this version does not know is not its to judge.
    let said = checked_with(|tables| tables.meta.put_as_it_is("of_a_later_version", damaged));
    assert!(said.starts_with("good"), "{said}");
    let said = checked_with(|tables| {
        tables.requests.put_as_it_is([8; 31].as_slice(), codec_bytes_of_a_request().as_slice());
    });
    assert_eq!(said, "a record in requests cannot be read: wrong length");
    let said = checked_with(|tables| tables.audit.put_as_it_is(50, AUDIT_OF_V1));
    assert_eq!(said, "a record in next_audit cannot be read: the number 50 is in use already");
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

/// A record of a request that did nothing.
fn codec_bytes_of_a_request() -> Vec<u8> {
    let row = codec::RequestRow { at: NOW, body: [1; 32], salt: [2; 32], effects: Vec::new() };
    codec::encode(&row).unwrap()
}

/// The entry that version 0.1.0 made of a login that failed: from nowhere, of
/// nobody, at the beginning of time.
pub(super) const AUDIT_OF_V1: &[u8] = b"\x01\x00\x08unproven\x00\x00\x0clogin_failed\x00\x00\x00";

#[tokio::test]
async fn a_failed_login_that_version_0_1_0_put_into_the_trail_is_still_read_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = v1_in(directory.path());
    let opened = open::open(&path, migrate::STEPS).unwrap();
    let transaction = opened.database.begin_write().unwrap();
    let mut tables = WriteTables::of(&transaction);
    let id = tables.next_number(tables::meta::NEXT_AUDIT).unwrap();
    tables.audit.put_as_it_is(id, AUDIT_OF_V1);
    drop(tables);
    transaction.commit().unwrap();
    drop(opened);
    check(&path).unwrap();
    let store = Store::open(&path).unwrap();
    let trail = store.audit(AuditFilter::default(), None, 100).await.unwrap();
    assert_eq!((trail.total, trail.entries[0].actor.kind), (11, ActorKind::Stranger));
    assert_eq!(trail.entries[0].action.as_str(), "login_failed");
    let anna = AuditFilter { admin: Some("x".to_owned()), ..AuditFilter::default() };
    assert_eq!(store.audit(anna, None, 100).await.unwrap().total, 0);
}

#[test]
fn a_link_to_backups_that_leads_nowhere_is_not_taken_for_none() {
    let directory = tempfile::tempdir().unwrap();
    let (data, mount) = (directory.path().join("data"), directory.path().join("mount"));
    std::fs::create_dir(&data).unwrap();
    std::os::unix::fs::symlink(&mount, data.join("backup")).unwrap();
    let path = data.join(FILE_NAME);
    let refusal = Store::open(&path).err().unwrap();
    assert!(refusal.to_string().contains("leads nowhere"), "{refusal}");
    let left: Vec<_> = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["backup"], "no empty database is left that backups would be made of");
    std::fs::create_dir(&mount).unwrap();
    Store::open(&path).unwrap().close();
}

//! What the trail tells of a registration: as long as the site's row holds it,
//! the entry does not, and nobody must be able to tell.

use super::*;
use crate::domain::audit::{Field, FieldChange, FieldValue};
use crate::domain::{Action, AuditEntry, LicenceChange, SiteChange};
use crate::store::inspect::check;
use crate::store::restore::restore;

const V1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/v1.redb");
/// A file as the first build of schema 2 wrote it. It is opened for ever.
const V2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/v2.redb");

/// What the entry on the registration of site `number` must tell, for ever.
fn registered(id: u64, number: u128) -> AuditEntry {
    let change = |field, value| FieldChange { field, before: None, after: Some(value) };
    let text = |text: &str| FieldValue::Text(text.to_owned());
    AuditEntry {
        id,
        at: at(NOW),
        actor: root(),
        action: Action::SiteRegistered,
        site_id: Some(SiteId::from_u128(number)),
        admin: None,
        changes: vec![
            change(Field::Name, text(&format!("Site {number}"))),
            change(Field::OwnerName, text("Owner")),
            change(Field::ContactEmail, text("owner@example.com")),
            change(Field::LicenseExpiresAt, FieldValue::Time(at(NOW + 86_400))),
            change(Field::IsActive, FieldValue::Flag(true)),
        ],
    }
}

/// The whole trail, the oldest entry first.
async fn trail(store: &Store) -> Vec<AuditEntry> {
    let mut entries = store.audit(AuditFilter::default(), None, 1000).await.unwrap().entries;
    entries.reverse();
    entries
}

/// The oldest entry on a site, found by the site.
async fn first_on(store: &Store, number: u128) -> AuditEntry {
    let filter = AuditFilter { site_id: Some(SiteId::from_u128(number)), ..AuditFilter::default() };
    store.audit(filter, None, 1000).await.unwrap().entries.pop().unwrap()
}

/// How many entries leave to a site's row what they tell.
async fn left_to_rows(store: &Store) -> usize {
    let entries = |tables: &tables::ReadTables<'_>| {
        let rows = tables.audit.iter()?.collect::<Result<Vec<_>, _>>()?;
        Ok(rows.iter().filter(|(_, row)| row.needs_site().is_some()).count())
    };
    store.read(entries).await.unwrap()
}

/// One of each change.
fn changes() -> Vec<Operation> {
    let change = |change: SiteChange| Operation::Update(change);
    vec![
        change(SiteChange { name: Some("Another".parse().unwrap()), ..SiteChange::default() }),
        change(SiteChange { licence: LicenceChange::ExtendDays(30), ..SiteChange::default() }),
        change(SiteChange { is_active: Some(false), ..SiteChange::default() }),
        Operation::Lock(NewLock::now("unpaid".parse().unwrap())),
        Operation::RotateKey { key: key(2).hash(), overlap_hours: 24 },
        Operation::Delete,
    ]
}

#[tokio::test]
async fn a_registration_is_told_as_it_was_whatever_becomes_of_the_site() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    let count = changes().len();
    for number in 1..=count as u128 {
        register(&store, number).await.unwrap();
    }
    let expected: Vec<_> = (1..=count as u64).map(|id| registered(id, id.into())).collect();
    assert_eq!(trail(&store).await, expected);
    assert_eq!(left_to_rows(&store).await, count);
    for (operation, number) in changes().into_iter().zip(1..) {
        done(&store, operation, number).await.unwrap().unwrap();
        assert_eq!(trail(&store).await[..count], expected);
        assert_eq!(first_on(&store, number).await, expected[usize::try_from(number).unwrap() - 1]);
        assert_eq!(left_to_rows(&store).await, count - usize::try_from(number).unwrap());
    }
    // And whatever comes after the first change.
    for operation in
        [Operation::Unlock, Operation::Lock(NewLock::now("again".parse().unwrap())), Operation::Delete]
    {
        done(&store, operation, 1).await.unwrap().unwrap();
        assert_eq!(trail(&store).await[..count], expected);
    }
    let told = trail(&store).await;
    store.close();
    let path = directory.path().join(FILE_NAME);
    check(&path).unwrap();
    assert_eq!(trail(&open_in(directory.path())).await, told);
}

#[tokio::test]
async fn what_changes_nothing_and_a_heartbeat_leave_the_entry_to_the_row() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    register(&store, 1).await.unwrap();
    beat(&store, 1, 60, NOW + 5).await.unwrap();
    done(&store, Operation::Unlock, 1).await.unwrap().unwrap();
    done(&store, Operation::Update(SiteChange::default()), 1).await.unwrap().unwrap();
    assert_eq!(left_to_rows(&store).await, 1);
    assert_eq!(trail(&store).await, [registered(1, 1)]);
}

#[tokio::test]
async fn a_batch_that_changes_a_site_twice_completes_its_entry_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    register(&store, 1).await.unwrap();
    let site = SiteId::from_u128(1);
    let batch =
        [Operation::Lock(NewLock::now("unpaid".parse().unwrap())), Operation::Unlock, Operation::Delete];
    let batch = batch.map(|operation| operation.on(site)).to_vec();
    store.apply_batch(batch, true, None, root(), at(NOW)).await.unwrap().unwrap();
    let told = trail(&store).await;
    assert_eq!((told.len(), &told[0]), (4, &registered(1, 1)));
}

#[tokio::test]
async fn a_pruned_entry_is_no_obstacle_to_a_change() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    for number in 1..=2 {
        register(&store, number).await.unwrap();
    }
    assert_eq!(store.prune_audit(at(NOW + 1)).await.unwrap(), 2);
    done(&store, Operation::Lock(NewLock::now("unpaid".parse().unwrap())), 1).await.unwrap().unwrap();
    done(&store, Operation::Delete, 2).await.unwrap().unwrap();
    let told: Vec<_> = trail(&store).await.into_iter().map(|entry| (entry.id, entry.action)).collect();
    assert_eq!(told, [(3, Action::SiteLocked), (4, Action::SiteDeleted)]);
    store.close();
    check(&directory.path().join(FILE_NAME)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_tells_what_the_database_told_and_so_does_the_restored_one() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    for number in 1..=3 {
        register(&store, number).await.unwrap();
    }
    done(&store, Operation::Lock(NewLock::now("unpaid".parse().unwrap())), 2).await.unwrap().unwrap();
    done(&store, Operation::Delete, 3).await.unwrap().unwrap();
    let told = trail(&store).await;
    let (backup, _) = store.snapshot(directory.path()).await.unwrap();
    // What comes after is not in it.
    done(&store, Operation::Delete, 1).await.unwrap().unwrap();
    store.close();
    restore(&backup, directory.path(), at(NOW)).unwrap();
    let store = open_in(directory.path());
    assert_eq!(trail(&store).await, told);
    done(&store, Operation::Delete, 1).await.unwrap().unwrap();
    assert_eq!(trail(&store).await[..told.len()], told);
}

#[tokio::test]
async fn the_trail_of_an_older_file_is_told_as_it_was_after_the_upgrade_and_after_changes() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(V1, directory.path().join(FILE_NAME)).unwrap();
    let store = open_in(directory.path());
    let told = trail(&store).await;
    let registrations = (1..=5).map(|id| registered(id, id.into()));
    assert_eq!(told[..5], registrations.collect::<Vec<_>>());
    for (operation, number) in
        [(Operation::Lock(NewLock::now("late".parse().unwrap())), 1), (Operation::Delete, 2)]
    {
        done(&store, operation, number).await.unwrap().unwrap();
    }
    assert_eq!(trail(&store).await[..told.len()], told);
    store.close();
    let report = check(&directory.path().join(FILE_NAME)).unwrap();
    assert_eq!(report.schema_version, 2);
}

#[tokio::test]
async fn the_committed_file_of_schema_2_holds_what_its_recipe_makes_and_needs_no_upgrade() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE_NAME);
    recipe::v2(&path).await;
    let made = trail(&open_in(directory.path())).await;
    let report = |path: &Path| check(path).unwrap();
    assert_eq!(report(&path).counts, report(Path::new(V2)).counts);
    std::fs::copy(V2, &path).unwrap();
    assert_eq!(report(&path).schema_version, 2);
    let store = open_in(directory.path());
    assert_eq!(trail(&store).await, made);
    assert_eq!(left_to_rows(&store).await, 2, "of site 1 and of the one that the batch registered");
    done(&store, Operation::Delete, 1).await.unwrap().unwrap();
    assert_eq!(trail(&store).await[..made.len()], made);
    assert!(!directory.path().join("backup").exists());
}

#[tokio::test]
async fn a_registration_in_the_trail_takes_few_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    register(&store, 1).await.unwrap();
    let row = store.read(|tables| tables.audit.get(1)).await.unwrap().unwrap();
    // 19 for what it tells, one of them that no token for programs did it, and
    // its hash.
    assert_eq!(codec::encode(&row).unwrap().len(), 19 + 32);
}

#[tokio::test]
async fn check_finds_an_entry_whose_site_does_not_speak_for_it() {
    for (damage, reason) in [
        (Operation::Delete, "record 1: the field site is out of bounds"),
        (
            Operation::Lock(NewLock::now("unpaid".parse().unwrap())),
            "record 1: site 1 was not registered by it",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let store = open_in(directory.path());
        register(&store, 1).await.unwrap();
        let left = |tables: &tables::ReadTables<'_>| tables.audit.get(1);
        let left = codec::encode(&store.read(left).await.unwrap().unwrap()).unwrap();
        done(&store, damage, 1).await.unwrap().unwrap();
        let put = move |tables: &mut WriteTables<'_>| {
            tables.audit.put_as_it_is(1, &left);
            Ok(())
        };
        store.write_always(put).await.unwrap();
        store.close();
        let said = check(&directory.path().join(FILE_NAME)).unwrap_err().to_string();
        assert!(said.ends_with(&format!("a record in audit cannot be read: {reason}")), "{said}");
    }
}

#[tokio::test]
async fn a_site_has_its_name_in_the_trail_and_a_deleted_one_the_name_that_it_had() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    for number in 1..=2 {
        register(&store, number).await.unwrap();
    }
    let renamed = SiteChange { name: Some("Another".parse().unwrap()), ..SiteChange::default() };
    for number in 1..=2 {
        done(&store, Operation::Update(renamed.clone()), number).await.unwrap().unwrap();
    }
    done(&store, Operation::Delete, 1).await.unwrap().unwrap();
    let names = async |before, limit| {
        let page = store.audit(AuditFilter::default(), before, limit).await.unwrap();
        [1, 2].map(|number| page.site_names.get(&SiteId::from_u128(number)).cloned())
    };
    let another = Some("Another".to_owned());
    assert_eq!(names(None, 1000).await, [another.clone(), another.clone()]);
    // Also on a page without the entry on the deletion.
    assert_eq!(names(Some(2), 1).await, [another.clone(), None]);
    // Where that lies too many entries on, the name is not looked for.
    for _ in 0..20 {
        store.record_login(root(), at(NOW)).await.unwrap();
    }
    assert_eq!(names(Some(2), 1).await[0], another);
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    register(&store, 1).await.unwrap();
    for _ in 0..20 {
        store.record_login(root(), at(NOW)).await.unwrap();
    }
    done(&store, Operation::Delete, 1).await.unwrap().unwrap();
    let page = store.audit(AuditFilter::default(), Some(2), 1).await.unwrap();
    assert_eq!((page.entries.len(), page.site_names.len()), (1, 0));
}

//! The chain of the trail: whatever is done to an entry behind the server's
//! back is found and named, and what the server does itself is no fault.

use super::*;
use crate::domain::chain::{ChainFault, ChainHead, Expectation, FaultKind};
use crate::domain::terms::NewLock;
use crate::store::codec::{AuditRow, ChainRow, SiteRow, decode, encode};
use crate::store::inspect::{check, verify_audit};
use crate::store::restore::restore;
use crate::store::tables::meta;
use crate::store::trail;

const V1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/v1.redb");

fn lock(reason: &str) -> Operation {
    Operation::Lock(NewLock::now(reason.parse().unwrap()))
}

/// Some sixty entries of many kinds: of the registrations some are left to the
/// site's row, and the first ten entries are forgotten.
async fn filled(directory: &Path) -> Store {
    let store = open_in(directory);
    for number in 1..=30 {
        register(&store, number).await.unwrap();
    }
    for number in 11..=20 {
        done(&store, lock(&format!("unpaid {number}")), number).await.unwrap().unwrap();
        store.record_backup(root(), at(NOW)).await.unwrap();
    }
    for number in 14..=17 {
        done(&store, Operation::Unlock, number).await.unwrap().unwrap();
        done(&store, Operation::Delete, number).await.unwrap().unwrap();
    }
    let forget = |tables: &mut WriteTables<'_>| trail::forget(tables, &(1..=10).collect::<Vec<_>>());
    assert_eq!(store.write_always(forget).await.unwrap(), 10);
    store
}

async fn assert_is_whole(store: &Store, entries: u64) -> ChainHead {
    let report = store.verify_audit(None).await.unwrap();
    assert!(report.is_good(), "{report:?}");
    assert_eq!((report.entries, report.head), (entries, store.audit_head().await.unwrap()));
    report.head
}

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }
}

/// The trail as bytes, by number.
type Bytes = Vec<(u64, Vec<u8>)>;

fn put(tables: &mut WriteTables<'_>, id: u64, bytes: &[u8]) {
    tables.audit.put_as_it_is(id, bytes);
}

/// Does something to the trail; gives the number of the first entry at which
/// it is another.
fn tamper(tables: &mut WriteTables<'_>, was: &Bytes, numbers: &mut Numbers) -> u64 {
    let at = numbers.below(was.len());
    let (id, bytes) = &was[at];
    let next = was.last().unwrap().0 + 1;
    match numbers.below(9) {
        // A bit of the record.
        0 => {
            let mut bytes = bytes.clone();
            let bit = numbers.below(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            put(tables, *id, &bytes);
            *id
        }
        // What it tells, in a record that can be read.
        1 => {
            let mut row = decode::<AuditRow>(bytes).unwrap();
            row.tell_otherwise(numbers.below(5));
            put(tables, *id, &encode(&row).unwrap());
            *id
        }
        2 => {
            tables.audit.remove(*id).unwrap();
            *id
        }
        3 => {
            let last = (at + numbers.below(5)).min(was.len() - 1);
            for (id, _) in &was[at..=last] {
                tables.audit.remove(*id).unwrap();
            }
            *id
        }
        // Two in each other's place.
        4 => {
            let other = (at + 1 + numbers.below(was.len() - 1)) % was.len();
            put(tables, *id, &was[other].1);
            put(tables, was[other].0, bytes);
            (*id).min(was[other].0)
        }
        // One that nobody recorded: where none was any more, or at the end.
        5 => {
            let (number, first) = if numbers.below(2) == 0 {
                let number = 1 + numbers.below(10) as u64;
                (number, number)
            } else {
                (next, next)
            };
            put(tables, number, bytes);
            first
        }
        // The row that tells what the entry of a registration does not.
        6 => {
            let id = 1 + 20 + numbers.below(9) as u64;
            let another = tables.sites.get(id + 1).unwrap().unwrap();
            tables.sites.put(id, &another).unwrap();
            id
        }
        // What was forgotten, or up to where.
        7 => {
            let mut chain = tables.meta.value(meta::CHAIN).unwrap().unwrap();
            let first = chain.forget_otherwise(numbers.below(3));
            tables.meta.set(meta::CHAIN, &chain).unwrap();
            first
        }
        // The newest, with the number that comes next.
        _ => {
            tables.meta.set(meta::NEXT_AUDIT, &(next - 1)).unwrap();
            next - 1
        }
    }
}

#[tokio::test]
async fn each_of_a_thousand_tamperings_is_found_and_its_first_entry_named() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path()).await;
    assert_is_whole(&store, 48).await;
    let tampered = |tables: &mut WriteTables<'_>| {
        let ids = tables.audit.keys()?.collect::<Result<Vec<_>, _>>()?;
        let bytes = |id: &u64| tables.audit.get(*id).map(|row| (*id, encode(&row.unwrap()).unwrap()));
        let was = ids.iter().map(bytes).collect::<Result<Bytes, _>>()?;
        let sites: Vec<(u64, SiteRow)> = tables.sites.iter()?.collect::<Result<_, _>>()?;
        let chain: ChainRow = tables.meta.value(meta::CHAIN)?.unwrap();
        let next: u64 = tables.meta.value(meta::NEXT_AUDIT)?.unwrap();
        let mut numbers = Numbers(19);
        for round in 0..1000 {
            let expected = tamper(tables, &was, &mut numbers);
            let fault = trail::verify(tables, None)?.fault;
            assert_eq!(fault.map(|fault| fault.number), Some(expected), "round {round}: {fault:?}");
            let now = tables.audit.keys()?.collect::<Result<Vec<_>, _>>()?;
            for id in now {
                tables.audit.remove(id)?;
            }
            for (id, bytes) in &was {
                put(tables, *id, bytes);
            }
            for (id, row) in &sites {
                tables.sites.put(*id, row)?;
            }
            tables.meta.set(meta::CHAIN, &chain)?;
            tables.meta.set(meta::NEXT_AUDIT, &next)?;
            assert_eq!(trail::verify(tables, None)?.fault, None, "round {round}");
        }
        Ok(())
    };
    store.write_always(tampered).await.unwrap();
}

#[tokio::test]
async fn who_hashes_again_from_a_change_to_the_end_is_found_by_a_head_that_was_noted() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path()).await;
    let noted = assert_is_whole(&store, 48).await;
    done(&store, lock("later"), 30).await.unwrap().unwrap();
    let rewrite = |tables: &mut WriteTables<'_>| {
        let mut row = tables.audit.get(40)?.unwrap();
        row.tell_otherwise(0);
        tables.audit.put(40, &row)?;
        trail::chain_all(tables)
    };
    assert_eq!(store.verify_audit(Some(noted)).await.unwrap().expectation, Some(Expectation::Met));
    store.write_always(rewrite).await.unwrap();
    let report = store.verify_audit(Some(noted)).await.unwrap();
    assert_eq!((report.fault, report.expectation), (None, Some(Expectation::Differs)));
    assert!(!report.is_good());
}

#[tokio::test]
async fn a_site_is_locked_whatever_became_of_the_entry_before_and_the_break_is_named() {
    for bytes in [None, Some([9_u8; 3])] {
        let directory = tempfile::tempdir().unwrap();
        let store = open_in(directory.path());
        for number in 1..=3 {
            register(&store, number).await.unwrap();
        }
        let damage = move |tables: &mut WriteTables<'_>| {
            match bytes {
                Some(bytes) => put(tables, 3, &bytes),
                None => tables.audit.remove(3)?,
            }
            Ok(())
        };
        store.write_always(damage).await.unwrap();
        done(&store, lock("unpaid"), 1).await.unwrap().unwrap();
        let kind = if bytes.is_some() { FaultKind::Unreadable } else { FaultKind::Removed };
        let fault = store.verify_audit(None).await.unwrap().fault;
        assert_eq!(fault, Some(ChainFault { number: 3, kind }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_the_server_does_breaks_the_chain() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    assert_eq!(assert_is_whole(&store, 0).await.number, 0);
    for round in 0..6_i64 {
        let now = at(NOW + round * 1000);
        for number in 0..10 {
            let number = u128::try_from(round).unwrap() * 10 + number;
            let operation = Operation::Register {
                new: new_site(&format!("Site {number}"), NOW + 86_400),
                key: key(1).hash(),
            };
            store.apply(operation.on(SiteId::from_u128(number)), root(), now).await.unwrap().unwrap();
        }
        // One in the midst of a batch that is refused leaves no gap.
        let batch = vec![lock("a").on(SiteId::from_u128(0)), lock("b").on(SiteId::from_u128(9999))];
        store.apply_batch(batch, true, None, root(), now).await.unwrap().unwrap_err();
        store
            .apply(lock(&format!("late {round}")).on(SiteId::from_u128(1)), root(), now)
            .await
            .unwrap()
            .unwrap();
        beat(&store, 2, 1, NOW + round * 1000).await.unwrap();
    }
    let head = assert_is_whole(&store, 66).await;
    let noted = store.verify_audit(Some(head)).await.unwrap();
    assert_eq!(noted.expectation, Some(Expectation::Met));
    // Forgetting, twice, and to the end.
    for (before, left) in [(NOW + 1, 55), (NOW + 3001, 22)] {
        store.prune_audit(at(before)).await.unwrap();
        assert_is_whole(&store, left).await;
    }
    assert_eq!(assert_is_whole(&store, 22).await, head);
    // A backup, and what is restored of it, has the same head.
    let (backup, _) = store.snapshot(directory.path()).await.unwrap();
    store.close();
    restore(&backup, directory.path(), at(NOW)).unwrap();
    let path = directory.path().join(FILE_NAME);
    check(&path).unwrap();
    let found = verify_audit(&path, Some(head)).unwrap();
    assert!(found.is_good(), "{found:?}");
    let store = open_in(directory.path());
    assert_eq!(assert_is_whole(&store, 22).await, head);
    store.prune_audit(at(NOW + 9_000)).await.unwrap();
    assert_eq!(assert_is_whole(&store, 0).await, head);
    done(&store, lock("after all was forgotten"), 5).await.unwrap().unwrap();
    assert_eq!(assert_is_whole(&store, 1).await.number, 67);
}

#[tokio::test]
async fn entries_that_a_wrong_clock_dated_stay_between_what_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path()).await;
    let forget = |ids: Vec<u64>| store.write_always(move |tables| trail::forget(tables, &ids));
    assert_eq!(forget(vec![12, 13, 15, 13]).await.unwrap(), 3);
    let report = store.verify_audit(None).await.unwrap();
    assert!(report.is_good());
    let runs: Vec<_> = report.chain.runs().iter().map(|run| (run.first, run.last)).collect();
    assert_eq!(runs, [(1, 10), (12, 13), (15, 15)]);
    assert_eq!(forget(vec![11, 14]).await.unwrap(), 2);
    assert_eq!(store.verify_audit(None).await.unwrap().chain.runs().len(), 1);
    assert_is_whole(&store, 43).await;
}

#[tokio::test]
async fn the_trail_of_a_file_of_version_1_is_chained_at_its_upgrade_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE_NAME);
    std::fs::copy(V1, &path).unwrap();
    let at_rest = verify_audit(&path, None).unwrap();
    assert!(at_rest.is_good(), "{at_rest:?}");
    assert_eq!(check(&path).unwrap().schema_version, 1, "looking at it changes nothing");
    let store = open_in(directory.path());
    let upgraded = store.verify_audit(None).await.unwrap();
    assert_eq!(upgraded, at_rest);
    assert_eq!(upgraded.chain.upgraded, upgraded.head.number);
    assert!(upgraded.head.number > 5);
    done(&store, lock("after the upgrade"), 1).await.unwrap().unwrap();
    let report = store.verify_audit(Some(upgraded.head)).await.unwrap();
    assert!(report.is_good());
    assert_eq!(report.chain.upgraded + 1, report.head.number);
}

#[tokio::test]
async fn a_trail_of_version_1_of_which_some_was_forgotten_is_chained_over_the_gaps() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE_NAME);
    std::fs::copy(V1, &path).unwrap();
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut audit = transaction.open_table(redb::TableDefinition::<u64, &[u8]>::new("audit_v1")).unwrap();
    let last = redb::ReadableTable::last(&audit).unwrap().unwrap().0.value();
    for id in [1, 2, 4, last] {
        audit.remove(id).unwrap();
    }
    drop(audit);
    transaction.commit().unwrap();
    drop(database);
    let store = open_in(directory.path());
    let head = assert_is_whole(&store, last - 4).await;
    assert_eq!(head.number, last);
    done(&store, lock("after the upgrade"), 1).await.unwrap().unwrap();
    assert_is_whole(&store, last - 3).await;
}

//! Which files are sealed, so that the next start need not look at all of them.

use super::files::{AUDIT_OF_V1, v1_in};
use super::*;

#[tokio::test]
async fn a_file_with_a_record_that_could_not_be_read_gets_no_seal() {
    let directory = tempfile::tempdir().unwrap();
    let path = v1_in(directory.path());
    let put = |row: &'static [u8]| {
        let opened = open::open(&path, migrate::STEPS).unwrap();
        let transaction = opened.database.begin_write().unwrap();
        WriteTables::of(&transaction).audit.put_as_it_is(3, row);
        transaction.commit().unwrap();
        drop(opened);
    };
    let sealed = || seal::take_off(&File::open(&path).unwrap());
    put(&[1, 250]);
    let store = Store::open(&path).unwrap();
    let read = store.audit(AuditFilter::default(), None, 100).await;
    assert!(matches!(read, Err(Unavailable::Record { .. })));
    store.close();
    assert!(!sealed(), "by a reader");
    let store = Store::open(&path).unwrap();
    assert!(matches!(store.prune_audit(Timestamp::MAX).await, Err(Unavailable::Record { .. })));
    store.close();
    assert!(!sealed(), "by a writer");
    let store = Store::open(&path).unwrap();
    let snapshot = store.snapshot(directory.path()).await;
    assert!(matches!(snapshot, Err(SnapshotError::Verify { .. })), "{snapshot:?}");
    store.close();
    assert!(!sealed(), "by a snapshot");
    put(AUDIT_OF_V1);
    Store::open(&path).unwrap().close();
    assert!(sealed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_gets_no_seal_after_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE_NAME);
    let sealed = || seal::take_off(&File::open(&path).unwrap());
    let store = Store::open(&path).unwrap();
    let written = store.write_always::<(), _>(|_| panic!("on purpose")).await;
    assert!(matches!(written, Err(Unavailable::Panicked)));
    store.close();
    assert!(!sealed(), "of a write");
    let store = Store::open(&path).unwrap();
    let read = store.read::<(), _>(|_| panic!("on purpose")).await;
    assert!(matches!(read, Err(Unavailable::Panicked)));
    store.close();
    assert!(!sealed(), "of a read");
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

//! A disk that fills up or dies, and comes back.

use super::simulated::{Mood, SimulatedDisk};
use super::*;

async fn with_sites(disk: &SimulatedDisk) -> Store {
    let store = Store::on_disk(disk.disk()).unwrap();
    for number in 1..=20 {
        register(&store, number).await.unwrap();
    }
    store
}

async fn takes_a_write(store: &Store, number: u128) {
    let probe = store.clone();
    tokio::task::block_in_place(|| wait_until("writes are taken again", || probe.takes_writes()));
    register(store, number).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_serves_reads_and_is_got_over() {
    let disk = SimulatedDisk::holding(Vec::new());
    let store = with_sites(&disk).await;
    for round in 0..3 {
        disk.set(Mood::Full);
        let refused = register(&store, 1000).await;
        assert!(matches!(refused, Err(Unavailable::Storage(_))), "{refused:?}");
        assert!(!store.takes_writes());
        assert!(matches!(store.probe().await, Err(Unavailable::Storage(_))));
        for number in 1..=20 {
            assert_eq!(site(&store, number).await.unwrap().id, u64::try_from(number).unwrap());
        }
        disk.set(Mood::Well);
        takes_a_write(&store, 100 + round).await;
        assert!(site(&store, 1000).await.is_none());
    }
    store.close();
    let reopened = Store::on_disk(disk.disk()).unwrap();
    assert!(site(&reopened, 20).await.is_some() && site(&reopened, 102).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_disk_refuses_everything_and_is_got_over() {
    let disk = SimulatedDisk::holding(Vec::new());
    let store = with_sites(&disk).await;
    disk.set(Mood::Dead);
    assert!(matches!(register(&store, 1000).await, Err(Unavailable::Storage(_))));
    assert!(matches!(store.site(SiteId::from_u128(1)).await, Err(Unavailable::Storage(_))));
    // First it can be read again, then written.
    disk.set(Mood::Full);
    let reads = || tokio::runtime::Handle::current().block_on(store.site(SiteId::from_u128(1))).is_ok();
    tokio::task::block_in_place(|| wait_until("reads are served again", reads));
    assert!(!store.takes_writes());
    disk.set(Mood::Well);
    takes_a_write(&store, 100).await;
    assert!(site(&store, 20).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_meets_a_fault_is_run_again() {
    let disk = SimulatedDisk::holding(Vec::new());
    let store = with_sites(&disk).await;
    let attempts = std::sync::atomic::AtomicU32::new(0);
    let found = store
        .read(move |tables| {
            if attempts.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
                return Err(redb::StorageError::PreviousIo.into());
            }
            tables.counts()
        })
        .await
        .unwrap();
    assert!(found.contains(&("sites", 20)));
    takes_a_write(&store, 100).await;
}

#[tokio::test]
async fn a_closed_store_refuses_everything() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    let clone = store.clone();
    store.close();
    assert!(matches!(clone.probe().await, Err(Unavailable::Closed)));
    assert!(matches!(clone.has_admin().await, Err(Unavailable::Closed)));
    // Its file is free for the next.
    open_in(directory.path());
}

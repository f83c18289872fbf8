//! Many writers, and what each of them may not do to the others.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::simulated::{Mood, SimulatedDisk};
use super::*;
use crate::domain::LockReason;
use crate::store::tables::meta::COUNT;

async fn all<T: Send + 'static>(
    work: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = work.into_iter().map(tokio::spawn).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

/// A store whose writer is busy with a commit that does not end before
/// `release`: what is written now waits together.
fn stuck() -> (Store, SimulatedDisk) {
    let disk = SimulatedDisk::holding(Vec::new());
    let store = Store::on_disk(disk.disk()).unwrap();
    disk.set(Mood::Stuck);
    let syncs = disk.syncs();
    let probe = store.clone();
    tokio::spawn(async move { probe.probe().await });
    (store, {
        wait_for_sync(&disk, syncs);
        disk
    })
}

fn wait_for_sync(disk: &SimulatedDisk, before: usize) {
    tokio::task::block_in_place(|| wait_until("the writer syncs", || disk.syncs() > before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_and_the_writes_in_it_all_happen() {
    let (store, disk) = stuck();
    let refused = Arc::new(AtomicUsize::new(0));
    let writes = (0..17_500_u32).map(|_| {
        let (store, refused) = (store.clone(), Arc::clone(&refused));
        async move {
            let result = store.write_always(|tables| tables.next_number(COUNT)).await;
            if matches!(result, Err(Unavailable::QueueFull)) {
                refused.fetch_add(1, Ordering::Relaxed);
            }
            result
        }
    });
    let writes = tokio::spawn(all(writes.collect::<Vec<_>>()));
    tokio::task::block_in_place(|| wait_until("the queue is full", || refused.load(Ordering::Relaxed) > 0));
    disk.set(Mood::Well);
    let results = writes.await.unwrap();
    let mut numbers: Vec<u64> = results.iter().filter_map(|result| result.as_ref().ok().copied()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!(numbers.len() + refused.load(Ordering::Relaxed), results.len());
    store.probe().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_answered_though_the_runtime_of_the_first_of_their_batch_has_ended() {
    let (store, disk) = stuck();
    let elsewhere = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let write = || {
        let store = store.clone();
        async move { store.write_always(|tables| tables.next_number(COUNT)).await }
    };
    let waiting = store.writes_waiting();
    let lost = elsewhere.spawn(write());
    tokio::task::block_in_place(|| wait_until("the first waits", || store.writes_waiting() > waiting));
    let waiting = store.writes_waiting();
    let others: Vec<_> = (0..3).map(|_| tokio::spawn(write())).collect();
    tokio::task::block_in_place(|| wait_until("the others wait", || store.writes_waiting() == waiting + 3));
    elsewhere.shutdown_background();
    disk.set(Mood::Well);
    let mut numbers = Vec::new();
    for other in others {
        numbers.push(other.await.unwrap().unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3, 4]);
    assert!(lost.await.unwrap_err().is_cancelled());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_or_a_fault_in_one_write_takes_down_no_other_of_its_batch() {
    let (store, disk) = stuck();
    let syncs = disk.syncs();
    let writes = (0..30_u32).map(|number| {
        let store = store.clone();
        async move {
            let result = store
                .write(move |tables| {
                    let id = tables.next_number(COUNT)?;
                    match number % 10 {
                        3 => panic!("on purpose"),
                        5 => Err(error::unreadable("count", "on purpose")),
                        7 => Ok(Err("refused")),
                        _ => Ok(Ok(id)),
                    }
                })
                .await;
            (number, result)
        }
    });
    let writes = tokio::spawn(all(writes.collect::<Vec<_>>()));
    disk.set(Mood::Well);
    for (number, result) in writes.await.unwrap() {
        match number % 10 {
            3 => assert!(matches!(result, Err(Unavailable::Panicked))),
            5 => assert!(matches!(result, Err(Unavailable::Record { table: "count", .. }))),
            7 => assert_eq!(result.unwrap(), Err("refused")),
            _ => assert!(result.unwrap().is_ok()),
        }
    }
    assert!(disk.syncs() > syncs);
    assert!(store.takes_writes());
    assert_eq!(register(&store, 1).await.unwrap().id, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_whose_batch_is_run_again_is_admitted_once() {
    let (store, disk) = stuck();
    let asked = Arc::new(AtomicUsize::new(0));
    let registered = tokio::spawn({
        let store = store.clone();
        async move { register(&store, 1).await }
    });
    let beat = |admits: bool| {
        let (store, asked) = (store.clone(), Arc::clone(&asked));
        let heartbeat = Heartbeat { version: "1.0".parse().unwrap(), uptime_seconds: 1 };
        let admit = move |_| {
            asked.fetch_add(1, Ordering::Relaxed);
            if admits { Ok(()) } else { Err("too often") }
        };
        let id = SiteId::from_u128(1);
        tokio::spawn(async move {
            store.record_heartbeat(Call { site_id: id, ..call(1, heartbeat) }, at(NOW), admit).await
        })
    };
    let in_queue = |count| {
        tokio::task::block_in_place(|| wait_until("it waits", || store.writes_waiting() == count));
    };
    in_queue(1);
    let beats = [beat(true), beat(false)];
    in_queue(3);
    let panics = tokio::spawn({
        let store = store.clone();
        async move { store.write_always::<(), _>(|_| panic!("on purpose")).await }
    });
    in_queue(4);
    disk.set(Mood::Well);
    registered.await.unwrap().unwrap();
    assert!(matches!(panics.await.unwrap(), Err(Unavailable::Panicked)));
    let [admitted, refused] = beats;
    assert!(admitted.await.unwrap().unwrap().unwrap().verdict.licensed);
    assert_eq!(refused.await.unwrap().unwrap().unwrap_err(), HeartbeatRefused::NotAdmitted("too often"));
    assert_eq!(asked.load(Ordering::Relaxed), 2, "once for each heartbeat");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_after_an_answered_lock_is_told_of_it_however_they_race() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    register(&store, 1).await.unwrap();
    for round in 0..50 {
        let reason: LockReason = format!("Reason {round}").parse().unwrap();
        let racing = {
            let store = store.clone();
            tokio::spawn(async move { beat(&store, 1, round, NOW).await })
        };
        done(&store, Operation::Lock(NewLock::now(reason.clone())), 1).await.unwrap().unwrap();
        assert_eq!(beat(&store, 1, round, NOW).await.unwrap().lock_reason, Some(reason.clone()));
        // The one that raced got either state whole.
        let told = racing.await.unwrap().unwrap().lock_reason;
        assert!(told.is_none() || told == Some(reason));
        done(&store, Operation::Unlock, 1).await.unwrap().unwrap();
        assert_eq!(beat(&store, 1, round, NOW).await.unwrap().lock_reason, None);
    }
}

#[tokio::test]
async fn a_heartbeat_in_the_very_second_of_expiry_is_unlicensed_and_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    let expiry = register(&store, 1).await.unwrap().terms.license_expires_at.unix();
    assert!(beat(&store, 1, 1, expiry - 1).await.unwrap().licensed);
    assert!(!beat(&store, 1, 2, expiry).await.unwrap().licensed);
    assert_eq!(site(&store, 1).await.unwrap().seen.unwrap().at, at(expiry));
    // The clock steps back to before the expiry: the licence holds again, and
    // the site was not unseen.
    assert!(beat(&store, 1, 3, expiry - 10).await.unwrap().licensed);
    let seen = site(&store, 1).await.unwrap().seen.unwrap();
    assert_eq!((seen.at, seen.heartbeat.uptime_seconds), (at(expiry), 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_changes_nothing_costs_no_commit_and_one_that_does_costs_one() {
    let disk = SimulatedDisk::holding(Vec::new());
    let store = Store::on_disk(disk.disk()).unwrap();
    register(&store, 1).await.unwrap();
    let syncs = disk.syncs();
    done(&store, Operation::Unlock, 1).await.unwrap().unwrap();
    assert_eq!(done(&store, Operation::Unlock, 2).await.unwrap().unwrap_err(), Refused::NotFound);
    assert_eq!(store.forget_requests(at(NOW)).await.unwrap(), 0);
    assert_eq!(disk.syncs(), syncs);
    beat(&store, 1, 1, NOW).await.unwrap();
    let after_beat = disk.syncs();
    assert!(after_beat > syncs);
    store.record_failed_login(None, HERE, at(NOW)).await.unwrap();
    assert!(disk.syncs() > after_beat);
}

#[tokio::test]
async fn the_trail_tells_from_where_admins_have_logged_in() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    let elsewhere: IpAddr = "2001:db8::1".parse().unwrap();
    let anna = |ip| Actor { kind: ActorKind::Admin, name: "anna".to_owned(), token: None, ip: Some(ip) };
    store.record_login(anna(HERE), at(NOW)).await.unwrap();
    store.record_backup(anna("192.0.2.1".parse().unwrap()), at(NOW + 1)).await.unwrap();
    store.record_failed_login(None, "192.0.2.2".parse().unwrap(), at(NOW + 2)).await.unwrap();
    store.record_login(anna(elsewhere), at(NOW + 3)).await.unwrap();
    assert_eq!(store.recent_logins().await.unwrap(), [(elsewhere, at(NOW + 3)), (HERE, at(NOW))]);
}

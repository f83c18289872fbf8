//! The copyable file and its dated copies.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::simulated::Dice;
use super::*;
use crate::store::inspect::check;

/// The clock of a test that dates backups; one test moves it.
static CLOCK: AtomicI64 = AtomicI64::new(NOW);

const LONG: Duration = Duration::from_secs(3600);

fn schedule(directory: &Path, after_change: Duration, every: Duration) -> Schedule {
    let directory = directory.join(crate::store::backups::DIRECTORY);
    Schedule { directory, after_change, every, keep_daily: 0, clock: || at(NOW) }
}

fn snapshot_in(directory: &Path) -> PathBuf {
    directory.join(crate::store::backups::DIRECTORY).join(FILE_NAME)
}

fn count(path: &Path, table: &str) -> Option<u64> {
    let report = check(path).ok()?;
    report.counts.into_iter().find(|(name, _)| *name == table).map(|(_, count)| count)
}

/// Waits for the first backup.
fn first(store: &Store, path: &Path) {
    wait_until("there is a backup", || {
        path.exists() && store.backup_state().is_some_and(|state| state.bytes > 0)
    });
}

fn modified(path: &Path) -> std::time::SystemTime {
    path.metadata().unwrap().modified().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admins_change_is_soon_in_the_backup_and_only_its_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    let path = snapshot_in(directory.path());
    store.keep_backups(schedule(directory.path(), Duration::ZERO, LONG)).unwrap();
    for number in 1..=5 {
        register(&store, number).await.unwrap();
    }
    wait_until("all sites are in the backup", || count(&path, "sites") == Some(5));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let state = store.backup_state().unwrap();
    assert_eq!((state.last_success_at, state.last_error), (Some(at(NOW)), None));
    assert!(check(&path).unwrap().closed_cleanly);
    assert!(!directory.path().join("backup/.sitewarden.redb.part").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_wait_for_the_interval_and_nothing_is_made_when_nothing_changed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    register(&store, 1).await.unwrap();
    let path = snapshot_in(directory.path());
    store.keep_backups(schedule(directory.path(), Duration::ZERO, LONG)).unwrap();
    first(&store, &path);
    let before = modified(&path);
    beat(&store, 1, 1, NOW).await.unwrap();
    store.probe().await.unwrap();
    // Not made for the heartbeat; at the end it is.
    assert!(store.backup_state().unwrap().waiting.is_some());
    assert_eq!(count(&path, "heartbeats"), Some(0));
    assert_eq!(modified(&path), before);
    store.close();
    assert_eq!(count(&path, "heartbeats"), Some(1));

    // Nothing changes in this run but the first backup is made, as ever.
    let store = open_in(directory.path());
    store.keep_backups(schedule(directory.path(), Duration::ZERO, Duration::ZERO)).unwrap();
    wait_until("the first is made", || {
        store.backup_state().unwrap().milliseconds > 0 || modified(&path) > before
    });
    beat(&store, 1, 2, NOW + 5).await.unwrap();
    wait_until("the heartbeat is in the backup", || {
        check(&path).is_ok_and(|report| report.newest_heartbeat == Some(at(NOW + 5)))
    });
    let before = modified(&path);
    store.probe().await.unwrap();
    assert_eq!(store.backup_state().unwrap().waiting, None);
    store.close();
    assert_eq!(modified(&path), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_backup_leaves_the_one_before_and_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    let path = snapshot_in(directory.path());
    store.keep_backups(schedule(directory.path(), Duration::ZERO, Duration::from_millis(1))).unwrap();
    first(&store, &path);
    // A directory in the place of the file that it writes first.
    let part = directory.path().join("backup/.sitewarden.redb.part");
    wait_until("the obstacle is in place", || std::fs::create_dir(&part).is_ok());
    std::fs::write(part.join("x"), "").unwrap();
    register(&store, 1).await.unwrap();
    wait_until("the failure is told", || store.backup_state().unwrap().last_error.is_some());
    wait_until("its change waits", || store.backup_state().unwrap().waiting.is_some());
    assert_eq!(count(&path, "sites"), Some(0));
    std::fs::remove_dir_all(&part).unwrap();
    wait_until("it is made after all", || count(&path, "sites") == Some(1));
    // The file has its place before its maker has told so.
    wait_until("the failure is over", || store.backup_state().unwrap().last_error.is_none());
}

/// Whether the clock of the next test panics.
static PANICS: AtomicBool = AtomicBool::new(true);

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_panics_is_told_of_tried_again_and_costs_the_file_its_seal() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    let path = snapshot_in(directory.path());
    let clock = || {
        assert!(!PANICS.load(Ordering::Relaxed), "on purpose");
        at(NOW)
    };
    let schedule = Schedule { clock, ..schedule(directory.path(), Duration::ZERO, Duration::from_millis(1)) };
    store.keep_backups(schedule).unwrap();
    let error = || store.backup_state().unwrap().last_error;
    wait_until("the panic is told", || error().is_some());
    assert!(error().unwrap().starts_with("making it panicked"), "{:?}", error());
    assert!(!path.exists());
    PANICS.store(false, Ordering::Relaxed);
    first(&store, &path);
    wait_until("the failure is over", || error().is_none());
    register(&store, 1).await.unwrap();
    wait_until("changes are backed up again", || count(&path, "sites") == Some(1));
    store.close();
    let sealed = seal::take_off(&File::open(directory.path().join(FILE_NAME)).unwrap());
    assert!(!sealed, "the next start checks the file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_damaged_under_its_seal_gives_no_bad_backup_and_no_silence() {
    let sample = tempfile::tempdir().unwrap();
    let store = open_in(sample.path());
    for number in 1..=300 {
        register(&store, number).await.unwrap();
    }
    store.close();
    let sample = std::fs::read(sample.path().join(FILE_NAME)).unwrap();
    let (mut dice, mut told, mut made) = (Dice(20_261_125), 0, 0);
    for _ in 0..40 {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join(FILE_NAME);
        let mut bytes = sample.clone();
        // As a disk gives back that has lost a sector.
        let sector = 8 + dice.roll(bytes.len() / 512 - 8);
        bytes[sector * 512..(sector + 1) * 512].fill(0xa5);
        std::fs::write(&database, bytes).unwrap();
        let open = || File::options().read(true).write(true).open(&database).unwrap();
        seal::put_on(&open()).unwrap();
        let Ok(store) = Store::open(&database) else {
            continue;
        };
        let path = snapshot_in(directory.path());
        store.keep_backups(schedule(directory.path(), Duration::ZERO, LONG)).unwrap();
        let state = || store.backup_state().unwrap();
        wait_until("it is made or told", || state().last_error.is_some() || state().milliseconds > 0);
        let failed = state().last_error;
        store.close();
        if failed.is_some() {
            told += 1;
            assert!(!path.exists(), "{failed:?}");
            assert!(!seal::take_off(&open()), "the next start must check it: {failed:?}");
        } else {
            made += 1;
            assert_eq!(count(&path, "sites"), Some(300));
        }
    }
    println!("40 files with a lost sector: {told} backups failed and told, {made} held all");
    assert!(told > 0 && made > 0, "{told} told, {made} made: the test told nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_does_not_get_into_the_place_of_a_good_backup() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    let path = snapshot_in(directory.path());
    store.keep_backups(schedule(directory.path(), Duration::ZERO, Duration::from_millis(1))).unwrap();
    register(&store, 1).await.unwrap();
    wait_until("the site is in the backup", || count(&path, "sites") == Some(1));
    let damage = |tables: &mut WriteTables<'_>| {
        tables.requests.put_as_it_is([1; 32].as_slice(), [1, 250].as_slice());
        Ok(())
    };
    store.write_always(damage).await.unwrap();
    wait_until("it is told", || store.backup_state().unwrap().last_error.is_some());
    let error = store.backup_state().unwrap().last_error.unwrap();
    assert!(error.contains("a record in requests cannot be read: the record is malformed"), "{error}");
    assert_eq!(count(&path, "sites"), Some(1));
    assert!(check(&path).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_backup_is_made_for_a_failed_login_and_that_for_a_login_or_a_backup_waits() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    let path = snapshot_in(directory.path());
    store.keep_backups(schedule(directory.path(), Duration::ZERO, LONG)).unwrap();
    first(&store, &path);
    let before = modified(&path);
    let waiting = || store.backup_state().unwrap().waiting;
    wait_until("all is in the backup", || waiting().is_none());
    store.record_failed_login(None, HERE, at(NOW)).await.unwrap();
    store.forget_strangers(at(NOW + 1)).await.unwrap();
    store.record_failed_login(None, HERE, at(NOW)).await.unwrap();
    assert_eq!(waiting(), None);
    let admin = Actor { kind: ActorKind::Admin, name: "anna".to_owned(), token: None, ip: Some(HERE) };
    store.record_login(admin.clone(), at(NOW)).await.unwrap();
    store.record_backup(admin, at(NOW)).await.unwrap();
    assert!(waiting().is_some());
    assert_eq!(modified(&path), before);
    // The last one, at the end, has the entries, and no failed login.
    store.close();
    assert_eq!((count(&path, "audit"), count(&path, "strangers")), (Some(2), Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_left_over_part_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("backup")).unwrap();
    let part = directory.path().join("backup/.sitewarden.redb.part");
    std::fs::write(&part, "half").unwrap();
    let store = open_in(directory.path());
    store.keep_backups(schedule(directory.path(), LONG, LONG)).unwrap();
    assert!(!part.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_backup_of_a_day_gets_its_date_and_the_oldest_go() {
    let directory = tempfile::tempdir().unwrap();
    let path = snapshot_in(directory.path());
    let clock = || at(CLOCK.load(Ordering::Relaxed));
    let store = open_in(directory.path());
    let schedule = Schedule { keep_daily: 3, clock, ..schedule(directory.path(), Duration::ZERO, LONG) };
    store.keep_backups(schedule).unwrap();
    let dated = || {
        let mut names: Vec<String> = std::fs::read_dir(path.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("sitewarden-"))
            .collect();
        names.sort();
        names
    };
    std::fs::write(path.with_file_name("sitewarden-not-a-date.redb"), "").unwrap();
    for day in 0..5 {
        CLOCK.store(NOW + day * 86_400, Ordering::Relaxed);
        register(&store, u128::try_from(day).unwrap()).await.unwrap();
        let expected = format!("sitewarden-{}.redb", &at(NOW + day * 86_400).to_string()[..10]);
        wait_until("the day has its copy", || dated().contains(&expected));
    }
    wait_until("the oldest went", || dated().len() == 4);
    let days = ["2030-03-19", "2030-03-20", "2030-03-21"].map(|day| format!("sitewarden-{day}.redb"));
    assert_eq!(dated()[..3], days);
    for day in days {
        check(&path.with_file_name(day)).unwrap();
    }
}

/// The clock of the test below.
static LEAPING: AtomicI64 = AtomicI64::new(NOW);

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_leaps_makes_no_dated_copy_and_removes_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = snapshot_in(directory.path());
    let store = open_in(directory.path());
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    // Of a clock that was wrong before.
    let future = "sitewarden-2099-01-01.redb";
    std::fs::write(path.with_file_name(future), "").unwrap();
    let clock = || at(LEAPING.load(Ordering::Relaxed));
    let schedule = Schedule { keep_daily: 1, clock, ..schedule(directory.path(), Duration::ZERO, LONG) };
    let there = |name: &str| path.with_file_name(name).exists();
    store.keep_backups(schedule).unwrap();
    wait_until("the day has its copy", || there("sitewarden-2030-03-17.redb"));
    LEAPING.store(NOW + 800 * 86_400, Ordering::Relaxed);
    register(&store, 1).await.unwrap();
    wait_until("a backup is made all the same", || count(&path, "sites") == Some(1));
    LEAPING.store(NOW + 86_400, Ordering::Relaxed);
    register(&store, 2).await.unwrap();
    wait_until("the next day has its copy", || there("sitewarden-2030-03-18.redb"));
    wait_until("that of the day before went", || !there("sitewarden-2030-03-17.redb"));
    store.close();
    assert!(there(future) && there("sitewarden-2030-03-18.redb"));
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 3, "no other was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_to_hand_out_is_whole_and_leaves_no_file_behind() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    register(&store, 1).await.unwrap();
    let before = std::fs::read_dir(directory.path()).unwrap().count();
    let (mut file, bytes) = store.snapshot(directory.path()).await.unwrap();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), before);
    let copy = directory.path().join("copy.redb");
    let copied = io::copy(&mut file, &mut File::create(&copy).unwrap()).unwrap();
    assert_eq!(copied, bytes);
    assert_eq!(count(&copy, "sites"), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_would_fill_the_disk_is_not_begun() {
    let error = snapshot::check_room(Path::new("/tmp/x.redb"), u64::MAX / 2).unwrap_err().to_string();
    assert!(error.starts_with("/tmp/x.redb needs ") && error.ends_with(" free: make room"), "{error}");
}

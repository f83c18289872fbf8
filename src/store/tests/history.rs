//! Which days sites were heard on.

use jiff::tz::TimeZoneDatabase;

use super::*;
use crate::domain::history::DAYS;
use crate::domain::{Day, Rules, SiteChange, Zones};
use crate::store::inspect::check;

const DAY: i64 = 86_400;
/// The first second of a day in UTC.
const MIDNIGHT: i64 = NOW - NOW % DAY;

/// A heartbeat of the site `number` from an address, with a version.
async fn report(store: &Store, number: u128, now: i64, ip: [u8; 4], version: &str) {
    let heartbeat = Heartbeat { version: version.parse().unwrap(), uptime_seconds: 1 };
    let call = Call { ip: ip.into(), ..call(number, heartbeat) };
    store.record_heartbeat(call, at(now), |_| Ok::<(), ()>(())).await.unwrap().unwrap();
}

async fn days(store: &Store, number: u128, now: i64) -> Vec<(String, u32)> {
    let history = store.site_history(SiteId::from_u128(number), at(now)).await.unwrap().unwrap();
    let count = |day: Option<Day>| day.map_or(0, |day| day.heartbeats);
    history.days.into_iter().map(|(date, day)| (date.to_string(), count(day))).collect()
}

/// How many rows a table has.
async fn rows(store: &Store, table: &'static str) -> u64 {
    let counts = store.read(|tables| tables.counts()).await.unwrap();
    counts.into_iter().find(|(name, _)| *name == table).unwrap().1
}

#[tokio::test]
async fn a_day_is_written_down_once_when_the_next_begins() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    register(&store, 1).await.unwrap();
    register(&store, 2).await.unwrap();
    assert_eq!(days(&store, 1, MIDNIGHT).await, []);
    for (second, ip) in [(10, 1), (20, 1), (30, 2), (DAY - 1, 1)] {
        report(&store, 1, MIDNIGHT + second, [192, 0, 2, ip], "2.4").await;
    }
    report(&store, 2, MIDNIGHT + 40, [192, 0, 2, 9], "2.4").await;
    assert_eq!((rows(&store, "history").await, rows(&store, "heartbeat_days").await), (0, 0));
    report(&store, 1, MIDNIGHT + DAY, [192, 0, 2, 1], "2.5").await;
    assert_eq!((rows(&store, "history").await, rows(&store, "heartbeat_days").await), (1, 1));
    report(&store, 1, MIDNIGHT + 3 * DAY, [192, 0, 2, 1], "2.5").await;
    let now = MIDNIGHT + 4 * DAY;
    let counts: Vec<_> = days(&store, 1, now).await.into_iter().map(|(_, count)| count).collect();
    assert_eq!(counts, [4, 1, 0, 1, 0]);
    let history = store.site_history(SiteId::from_u128(1), at(now)).await.unwrap().unwrap();
    let first = history.days[0].1.clone().unwrap();
    assert_eq!((first.first_at, first.last_at), (at(MIDNIGHT + 10), at(MIDNIGHT + DAY - 1)));
    let named: Vec<_> = first.addresses.values.iter().map(ToString::to_string).collect();
    assert_eq!(
        (named, first.versions.values.len()),
        (vec!["192.0.2.2".to_owned(), "192.0.2.1".to_owned()], 1)
    );
    let statistics = store.statistics(at(now)).await.unwrap();
    let heartbeats: Vec<_> = statistics.heartbeats.iter().map(|(_, count)| *count).collect();
    assert_eq!(heartbeats, [5, 1, 0, 1, 0], "that of the other site is still beside its last heartbeat");
    assert_eq!(statistics.by_version.values, [("2.4".to_owned(), 1), ("2.5".to_owned(), 1)]);
    store.close();
    check(&directory.path().join(FILE_NAME)).unwrap();
}

#[tokio::test]
async fn days_are_those_of_the_site_and_of_the_configured_zone_else() {
    let directory = tempfile::tempdir().unwrap();
    let zones = Zones::new(TimeZoneDatabase::from_env());
    let rules = Rules { zones, time_zone: "Asia/Tokyo".parse().unwrap(), ..Rules::default() };
    let store = open_in(directory.path()).with_rules(rules);
    for (number, zone) in [(1, Some("America/New_York")), (2, None)] {
        register(&store, number).await.unwrap();
        let change =
            SiteChange { time_zone: Some(zone.map(|zone| zone.parse().unwrap())), ..SiteChange::default() };
        done(&store, Operation::Update(change), number).await.unwrap().unwrap();
        // 18:00 UTC: the next day in Tokyo, the same in New York.
        report(&store, number, MIDNIGHT + 18 * 3600, [192, 0, 2, 1], "1").await;
    }
    let (here, next) = ("2030-03-17".to_owned(), "2030-03-18".to_owned());
    assert_eq!(days(&store, 1, MIDNIGHT + 18 * 3600).await, [(here, 1)]);
    assert_eq!(days(&store, 2, MIDNIGHT + 18 * 3600).await, [(next.clone(), 1)]);
    // From New York to Tokyo: the day that has begun ends as it would have.
    let change = SiteChange { time_zone: Some(None), ..SiteChange::default() };
    done(&store, Operation::Update(change), 1).await.unwrap().unwrap();
    report(&store, 1, MIDNIGHT + 20 * 3600, [192, 0, 2, 1], "1").await;
    report(&store, 1, MIDNIGHT + 30 * 3600, [192, 0, 2, 1], "1").await;
    let days = days(&store, 1, MIDNIGHT + 30 * 3600).await;
    assert_eq!(days, [("2030-03-17".to_owned(), 2), (next, 1)]);
}

#[tokio::test]
async fn ninety_days_of_a_site_stay_within_3_kb_whatever_it_reports() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    register(&store, 1).await.unwrap();
    for day in 0..100_u8 {
        for beat in 0..10_u8 {
            let version = format!("{}{day}.{beat}", "é".repeat(58));
            let now = MIDNIGHT + i64::from(day) * DAY + i64::from(beat);
            report(&store, 1, now, [10, day, beat, 1], &version).await;
        }
    }
    let bytes = store.read(|tables| {
        let mut stored = tables.history.stored(..)?;
        Ok(stored.next().transpose()?.map(|row| row.bytes().len()))
    });
    let bytes = bytes.await.unwrap().unwrap();
    assert!((2 << 10..=3 << 10).contains(&bytes), "{bytes} bytes");
    assert_eq!(rows(&store, "history").await, 1);
    let now = MIDNIGHT + 99 * DAY + 60;
    let history = store.site_history(SiteId::from_u128(1), at(now)).await.unwrap().unwrap();
    assert_eq!(history.days.len(), DAYS);
    let days: Vec<Day> = history.days.into_iter().map(|(_, day)| day.unwrap()).collect();
    assert!(days.iter().all(|day| day.heartbeats == 10));
    let (oldest, newest) = (&days[0], &days[88]);
    assert_eq!((oldest.versions.values.len(), oldest.versions.more), (0, 10), "its names are forgotten");
    assert_eq!((newest.versions.values.len(), newest.versions.more), (8, 2));
    assert_eq!((newest.addresses.values.len(), newest.addresses.more), (8, 2));
}

#[tokio::test]
async fn the_days_of_all_sites_are_no_more_than_90_also_after_a_clock_far_ahead() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    register(&store, 1).await.unwrap();
    let ahead = MIDNIGHT + 4000 * DAY;
    for start in [MIDNIGHT, ahead, MIDNIGHT + 10 * DAY] {
        for day in 0..100 {
            beat(&store, 1, 1, start + day * DAY).await.unwrap();
        }
    }
    assert_eq!(rows(&store, "heartbeat_days").await, 90);
    let statistics = store.statistics(at(MIDNIGHT + 109 * DAY)).await.unwrap();
    assert_eq!(statistics.heartbeats.len(), 90);
    let known = statistics.heartbeats.iter().filter(|(_, count)| *count > 0).count();
    assert!(known >= 89, "{known} of the days after the clock was put right");
}

#[tokio::test]
async fn the_history_of_a_site_goes_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    register(&store, 1).await.unwrap();
    beat(&store, 1, 1, MIDNIGHT).await.unwrap();
    beat(&store, 1, 1, MIDNIGHT + DAY).await.unwrap();
    assert_eq!(rows(&store, "history").await, 1);
    done(&store, Operation::Delete, 1).await.unwrap().unwrap();
    assert_eq!(rows(&store, "history").await, 0);
    assert!(store.site_history(SiteId::from_u128(1), at(MIDNIGHT)).await.unwrap().is_none());
    let heartbeats = store.statistics(at(MIDNIGHT)).await.unwrap().heartbeats;
    assert_eq!(heartbeats.iter().map(|(_, count)| count).sum::<u64>(), 1, "what came, came");
}

#[tokio::test]
async fn a_history_that_cannot_be_read_stops_no_heartbeat() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    register(&store, 1).await.unwrap();
    beat(&store, 1, 1, MIDNIGHT).await.unwrap();
    store
        .write_always(|tables| {
            tables.history.put_as_it_is(1, &[1, 250]);
            Ok(())
        })
        .await
        .unwrap();
    assert!(store.site_history(SiteId::from_u128(1), at(MIDNIGHT)).await.is_err());
    beat(&store, 1, 1, MIDNIGHT + DAY).await.unwrap();
    assert_eq!(days(&store, 1, MIDNIGHT + DAY).await.len(), 2);
}

#[tokio::test]
async fn a_copy_holds_the_days() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    register(&store, 1).await.unwrap();
    beat(&store, 1, 1, MIDNIGHT).await.unwrap();
    beat(&store, 1, 1, MIDNIGHT + DAY).await.unwrap();
    let (mut snapshot, _) = store.snapshot(directory.path()).await.unwrap();
    let before = days(&store, 1, MIDNIGHT + DAY).await;
    store.close();
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join(FILE_NAME);
    io::Seek::rewind(&mut snapshot).unwrap();
    io::copy(&mut snapshot, &mut File::create(&path).unwrap()).unwrap();
    let copy = Store::open(&path).unwrap();
    assert_eq!(days(&copy, 1, MIDNIGHT + DAY).await, before);
    assert_eq!(copy.statistics(at(MIDNIGHT + DAY)).await.unwrap().heartbeats.len(), 2);
}

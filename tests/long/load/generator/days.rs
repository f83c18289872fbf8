//! Days that pass: each site calls four times a day, and the clock is moved.

use std::io::Write;
use std::net::IpAddr;
use std::path::Path;

use sitewarden::domain::{Heartbeat, Timestamp};
use sitewarden::store::{Call, FILE_NAME, Store};

use super::Failure;
use super::credentials::{hash, id};

/// Heartbeats sent at the same time: so many share a commit.
const TOGETHER: usize = 1000;
const DAY: i64 = 86_400;
const CALLS: i64 = 4;

/// Sends the heartbeats of so many days to the database under `data_dir`, in
/// which `seed` registered `sites`. Prints a line of JSON after the first day
/// and after the last: the day, bytes of a copy, bytes of the file.
#[tokio::main]
pub(crate) async fn pass(data_dir: &str, sites: u64, days: i64) -> Result<(), Failure> {
    let directory = Path::new(data_dir);
    let path = directory.join(FILE_NAME);
    let store = Store::open(&path)?;
    let start: Timestamp = "2026-01-02T00:00:00Z".parse()?;
    for day in 0..days {
        for call in 0..CALLS {
            let numbers: Vec<u64> = (1..=sites).collect();
            for some in numbers.chunks(TOGETHER) {
                beat(&store, some, start, day * DAY + call * DAY / CALLS).await?;
            }
        }
        if day == 0 || day == days - 1 {
            let (_, copied) = store.snapshot(directory).await?;
            let file = path.metadata()?.len();
            writeln!(std::io::stdout(), "{{\"day\":{},\"copy\":{copied},\"file\":{file}}}", day + 1)?;
        }
    }
    tokio::task::spawn_blocking(move || store.close()).await?;
    Ok(())
}

/// A heartbeat of each of these sites, some time after `seconds` from the start.
async fn beat(store: &Store, numbers: &[u64], start: Timestamp, seconds: i64) -> Result<(), Failure> {
    let mut tasks = Vec::new();
    for &number in numbers {
        let store = store.clone();
        // Each in its own slot of the 6 hours, and some minutes off it.
        let spread = i64::try_from(number.wrapping_mul(7919) % 18_000)?
            + (seconds / 977 + i64::try_from(number)?) % 600;
        let now = start.checked_add_seconds(seconds + spread).ok_or("the end of time")?;
        let [.., high, low] = number.to_be_bytes();
        // An address that changes every 30 days, and a version for each month.
        let month = seconds / (30 * DAY);
        let ip = IpAddr::from([198, u8::try_from(month % 200)?, high, low]);
        let heartbeat = Heartbeat { version: format!("2.{month}.0").parse()?, uptime_seconds: 60 };
        let call = Call { site_id: id(number), key: hash(number), heartbeat, ip, applied: None, lease: None };
        tasks
            .push(tokio::spawn(async move { store.record_heartbeat(call, now, |_| Ok::<(), ()>(())).await }));
    }
    for task in tasks {
        task.await??.map_err(|refused| format!("a heartbeat was not taken: {refused:?}"))?;
    }
    Ok(())
}

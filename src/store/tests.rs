//! The store on files and on disks that fail.

#![expect(clippy::print_stdout, reason = "figures of the long runs, for docs/durability.md")]

mod backups;
mod bulk;
mod chain;
mod crashes;
mod damage;
mod faults;
mod files;
mod history;
mod lists;
#[path = "../../tests/data/recipe.rs"]
mod recipe;
mod restored;
mod sealed;
mod second_factors;
mod secrets;
mod simulated;
mod strangers;
mod trail;
mod writes;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::backups::Schedule;
use super::tables::WriteTables;
use super::*;
use crate::domain::{
    Actor, ActorKind, Heartbeat, NewLock, NewSite, Operation, Refused, SecretKey, Site, SiteId, Timestamp,
    Verdict,
};

const NOW: i64 = 1_900_000_000;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds).unwrap()
}

fn root() -> Actor {
    Actor { kind: ActorKind::System, name: "root".to_owned(), token: None, ip: None }
}

fn key(number: u8) -> SecretKey {
    SecretKey::from_random_bits([number; 32])
}

fn new_site(name: &str, expires: i64) -> NewSite {
    let email = "owner@example.com".parse().unwrap();
    let new = NewSite::named(name.parse().unwrap(), email, at(expires));
    NewSite { owner_name: "Owner".parse().unwrap(), allow_past: true, ..new }
}

/// Does `operation` to the site `number`.
async fn done(store: &Store, operation: Operation, number: u128) -> Outcome<Site, Refused> {
    store.apply(operation.on(SiteId::from_u128(number)), root(), at(NOW)).await
}

async fn register(store: &Store, number: u128) -> Result<Site, Unavailable> {
    let new = new_site(&format!("Site {number}"), NOW + 86_400);
    let operation = Operation::Register { new, key: key(1).hash() };
    Ok(done(store, operation, number).await?.unwrap())
}

/// A heartbeat of the site `number`, which asks for nothing.
fn call(number: u128, heartbeat: Heartbeat) -> Call {
    let site_id = SiteId::from_u128(number);
    Call { site_id, key: key(1).hash(), heartbeat, ip: HERE, applied: None, lease: None }
}

/// A heartbeat that reports `uptime`, at `now`.
async fn beat(store: &Store, number: u128, uptime: u64, now: i64) -> Result<Verdict, Unavailable> {
    let heartbeat = Heartbeat { version: "1.0".parse().unwrap(), uptime_seconds: uptime };
    let admit = |_| Ok::<(), ()>(());
    let answer = store.record_heartbeat(call(number, heartbeat), at(now), admit);
    Ok(answer.await?.unwrap().verdict)
}

async fn site(store: &Store, number: u128) -> Option<Site> {
    store.site(SiteId::from_u128(number)).await.unwrap()
}

/// Waits until `condition` holds.
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

fn open_in(directory: &Path) -> Store {
    Store::open(&directory.join(FILE_NAME)).unwrap()
}

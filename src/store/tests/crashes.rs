//! Power cuts: at any point, with any part of what was not synced lost or
//! torn, what was acknowledged is there.

use std::collections::HashMap;

use std::sync::Mutex;

use super::simulated::{Dice, Event, SimulatedDisk, apply};
use super::*;
use crate::domain::LockReason;

/// Sites, each changed by a task of its own.
const SITES: u128 = 6;
/// Changes of each site.
const CHANGES: usize = 60;
/// The unit that a disk writes whole.
const SECTOR: usize = 512;

/// A site as the test knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Known {
    registered: bool,
    lock: Option<String>,
    uptime: Option<u64>,
}

/// A change that was asked for, or that was acknowledged.
#[derive(Debug, Clone)]
struct Fact {
    site: u128,
    state: Known,
    acknowledged: bool,
}

/// How many points: few every day, 2,000 with `CRASH_POINTS=2000`.
fn points() -> usize {
    std::env::var("CRASH_POINTS").ok().and_then(|points| points.parse().ok()).unwrap_or(150)
}

/// Runs the load on `disk`; the facts that its notes number.
async fn load(disk: &SimulatedDisk, seed: u64) -> Vec<Fact> {
    let store = Store::on_disk(disk.disk()).unwrap();
    let facts = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (1..=SITES)
        .map(|number| {
            let (store, disk, facts) = (store.clone(), disk.clone(), Arc::clone(&facts));
            tokio::spawn(async move {
                let note = |state: &Known, acknowledged| {
                    let mut facts = facts.lock().unwrap();
                    facts.push(Fact { site: number, state: state.clone(), acknowledged });
                    disk.note(facts.len() - 1);
                };
                let mut dice = Dice(seed ^ u64::try_from(number).unwrap());
                let mut state = Known::default();
                for change in 0..CHANGES {
                    let mut next = state.clone();
                    if !state.registered {
                        next = Known { registered: true, ..Known::default() };
                        note(&next, false);
                        register(&store, number).await.unwrap();
                    } else if dice.roll(20) == 0 {
                        next = Known::default();
                        note(&next, false);
                        done(&store, Operation::Delete, number).await.unwrap().unwrap();
                    } else if dice.roll(3) == 0 {
                        next.lock = Some(format!("Reason {change}"));
                        note(&next, false);
                        let reason: LockReason = next.lock.clone().unwrap().parse().unwrap();
                        done(&store, Operation::Lock(NewLock::now(reason)), number).await.unwrap().unwrap();
                    } else {
                        next.uptime = Some(change as u64);
                        note(&next, false);
                        let told = beat(&store, number, change as u64, NOW).await.unwrap();
                        assert_eq!(told.lock_reason.map(|reason| reason.as_str().to_owned()), next.lock);
                    }
                    note(&next, true);
                    state = next;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    store.close();
    Arc::try_unwrap(facts).unwrap().into_inner().unwrap()
}

/// What may be on the disk when the power goes after `events`: all that was
/// synced, and of the rest any part, some of it torn.
fn cut_off(bytes: &mut Vec<u8>, events: &[Event], dice: &mut Dice) {
    let synced = events.iter().rposition(|event| matches!(event, Event::Sync)).map_or(0, |at| at + 1);
    let (synced, loose) = events.split_at(synced);
    synced.iter().for_each(|event| apply(bytes, event));
    // In some cuts nearly all gets there, in some nearly nothing.
    let chance = [1, 5, 9][dice.roll(3)];
    for event in loose {
        match event {
            Event::Write(offset, data) => {
                for (index, sector) in data.chunks(SECTOR).enumerate() {
                    if dice.roll(10) < chance {
                        apply(bytes, &Event::Write(offset + (index * SECTOR) as u64, sector.to_vec()));
                    }
                }
            }
            Event::SetLen(_) if dice.roll(10) < chance => apply(bytes, event),
            _ => {}
        }
    }
}

/// Checks that the store holds, of each site, what was acknowledged last or
/// what was asked for after that.
async fn holds(store: &Store, facts: &[Fact]) -> Result<(), String> {
    let mut allowed: HashMap<u128, Vec<Known>> =
        (1..=SITES).map(|number| (number, vec![Known::default()])).collect();
    for fact in facts {
        let states = allowed.get_mut(&fact.site).unwrap();
        if fact.acknowledged {
            states.clear();
        }
        states.push(fact.state.clone());
    }
    for (number, states) in allowed {
        let found = site(store, number).await.map_or_else(Known::default, |site| Known {
            registered: true,
            lock: site.terms.lock.map(|lock| lock.reason.as_str().to_owned()),
            uptime: site.seen.map(|seen| seen.heartbeat.uptime_seconds),
        });
        if !states.contains(&found) {
            return Err(format!("site {number} is {found:?}, not one of {states:?}"));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_at_any_point_loses_nothing_that_was_acknowledged() {
    let seed = 20_260_401;
    let disk = SimulatedDisk::holding(Vec::new());
    let facts = load(&disk, seed).await;
    let events = disk.events();
    // Before that the database was made; its file gets its name afterwards.
    let born = events.iter().position(|event| matches!(event, Event::Note(_))).unwrap();
    let mut dice = Dice(seed);
    for point in 0..points() {
        let cut = born + dice.roll(events.len() + 1 - born);
        let mut bytes = Vec::new();
        cut_off(&mut bytes, &events[..cut], &mut dice);
        let told = events[..cut].iter().filter_map(|event| match event {
            Event::Note(fact) => Some(facts[*fact].clone()),
            _ => None,
        });
        let told: Vec<_> = told.collect();
        // Every other time the power goes again while that is repaired.
        if point % 2 == 1 {
            let disk = SimulatedDisk::holding(bytes.clone());
            drop(Store::on_disk(disk.disk()).unwrap());
            let repair = disk.events();
            let again = dice.roll(repair.len() + 1);
            cut_off(&mut bytes, &repair[..again], &mut dice);
        }
        let store = Store::on_disk(SimulatedDisk::holding(bytes).disk())
            .unwrap_or_else(|error| panic!("cut {point}, after event {cut}: {error}"));
        holds(&store, &told).await.unwrap_or_else(|error| panic!("cut {point}, after event {cut}: {error}"));
        store.probe().await.unwrap();
    }
    println!("{} power cuts within {} events: nothing acknowledged was lost", points(), events.len() - born);
}

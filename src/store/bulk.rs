//! One operation on all sites that a filter lets through, in one transaction.
//!
//! The sites are gone through three times: which are meant, whether the
//! operation can be done to each, and then it is done. Between that only their
//! numbers are remembered, so that memory does not grow by whole sites; and
//! nothing is written before it is certain that all can be done. Rejected: one
//! transaction for each thousand, which would let a batch end half done.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::apply::write;
use super::codec::{EffectRow, RequestRow, Row as _};
use super::error::{Outcome, Unavailable, unreadable};
use super::handle::Store;
use super::lists;
use super::requests::{self, Once, OtherBody};
use super::sites;
use super::tables::{Tables, Transaction, WriteTables};
use crate::domain::operation::{Decision, decide};
use crate::domain::{
    Actor, Effect, Operation, Refused, Rules, Site, SiteFilter, SiteId, SiteOrder, Timestamp,
};

/// Sites that are given back, at most.
const FIRST: usize = 20;

/// An operation on many sites.
#[derive(Debug, Clone)]
pub struct Bulk {
    /// On which.
    pub filter: SiteFilter,
    /// What to do to each; no registration.
    pub operation: Operation,
    /// On how many of them at most.
    pub most: u64,
}

/// Whether it is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It is, where the filter lets exactly so many sites through.
    Sites(u64),
    /// It is not: only what it would come to is asked for.
    DryRun(Option<u64>),
}

/// What it came to, or would come to.
#[derive(Debug)]
pub struct Bulked {
    /// How many sites the filter let through.
    pub matched: u64,
    /// How many of them were not already as they should be.
    pub changed: u64,
    /// The first of those that the filter let through, in the order of their
    /// numbers: as they are left, or as they were, when they are deleted. In a
    /// dry run as they are; in the answer to a repeated request as they are
    /// now, without those that are gone.
    pub first: Vec<Site>,
}

/// Why nothing was changed.
#[derive(Debug)]
pub enum BulkRefused {
    /// The filter lets another number of sites through than was expected.
    Unexpected {
        /// How many.
        matched: u64,
    },
    /// It lets more sites through than may be changed at once.
    TooMany {
        /// How many.
        matched: u64,
    },
    /// It cannot be done to so many of the sites.
    NotAll {
        /// How many.
        refused: u64,
        /// The first of them.
        first: Box<Site>,
        /// And why.
        why: Refused,
    },
    /// The request was sent before with another body.
    OtherBody,
}

impl Store {
    /// Does an operation to all sites that a filter lets through, or to none.
    /// With `once` a request that came before is not done again.
    ///
    /// # Errors
    /// [`BulkRefused`].
    pub async fn bulk(
        &self,
        wanted: Bulk,
        expected: Expected,
        once: Option<Once>,
        by: Actor,
        now: Timestamp,
    ) -> Outcome<Bulked, BulkRefused> {
        let rules = Arc::clone(&self.rules);
        match expected {
            Expected::DryRun(expected) => {
                self.read(move |tables| {
                    let numbers = match matching(tables, &wanted, expected, &rules, now)? {
                        Ok(numbers) => numbers,
                        Err(refused) => return Ok(Err(refused)),
                    };
                    let changed = match decide_all(tables, &numbers, &wanted.operation, &by, &rules, now)? {
                        Ok(changed) => changed,
                        Err(refused) => return Ok(Err(refused)),
                    };
                    let first = numbers.iter().take(FIRST);
                    let first: Result<Vec<_>, _> =
                        first.filter_map(|&id| sites::of_number(tables, id).transpose()).collect();
                    Ok(Ok(Bulked { matched: numbers.len() as u64, changed, first: first? }))
                })
                .await
            }
            Expected::Sites(expected) => {
                self.write(move |tables| {
                    if let Some(once) = &once {
                        match requests::recall(tables, once, now)? {
                            Ok(Some(row)) => return repeat(tables, &row).map(Ok),
                            Ok(None) => {}
                            Err(OtherBody) => return Ok(Err(BulkRefused::OtherBody)),
                        }
                    }
                    let numbers = match matching(tables, &wanted, Some(expected), &rules, now)? {
                        Ok(numbers) => numbers,
                        Err(refused) => return Ok(Err(refused)),
                    };
                    let decided = decide_all(tables, &numbers, &wanted.operation, &by, &rules, now)?;
                    if let Err(refused) = decided {
                        return Ok(Err(refused));
                    }
                    let done = write_all(tables, &numbers, &wanted.operation, &by, &rules, now)?;
                    if let Some(once) = &once {
                        let mut effects = vec![EffectRow::counted(done.matched, done.changed)];
                        let effect = match wanted.operation {
                            Operation::Delete => Effect::Deleted,
                            _ => Effect::Changed,
                        };
                        effects.extend(done.first.iter().map(|site| EffectRow::done(effect, site.site_id)));
                        let row = RequestRow { at: now.unix(), body: once.body, salt: once.salt, effects };
                        requests::remember(tables, once, &row)?;
                    }
                    Ok(Ok(done))
                })
                .await
            }
        }
    }
}

/// The numbers of the sites that are meant.
fn matching(
    tables: &Tables<'_, impl Transaction>,
    wanted: &Bulk,
    expected: Option<u64>,
    rules: &Rules,
    now: Timestamp,
) -> Result<Result<Vec<u64>, BulkRefused>, Unavailable> {
    let (mut numbers, mut matched) = (Vec::new(), 0);
    lists::each(tables, SiteOrder::default(), None, |site| {
        if wanted.filter.lets_through(site, rules, now) {
            matched += 1;
            if matched <= wanted.most {
                numbers.push(site.id);
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(if expected.is_some_and(|expected| expected != matched) {
        Err(BulkRefused::Unexpected { matched })
    } else if matched > wanted.most {
        Err(BulkRefused::TooMany { matched })
    } else {
        Ok(numbers)
    })
}

/// What becomes of the site with this number.
fn decide_one(
    tables: &Tables<'_, impl Transaction>,
    id: u64,
    operation: &Operation,
    by: &Actor,
    rules: &Rules,
    now: Timestamp,
) -> Result<(Site, Result<Decision, Refused>), Unavailable> {
    let site = sites::of_number(tables, id)?
        .ok_or_else(|| unreadable("sites", format!("record {id} is gone while it is read")))?;
    let decision = decide(Some(&site), &operation.clone().on(site.site_id), by, rules, now);
    Ok((site, decision))
}

/// How many sites the operation changes. Writes nothing.
fn decide_all(
    tables: &Tables<'_, impl Transaction>,
    numbers: &[u64],
    operation: &Operation,
    by: &Actor,
    rules: &Rules,
    now: Timestamp,
) -> Result<Result<u64, BulkRefused>, Unavailable> {
    let (mut changed, mut refused, mut first) = (0, 0, None);
    for &id in numbers {
        match decide_one(tables, id, operation, by, rules, now)? {
            (_, Ok(decision)) => changed += u64::from(decision.entry.is_some()),
            (site, Err(why)) => {
                refused += 1;
                first.get_or_insert((Box::new(site), why));
            }
        }
    }
    Ok(match first {
        Some((first, why)) => Err(BulkRefused::NotAll { refused, first, why }),
        None => Ok(changed),
    })
}

/// Does the operation to each, which [`decide_all`] said can be done.
fn write_all(
    tables: &mut WriteTables<'_>,
    numbers: &[u64],
    operation: &Operation,
    by: &Actor,
    rules: &Rules,
    now: Timestamp,
) -> Result<Bulked, Unavailable> {
    let mut done = Bulked { matched: numbers.len() as u64, changed: 0, first: Vec::new() };
    for &id in numbers {
        let (_, Ok(decision)) = decide_one(tables, id, operation, by, rules, now)? else {
            return Err(unreadable("sites", format!("record {id} is another than it was just now")));
        };
        done.changed += u64::from(decision.entry.is_some());
        let (_, site) = write(tables, decision)?;
        if done.first.len() < FIRST {
            done.first.push(site);
        }
    }
    Ok(done)
}

/// What the first time came to, with the sites as they are now.
fn repeat(tables: &WriteTables<'_>, row: &RequestRow) -> Result<Bulked, Unavailable> {
    let unreadable = |error| unreadable(RequestRow::TABLE, error);
    let (counts, effects) =
        row.effects.split_first().ok_or_else(|| unreadable("it has no effects".to_owned()))?;
    let (matched, changed) = counts.read_counts().map_err(|error| unreadable(error.to_string()))?;
    let mut first = Vec::new();
    for effect in effects {
        let effect = effect.read().map_err(|error| unreadable(error.to_string()))?;
        let site_id: Option<SiteId> = effect.ok().map(|(_, site_id)| site_id);
        if let Some(site_id) = site_id {
            first.extend(sites::of_id(tables, site_id)?);
        }
    }
    Ok(Bulked { matched, changed, first })
}

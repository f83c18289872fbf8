//! What admins do to sites, one operation or many in one transaction.
//!
//! All of a batch are decided before the first is written, each on what those
//! before it leave behind. So a batch that shall be done whole or not at all
//! can be refused with nothing written. What becomes of a site is decided by
//! [`crate::domain::operation`]; here it is loaded and written down.

use std::collections::HashMap;
use std::sync::Arc;

use super::codec::{EffectRow, RequestRow, Row as _};
use super::error::{Outcome, Unavailable, unreadable};
use super::handle::Store;
use super::requests::{self, Once, OtherBody};
use super::sites;
use super::tables::{WriteTables, meta};
use super::trail;
use crate::domain::operation::{Decision, Effect, Refused, SiteOperation, decide};
use crate::domain::{Actor, Rules, Site, SiteId, Timestamp};

/// An operation done.
#[derive(Debug)]
pub struct Done {
    /// What it did.
    pub effect: Effect,
    /// The site as it left it; in the answer to a repeated request, as it is
    /// now. `None` when it is deleted.
    pub site: Option<Site>,
}

/// A batch that was done, or had been before.
#[derive(Debug)]
pub struct Applied {
    /// What became of each operation, in their order.
    pub results: Vec<Result<Done, Refused>>,
    /// The salt of the first time, when the request is a repeated one.
    pub repeated: Option<[u8; 32]>,
}

/// Why a batch was not done; nothing is changed.
#[derive(Debug, PartialEq, Eq)]
pub enum BatchRefused {
    /// It was to be done whole, and these operations, by their place, cannot
    /// be.
    NotWhole(Vec<(usize, Refused)>),
    /// The request was sent before with another body.
    OtherBody,
}

impl Store {
    /// Applies one operation; gives the site as it leaves it, or as it was
    /// when it is deleted.
    pub async fn apply(&self, wanted: SiteOperation, by: Actor, now: Timestamp) -> Outcome<Site, Refused> {
        let rules = Arc::clone(&self.rules);
        self.write(move |tables| {
            let site = sites::of_id(tables, wanted.site_id)?;
            match decide(site.as_ref(), &wanted, &by, &rules, now) {
                Ok(decision) => write(tables, decision).map(|(_, site)| Ok(site)),
                Err(refusal) => Ok(Err(refusal)),
            }
        })
        .await
    }

    /// Applies the operations, in their order. With `all_or_nothing` one that
    /// cannot be done undoes all; else it is left out. With `once` a request
    /// that came before is not done again.
    pub async fn apply_batch(
        &self,
        operations: Vec<SiteOperation>,
        all_or_nothing: bool,
        once: Option<Once>,
        by: Actor,
        now: Timestamp,
    ) -> Outcome<Applied, BatchRefused> {
        let rules = Arc::clone(&self.rules);
        self.write(move |tables| {
            if let Some(once) = &once {
                match requests::recall(tables, once, now)? {
                    Ok(Some(row)) => return repeat(tables, &row).map(Ok),
                    Ok(None) => {}
                    Err(OtherBody) => return Ok(Err(BatchRefused::OtherBody)),
                }
            }
            let decided = decide_all(tables, &operations, &by, &rules, now)?;
            let refused: Vec<_> = decided
                .iter()
                .enumerate()
                .filter_map(|(place, decision)| Some((place, *decision.as_ref().err()?)))
                .collect();
            if all_or_nothing && !refused.is_empty() {
                return Ok(Err(BatchRefused::NotWhole(refused)));
            }
            let mut results = Vec::with_capacity(decided.len());
            let mut effects = Vec::with_capacity(decided.len());
            for decision in decided {
                let result = match decision {
                    Ok(decision) => {
                        let (effect, site) = write(tables, decision)?;
                        effects.push(EffectRow::done(effect, site.site_id));
                        Ok(Done { effect, site: Some(site).filter(|_| effect != Effect::Deleted) })
                    }
                    Err(refusal) => {
                        effects.push(EffectRow::refused(refusal));
                        Err(refusal)
                    }
                };
                results.push(result);
            }
            if let Some(once) = &once {
                let row = RequestRow { at: now.unix(), body: once.body, salt: once.salt, effects };
                requests::remember(tables, once, &row)?;
            }
            Ok(Ok(Applied { results, repeated: None }))
        })
        .await
    }
}

/// What becomes of each operation. Writes nothing.
fn decide_all(
    tables: &WriteTables<'_>,
    operations: &[SiteOperation],
    by: &Actor,
    rules: &Rules,
    now: Timestamp,
) -> Result<Vec<Result<Decision, Refused>>, Unavailable> {
    // The sites as the operations so far leave them; `None`: deleted.
    let mut left: HashMap<SiteId, Option<Site>> = HashMap::new();
    let mut decided = Vec::with_capacity(operations.len());
    for wanted in operations {
        let site = match left.get(&wanted.site_id) {
            Some(site) => site.clone(),
            None => sites::of_id(tables, wanted.site_id)?,
        };
        let decision = decide(site.as_ref(), wanted, by, rules, now);
        match &decision {
            Ok(Decision { effect: Effect::Changed, site, .. }) => {
                left.insert(wanted.site_id, Some(site.clone()));
            }
            Ok(Decision { effect: Effect::Deleted, .. }) => {
                left.insert(wanted.site_id, None);
            }
            // It has no number yet, and nobody who wrote the batch knew its id.
            Ok(Decision { effect: Effect::Registered, .. }) | Err(_) => {}
        }
        decided.push(decision);
    }
    Ok(decided)
}

/// Writes down what was decided; gives the site, a new one with its number.
pub(super) fn write(tables: &mut WriteTables<'_>, decision: Decision) -> Result<(Effect, Site), Unavailable> {
    let Decision { effect, mut site, entry } = decision;
    let Some(entry) = entry else {
        return Ok((effect, site));
    };
    match effect {
        Effect::Registered => {
            site.id = tables.next_number(meta::NEXT_SITE)?;
            let registration_entry = trail::append_registration(tables, entry, site.id)?;
            sites::insert(tables, &site, registration_entry)?;
        }
        Effect::Changed => {
            sites::replace(tables, &site)?;
            trail::append(tables, entry)?;
        }
        Effect::Deleted => {
            sites::remove(tables, &site)?;
            trail::append(tables, entry)?;
        }
    }
    Ok((effect, site))
}

/// The results of the first time, with the sites as they are now.
fn repeat(tables: &WriteTables<'_>, row: &RequestRow) -> Result<Applied, Unavailable> {
    let mut results = Vec::with_capacity(row.effects.len());
    for effect in &row.effects {
        let effect = effect.read().map_err(|error| unreadable(RequestRow::TABLE, error))?;
        results.push(match effect {
            Ok((effect, site_id)) => Ok(Done { effect, site: sites::of_id(tables, site_id)? }),
            Err(refusal) => Err(refusal),
        });
    }
    Ok(Applied { results, repeated: Some(row.salt) })
}

#[cfg(test)]
mod tests {
    use super::super::requests::REMEMBERED_SECONDS;
    use super::*;
    use crate::domain::{Action, ActorKind, NewLock, NewSite, Operation, SecretKey};
    use crate::store::{AuditFilter, FILE_NAME};

    const NOW: i64 = 1_900_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    fn admin() -> Actor {
        Actor { kind: ActorKind::Admin, name: "sysadmin".to_owned(), token: None, ip: None }
    }

    fn register(number: u128) -> SiteOperation {
        let (name, email) = (format!("Site {number}").parse().unwrap(), "owner@example.com".parse().unwrap());
        let new = NewSite { allow_past: true, ..NewSite::named(name, email, at(NOW + 1000)) };
        let key = SecretKey::from_random_bits([1; 32]).hash();
        Operation::Register { new, key }.on(SiteId::from_u128(number))
    }

    fn once(request: u8, body: u8) -> Option<Once> {
        Some(Once { request: [request; 32], body: [body; 32], salt: [body; 32] })
    }

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join(FILE_NAME)).unwrap();
        (directory, store)
    }

    async fn audited(store: &Store) -> Vec<Action> {
        let page = store.audit(AuditFilter::default(), None, 100).await.unwrap();
        page.entries.into_iter().rev().map(|entry| entry.action).collect()
    }

    fn ids(applied: &Applied) -> Vec<Result<Option<u64>, Refused>> {
        let result = |result: &Result<Done, _>| match result {
            Ok(done) => Ok(done.site.as_ref().map(|site| site.id)),
            Err(refusal) => Err(*refusal),
        };
        applied.results.iter().map(result).collect()
    }

    #[tokio::test]
    async fn what_cannot_be_done_is_left_out_and_each_change_is_audited() {
        let (_directory, store) = store();
        let operations = vec![
            register(1),
            register(2),
            Operation::Lock(NewLock::now("unpaid".parse().unwrap())).on(SiteId::from_u128(9)),
        ];
        let applied = store.apply_batch(operations, false, None, admin(), at(NOW)).await.unwrap().unwrap();
        assert_eq!(ids(&applied), [Ok(Some(1)), Ok(Some(2)), Err(Refused::NotFound)]);
        let operations = vec![
            Operation::Lock(NewLock::now("unpaid".parse().unwrap())).on(SiteId::from_u128(1)),
            Operation::Unlock.on(SiteId::from_u128(1)),
            Operation::Unlock.on(SiteId::from_u128(1)),
            Operation::Delete.on(SiteId::from_u128(2)),
            Operation::Unlock.on(SiteId::from_u128(2)),
        ];
        let applied = store.apply_batch(operations, false, None, admin(), at(NOW)).await.unwrap().unwrap();
        assert_eq!(ids(&applied), [Ok(Some(1)), Ok(Some(1)), Ok(Some(1)), Ok(None), Err(Refused::NotFound)]);
        use Action::{SiteDeleted, SiteLocked, SiteRegistered, SiteUnlocked};
        assert_eq!(
            audited(&store).await,
            [SiteRegistered, SiteRegistered, SiteLocked, SiteUnlocked, SiteDeleted]
        );
        let site = store.site(SiteId::from_u128(1)).await.unwrap().unwrap();
        assert_eq!((site.revision, site.terms.lock), (3, None));
    }

    #[tokio::test]
    async fn all_or_nothing_writes_nothing_when_one_operation_cannot_be_done() {
        let (_directory, store) = store();
        let operations = vec![register(1), Operation::Unlock.on(SiteId::from_u128(9)), register(2)];
        let refused = store.apply_batch(operations, true, once(1, 1), admin(), at(NOW)).await.unwrap();
        assert_eq!(refused.unwrap_err(), BatchRefused::NotWhole(vec![(1, Refused::NotFound)]));
        assert!(store.site(SiteId::from_u128(1)).await.unwrap().is_none());
        assert!(audited(&store).await.is_empty());
    }

    #[tokio::test]
    async fn a_repeated_request_is_not_done_again_for_a_day() {
        let (_directory, store) = store();
        let send = async |number, once, now| {
            store.apply_batch(vec![register(number)], true, once, admin(), at(now)).await.unwrap()
        };
        let first = send(1, once(1, 1), NOW).await.unwrap();
        assert_eq!((ids(&first), first.repeated), (vec![Ok(Some(1))], None));
        let second = send(2, once(1, 1), NOW + REMEMBERED_SECONDS - 1).await.unwrap();
        assert_eq!((ids(&second), second.repeated), (vec![Ok(Some(1))], Some([1; 32])));
        assert_eq!(send(3, once(1, 2), NOW).await.unwrap_err(), BatchRefused::OtherBody);
        assert_eq!(ids(&send(4, once(2, 1), NOW).await.unwrap()), [Ok(Some(2))]);
        let after = send(5, once(1, 1), NOW + REMEMBERED_SECONDS).await.unwrap();
        assert_eq!((ids(&after), after.repeated), (vec![Ok(Some(3))], None));
    }

    #[tokio::test]
    async fn requests_of_more_than_a_day_ago_are_forgotten() {
        let (_directory, store) = store();
        for number in [1_u8, 2] {
            let at = at(NOW + i64::from(number));
            let operations = vec![register(number.into())];
            store.apply_batch(operations, true, once(number, 1), admin(), at).await.unwrap().unwrap();
        }
        assert_eq!(store.forget_requests(at(NOW + REMEMBERED_SECONDS + 1)).await.unwrap(), 1);
        assert_eq!(store.forget_requests(at(NOW + REMEMBERED_SECONDS + 1)).await.unwrap(), 0);
        assert_eq!(store.forget_requests(at(NOW + REMEMBERED_SECONDS + 2)).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn past_the_bound_the_oldest_request_is_forgotten_first() {
        let (_directory, store) = store();
        let numbered = |number: i64| {
            let mut once = once(0, 1).unwrap();
            once.request[..8].copy_from_slice(&number.to_be_bytes());
            once
        };
        let most = i64::try_from(requests::MAX_REQUESTS).unwrap();
        store
            .write_always(move |tables| {
                for number in 0..=most {
                    let row =
                        RequestRow { at: NOW + number, body: [1; 32], salt: [1; 32], effects: Vec::new() };
                    requests::remember(tables, &numbered(number), &row)?;
                }
                let kept = |number| requests::recall(tables, &numbered(number), at(NOW + most)).unwrap();
                assert!(kept(0).unwrap().is_none());
                assert!(kept(1).unwrap().is_some() && kept(most).unwrap().is_some());
                Ok(())
            })
            .await
            .unwrap();
    }
}

//! Many changes of sites in one transaction.
//!
//! All are decided before the first is written, each on what those before it
//! leave behind. So a batch that shall be done whole or not at all can be
//! refused with nothing written.

use std::collections::HashMap;

use super::codec::{DeedRow, RequestRow, Row};
use super::requests::{self, Once, OtherBody};
use super::sites::{self, load, number_of};
use super::tables::{WriteTables, unreadable};
use super::{Outcome, Store, Unavailable};
use crate::domain::{Action, Actor, KeyHash, LockReason, NewSite, Site, SiteChange, SiteId, Timestamp};

/// One change of a batch.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Register a site under a fresh `site_id` with the hash of its key.
    Register {
        /// Its identity.
        site_id: SiteId,
        /// What it is.
        new: NewSite,
        /// The hash of its key.
        key: KeyHash,
    },
    /// Change fields.
    Update(SiteId, SiteChange),
    /// Lock it, or change the reason of its lock.
    Lock(SiteId, LockReason),
    /// Unlock it.
    Unlock(SiteId),
    /// Delete it.
    Delete(SiteId),
}

/// What an operation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Registered the site.
    Registered,
    /// Changed it, or found it as it should be.
    Changed,
    /// Deleted it.
    Deleted,
}

/// An operation done.
#[derive(Debug)]
pub struct Done {
    /// What it did.
    pub deed: Deed,
    /// The site as it left it; in the answer to a repeated request, as it is
    /// now. `None` when it is deleted.
    pub site: Option<Site>,
}

/// Why an operation was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationRefused {
    /// There is no such site.
    NotFound,
    /// The extension leaves the range of time.
    TooFarAhead,
}

/// A batch that was done, or had been before.
#[derive(Debug)]
pub struct Applied {
    /// What became of each operation, in their order.
    pub results: Vec<Result<Done, OperationRefused>>,
    /// The salt of the first time, when the request is a repeated one.
    pub repeated: Option<[u8; 32]>,
}

/// Why a batch was not done; nothing is changed.
#[derive(Debug, PartialEq, Eq)]
pub enum BatchRefused {
    /// It was to be done whole, and these operations, by their place, cannot
    /// be.
    NotWhole(Vec<(usize, OperationRefused)>),
    /// The request was sent before with another body.
    OtherBody,
}

/// What will be written.
enum Change {
    Register(Site),
    Edit { action: Action, sites: Box<BeforeAfter> },
    Delete(Site),
}

struct BeforeAfter {
    before: Site,
    after: Site,
}

impl Store {
    /// Applies the operations, in their order. With `all_or_nothing` one that
    /// cannot be done undoes all; else it is left out. With `once` a request
    /// that came before is not done again.
    pub async fn apply_batch(
        &self,
        operations: Vec<Operation>,
        all_or_nothing: bool,
        once: Option<Once>,
        by: Actor,
        now: Timestamp,
    ) -> Outcome<Applied, BatchRefused> {
        self.write(move |tables| {
            if let Some(once) = &once {
                match requests::recall(tables, once, now)? {
                    Ok(Some(row)) => return repeat(tables, &row).map(Ok),
                    Ok(None) => {}
                    Err(OtherBody) => return Ok(Err(BatchRefused::OtherBody)),
                }
            }
            let decided = decide(tables, &operations, now)?;
            let refused: Vec<_> = decided
                .iter()
                .enumerate()
                .filter_map(|(place, decision)| Some((place, *decision.as_ref().err()?)))
                .collect();
            if all_or_nothing && !refused.is_empty() {
                return Ok(Err(BatchRefused::NotWhole(refused)));
            }
            let mut results = Vec::with_capacity(decided.len());
            let mut deeds = Vec::with_capacity(decided.len());
            for decision in decided {
                let result = match decision {
                    Ok(change) => {
                        let (site_id, done) = write(tables, change, &by, now)?;
                        deeds.push(DeedRow::done(done.deed, site_id));
                        Ok(done)
                    }
                    Err(refusal) => {
                        deeds.push(DeedRow::refused(refusal));
                        Err(refusal)
                    }
                };
                results.push(result);
            }
            if let Some(once) = &once {
                let row = RequestRow { at: now.unix(), body: once.body, salt: once.salt, deeds };
                requests::remember(tables, once, &row)?;
            }
            Ok(Ok(Applied { results, repeated: None }))
        })
        .await
    }
}

/// What each operation will change. Writes nothing.
fn decide(
    tables: &WriteTables<'_>,
    operations: &[Operation],
    now: Timestamp,
) -> Result<Vec<Result<Change, OperationRefused>>, Unavailable> {
    let mut touched: HashMap<SiteId, Option<Site>> = HashMap::new();
    let mut decided = Vec::with_capacity(operations.len());
    for operation in operations {
        let decision = match operation {
            Operation::Register { site_id, new, key } => {
                Ok(Change::Register(Site::registered(*site_id, new.clone(), *key, now)))
            }
            Operation::Update(site_id, change) => {
                edit(tables, &mut touched, *site_id, Action::SiteUpdated, |site| {
                    change.clone().apply(site, now).map_err(|_| OperationRefused::TooFarAhead)
                })?
            }
            Operation::Lock(site_id, reason) => {
                edit(tables, &mut touched, *site_id, Action::SiteLocked, |site| {
                    site.lock_reason = Some(reason.clone());
                    Ok(())
                })?
            }
            Operation::Unlock(site_id) => {
                edit(tables, &mut touched, *site_id, Action::SiteUnlocked, |site| {
                    site.lock_reason = None;
                    Ok(())
                })?
            }
            Operation::Delete(site_id) => match current(tables, &touched, *site_id)? {
                Some(before) => {
                    touched.insert(*site_id, None);
                    Ok(Change::Delete(before))
                }
                None => Err(OperationRefused::NotFound),
            },
        };
        decided.push(decision);
    }
    Ok(decided)
}

fn edit(
    tables: &WriteTables<'_>,
    touched: &mut HashMap<SiteId, Option<Site>>,
    site_id: SiteId,
    action: Action,
    rule: impl FnOnce(&mut Site) -> Result<(), OperationRefused>,
) -> Outcome<Change, OperationRefused> {
    let Some(before) = current(tables, touched, site_id)? else {
        return Ok(Err(OperationRefused::NotFound));
    };
    let mut after = before.clone();
    if let Err(refusal) = rule(&mut after) {
        return Ok(Err(refusal));
    }
    if sites::differ(&before, &after) {
        after.revision += 1;
    }
    touched.insert(site_id, Some(after.clone()));
    Ok(Ok(Change::Edit { action, sites: Box::new(BeforeAfter { before, after }) }))
}

/// The site as the operations so far leave it.
fn current(
    tables: &WriteTables<'_>,
    touched: &HashMap<SiteId, Option<Site>>,
    site_id: SiteId,
) -> Result<Option<Site>, Unavailable> {
    if let Some(site) = touched.get(&site_id) {
        return Ok(site.clone());
    }
    kept(tables, site_id)
}

fn kept(tables: &WriteTables<'_>, site_id: SiteId) -> Result<Option<Site>, Unavailable> {
    match number_of(&tables.site_ids, site_id)? {
        Some(id) => load(&tables.sites, &tables.heartbeats, id),
        None => Ok(None),
    }
}

fn write(
    tables: &mut WriteTables<'_>,
    change: Change,
    by: &Actor,
    now: Timestamp,
) -> Result<(SiteId, Done), Unavailable> {
    Ok(match change {
        Change::Register(site) => {
            let site = sites::insert(tables, site, by, now)?;
            (site.site_id, Done { deed: Deed::Registered, site: Some(site) })
        }
        Change::Edit { action, sites } => {
            let BeforeAfter { before, after } = *sites;
            if before.revision != after.revision {
                sites::replace(tables, &before, &after, action, by, now)?;
            }
            (after.site_id, Done { deed: Deed::Changed, site: Some(after) })
        }
        Change::Delete(site) => {
            sites::remove(tables, &site, by, now)?;
            (site.site_id, Done { deed: Deed::Deleted, site: None })
        }
    })
}

/// The results of the first time, with the sites as they are now.
fn repeat(tables: &WriteTables<'_>, row: &RequestRow) -> Result<Applied, Unavailable> {
    let mut results = Vec::with_capacity(row.deeds.len());
    for deed in &row.deeds {
        let deed = deed.read().map_err(|error| unreadable(RequestRow::TABLE, error))?;
        results.push(match deed {
            Ok((deed, site_id)) => Ok(Done { deed, site: kept(tables, site_id)? }),
            Err(refusal) => Err(refusal),
        });
    }
    Ok(Applied { results, repeated: Some(row.salt) })
}

#[cfg(test)]
mod tests {
    use super::super::requests::REMEMBERED_SECONDS;
    use super::*;
    use crate::domain::{ActorKind, SecretKey};
    use crate::store::{AuditFilter, FILE_NAME};

    const NOW: i64 = 1_900_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    fn admin() -> Actor {
        Actor { kind: ActorKind::Admin, name: "sysadmin".to_owned(), ip: None }
    }

    fn register(number: u128) -> Operation {
        let new = NewSite {
            name: format!("Site {number}").parse().unwrap(),
            owner_name: "".parse().unwrap(),
            contact_email: "owner@example.com".parse().unwrap(),
            license_expires_at: at(NOW + 1000),
        };
        let key = SecretKey::from_random_bits([1; 32]).hash();
        Operation::Register { site_id: SiteId::from_u128(number), new, key }
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

    fn ids(applied: &Applied) -> Vec<Result<Option<u64>, OperationRefused>> {
        let result = |result: &Result<Done, _>| match result {
            Ok(done) => Ok(done.site.as_ref().map(|site| site.id)),
            Err(refusal) => Err(*refusal),
        };
        applied.results.iter().map(result).collect()
    }

    #[tokio::test]
    async fn what_cannot_be_done_is_left_out_and_each_change_is_audited() {
        let (_directory, store) = store();
        let operations =
            vec![register(1), register(2), Operation::Lock(SiteId::from_u128(9), "unpaid".parse().unwrap())];
        let applied = store.apply_batch(operations, false, None, admin(), at(NOW)).await.unwrap().unwrap();
        assert_eq!(ids(&applied), [Ok(Some(1)), Ok(Some(2)), Err(OperationRefused::NotFound)]);
        let operations = vec![
            Operation::Lock(SiteId::from_u128(1), "unpaid".parse().unwrap()),
            Operation::Unlock(SiteId::from_u128(1)),
            Operation::Unlock(SiteId::from_u128(1)),
            Operation::Delete(SiteId::from_u128(2)),
            Operation::Unlock(SiteId::from_u128(2)),
        ];
        let applied = store.apply_batch(operations, false, None, admin(), at(NOW)).await.unwrap().unwrap();
        assert_eq!(
            ids(&applied),
            [Ok(Some(1)), Ok(Some(1)), Ok(Some(1)), Ok(None), Err(OperationRefused::NotFound)]
        );
        use Action::{SiteDeleted, SiteLocked, SiteRegistered, SiteUnlocked};
        assert_eq!(
            audited(&store).await,
            [SiteRegistered, SiteRegistered, SiteLocked, SiteUnlocked, SiteDeleted]
        );
        let site = store.site(SiteId::from_u128(1)).await.unwrap().unwrap();
        assert_eq!((site.revision, site.lock_reason), (3, None));
    }

    #[tokio::test]
    async fn all_or_nothing_writes_nothing_when_one_operation_cannot_be_done() {
        let (_directory, store) = store();
        let operations = vec![register(1), Operation::Unlock(SiteId::from_u128(9)), register(2)];
        let refused = store.apply_batch(operations, true, once(1, 1), admin(), at(NOW)).await.unwrap();
        assert_eq!(refused.unwrap_err(), BatchRefused::NotWhole(vec![(1, OperationRefused::NotFound)]));
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
                        RequestRow { at: NOW + number, body: [1; 32], salt: [1; 32], deeds: Vec::new() };
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

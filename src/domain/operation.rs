//! What can be done to a site, and the one function that decides it.
//!
//! A route for one site, a batch, the command line and the audit trail all
//! speak of the same operations. [`decide`] is given the site as it is and
//! says what becomes of it and what the trail says of that, or why nothing
//! does. It touches nothing: whoever stores sites loads the one, asks, and
//! writes down the answer.

use super::audit::{Action, Actor, NewAuditEntry, differences};
use super::calendar::Unresolved;
use super::codes::Tags;
use super::licence::ExpiryRefused;
use super::rules::{Rules, TimeZoneName};
use super::secret_key::KeyHash;
use super::site::{NewSite, RevisionCheck, Site, SiteChange, Watch};
use super::site_id::SiteId;
use super::terms::{LockRefused, NewLock};
use super::time::Timestamp;

/// What to do to a site.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Register it, with the hash of its key.
    Register {
        /// What it is.
        new: NewSite,
        /// The hash of its key.
        key: KeyHash,
    },
    /// Change fields.
    Update(SiteChange),
    /// Lock it now or later, or change the reason of its lock.
    Lock(NewLock),
    /// Unlock it, and take back a lock that is to come; no change when there
    /// is neither.
    Unlock,
    /// Give it a new key (see [`Site::rotate_key`]).
    RotateKey {
        /// The hash of the new key.
        key: KeyHash,
        /// For how long the present key goes on working, in hours.
        overlap_hours: u8,
    },
    /// Have it call more often for a while; `None`: no longer.
    Watch(Option<Watch>),
    /// Give it these tags, beside those that it has.
    Tag(Tags),
    /// Take these tags from it.
    Untag(Tags),
    /// Delete it; its key stops working.
    Delete,
}

impl Operation {
    /// The operation on this site, whatever its revision.
    pub fn on(self, site_id: SiteId) -> SiteOperation {
        SiteOperation { site_id, expected: RevisionCheck::Any, operation: self }
    }
}

/// An operation, and the site that it is for.
#[derive(Debug, Clone)]
pub struct SiteOperation {
    /// Which site; for a registration, the identity that it gets.
    pub site_id: SiteId,
    /// Which revision the site must have; a registration has none to have.
    pub expected: RevisionCheck,
    /// What to do.
    pub operation: Operation,
}

impl SiteOperation {
    /// The same, for a site of an expected revision only.
    pub fn expecting(self, expected: RevisionCheck) -> Self {
        Self { expected, ..self }
    }
}

/// What an operation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Registered the site.
    Registered,
    /// Changed it, or found it as it should be.
    Changed,
    /// Deleted it.
    Deleted,
}

/// Why an operation was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is no such site.
    NotFound,
    /// It has another revision than was expected.
    Stale,
    /// The extension leaves the range of time.
    TooFarAhead,
    /// A lock cannot be scheduled for a site that is locked.
    AlreadyLocked,
    /// A lock would end before it begins.
    LockEndsTooEarly,
    /// It would have more tags than a site may have.
    TooManyTags,
    /// The licence would end at a time that has passed, and that was not asked
    /// for.
    PastExpiry,
    /// This host knows no such time zone.
    UnknownTimeZone,
    /// The site's zone has skipped the day that a field names.
    SkippedDay(DateField),
}

/// A field of a request that may be a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateField {
    /// The last day of a licence.
    Expiry,
    /// The day at whose end a lock begins.
    LockAt,
    /// The last day of a lock.
    LockUntil,
}

impl Refused {
    fn day(error: Unresolved, field: DateField) -> Self {
        match error {
            Unresolved::UnknownZone => Self::UnknownTimeZone,
            Unresolved::SkippedDay => Self::SkippedDay(field),
        }
    }
}

impl From<ExpiryRefused> for Refused {
    fn from(refused: ExpiryRefused) -> Self {
        match refused {
            ExpiryRefused::TooFarAhead => Self::TooFarAhead,
            ExpiryRefused::Unresolved(error) => Self::day(error, DateField::Expiry),
            ExpiryRefused::Past => Self::PastExpiry,
        }
    }
}

impl From<LockRefused> for Refused {
    fn from(refused: LockRefused) -> Self {
        match refused {
            LockRefused::AlreadyLocked => Self::AlreadyLocked,
            LockRefused::EndsTooEarly => Self::LockEndsTooEarly,
            LockRefused::At(error) => Self::day(error, DateField::LockAt),
            LockRefused::Until(error) => Self::day(error, DateField::LockUntil),
        }
    }
}

/// What becomes of a site.
#[derive(Debug, Clone)]
pub struct Decision {
    /// What the operation does.
    pub effect: Effect,
    /// The site as it leaves it; as it was, when it is deleted.
    pub site: Site,
    /// What the audit trail says of it; `None` when nothing changes, and
    /// nothing is to be written.
    pub entry: Option<NewAuditEntry>,
}

/// Decides what `wanted` makes of `site`, the one that it names, or `None`
/// where there is none.
///
/// # Errors
/// [`Refused`]: nothing is to be written.
pub fn decide(
    site: Option<&Site>,
    wanted: &SiteOperation,
    by: &Actor,
    rules: &Rules,
    now: Timestamp,
) -> Result<Decision, Refused> {
    let entry = |action, before: Option<&Site>, after: Option<&Site>| {
        let changes = differences(before, after, now);
        NewAuditEntry { site_id: Some(wanted.site_id), changes, ..NewAuditEntry::of(action, by, now) }
    };
    let expected = || match site {
        None => Err(Refused::NotFound),
        Some(site) if !wanted.expected.allows(site.revision) => Err(Refused::Stale),
        Some(site) => Ok(site),
    };
    let edited = |action, before: &Site, mut after: Site| {
        let entry = entry(action, Some(before), Some(&after));
        // Of a new key the trail shows nothing.
        let changed = !entry.changes.is_empty() || before.key_generation != after.key_generation;
        after.revision += u64::from(changed);
        if changed && before.terms != after.terms {
            after.verdict_revision = before.verdict_revision.at(&before.terms, rules, now).next(rules, now);
        }
        Decision { effect: Effect::Changed, site: after, entry: changed.then_some(entry) }
    };
    match &wanted.operation {
        Operation::Register { new, key } => {
            let mut new = new.clone();
            new.time_zone = known(new.time_zone, rules)?;
            let calendar = rules.calendar(new.time_zone.as_ref());
            let site = Site::registered(wanted.site_id, new, *key, &calendar, now)?;
            let entry = entry(Action::SiteRegistered, None, Some(&site));
            Ok(Decision { effect: Effect::Registered, site, entry: Some(entry) })
        }
        Operation::Update(change) => {
            let before = expected()?;
            let (mut change, mut after) = (change.clone(), before.clone());
            if let Some(time_zone) = change.time_zone.take() {
                change.time_zone = Some(known(time_zone, rules)?);
            }
            let time_zone = change.time_zone.as_ref().unwrap_or(&before.time_zone);
            let calendar = rules.calendar(time_zone.as_ref());
            change.apply(&mut after, &calendar, now)?;
            Ok(edited(Action::SiteUpdated, before, after))
        }
        Operation::Lock(lock) => {
            let before = expected()?;
            let mut after = before.clone();
            after.terms.lock(lock.clone(), &rules.calendar(before.time_zone.as_ref()), now)?;
            Ok(edited(Action::SiteLocked, before, after))
        }
        Operation::Unlock => {
            let before = expected()?;
            let mut after = before.clone();
            after.terms.unlock();
            Ok(edited(Action::SiteUnlocked, before, after))
        }
        Operation::RotateKey { key, overlap_hours } => {
            let before = expected()?;
            let mut after = before.clone();
            after.rotate_key(*key, *overlap_hours, now);
            Ok(edited(Action::SiteKeyRotated, before, after))
        }
        Operation::Watch(watch) => {
            let before = expected()?;
            Ok(edited(Action::SiteWatched, before, Site { watch: *watch, ..before.clone() }))
        }
        Operation::Tag(tags) => {
            let before = expected()?;
            let tags = before.tags.with(tags).map_err(|_| Refused::TooManyTags)?;
            Ok(edited(Action::SiteUpdated, before, Site { tags, ..before.clone() }))
        }
        Operation::Untag(tags) => {
            let before = expected()?;
            let tags = before.tags.without(tags);
            Ok(edited(Action::SiteUpdated, before, Site { tags, ..before.clone() }))
        }
        Operation::Delete => {
            let site = expected()?;
            let entry = entry(Action::SiteDeleted, Some(site), None);
            Ok(Decision { effect: Effect::Deleted, site: site.clone(), entry: Some(entry) })
        }
    }
}

/// The zone as this host names it.
fn known(time_zone: Option<TimeZoneName>, rules: &Rules) -> Result<Option<TimeZoneName>, Refused> {
    let known = |zone| rules.known_zone(&zone).ok_or(Refused::UnknownTimeZone);
    time_zone.map(known).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ActorKind, LicenceChange, SecretKey, Terms};

    const NOW: i64 = 1_900_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    fn admin() -> Actor {
        Actor { kind: ActorKind::Admin, name: "sysadmin".to_owned(), token: None, ip: None }
    }

    fn register() -> Operation {
        let email = "mario@example.com".parse().unwrap();
        let new = NewSite {
            owner_name: "Mario Rossi".parse().unwrap(),
            ..NewSite::named("Trattoria Da Mario".parse().unwrap(), email, at(NOW + 100))
        };
        Operation::Register { new, key: SecretKey::from_random_bits([1; 32]).hash() }
    }

    fn lock() -> Operation {
        Operation::Lock(NewLock::now("unpaid".parse().unwrap()))
    }

    fn decided(site: Option<&Site>, operation: Operation) -> Result<Decision, Refused> {
        decide(site, &operation.on(SiteId::from_u128(7)), &admin(), &Rules::default(), at(NOW))
    }

    fn site() -> Site {
        decided(None, register()).unwrap().site
    }

    /// What the trail says of a decision: the action and the fields.
    fn told(decision: &Decision) -> Option<(Action, Vec<String>)> {
        let entry = decision.entry.as_ref()?;
        assert_eq!(entry.site_id, Some(decision.site.site_id));
        assert_eq!((&entry.actor, entry.at), (&admin(), at(NOW)));
        Some((entry.action, entry.changes.iter().map(|change| change.field.as_str().to_owned()).collect()))
    }

    fn some(action: Action, fields: &[&str]) -> Option<(Action, Vec<String>)> {
        Some((action, fields.iter().map(|&field| field.to_owned()).collect()))
    }

    #[test]
    fn each_operation_has_its_effect_and_its_entry() {
        let registered = decided(None, register()).unwrap();
        assert_eq!((registered.effect, registered.site.revision), (Effect::Registered, 1));
        let fields = ["name", "owner_name", "contact_email", "license_expires_at", "is_active"];
        assert_eq!(told(&registered), some(Action::SiteRegistered, &fields));

        let change = SiteChange { is_active: Some(false), ..SiteChange::default() };
        let updated = decided(Some(&site()), Operation::Update(change)).unwrap();
        assert_eq!((updated.effect, updated.site.revision), (Effect::Changed, 2));
        assert!(!updated.site.terms.is_active);
        assert_eq!(told(&updated), some(Action::SiteUpdated, &["is_active"]));

        let locked = decided(Some(&site()), lock()).unwrap();
        assert_eq!(locked.site.terms.locked(at(NOW)).unwrap().reason, "unpaid".parse().unwrap());
        assert_eq!(told(&locked), some(Action::SiteLocked, &["lock_reason"]));
        let unlocked = decided(Some(&locked.site), Operation::Unlock).unwrap();
        assert_eq!((unlocked.site.terms.lock.as_ref(), unlocked.site.revision), (None, 3));
        assert_eq!(told(&unlocked), some(Action::SiteUnlocked, &["lock_reason"]));

        let key = SecretKey::from_random_bits([2; 32]).hash();
        let rotated = decided(Some(&site()), Operation::RotateKey { key, overlap_hours: 0 }).unwrap();
        assert_eq!((rotated.site.key_generation, rotated.site.revision), (2, 2));
        assert_eq!(told(&rotated), some(Action::SiteKeyRotated, &[]));

        let deleted = decided(Some(&locked.site), Operation::Delete).unwrap();
        assert_eq!((deleted.effect, deleted.site.revision), (Effect::Deleted, 2));
        let fields =
            ["name", "owner_name", "contact_email", "license_expires_at", "is_active", "lock_reason"];
        assert_eq!(told(&deleted), some(Action::SiteDeleted, &fields));
    }

    #[test]
    fn only_what_changes_the_terms_raises_the_verdict_revision() {
        let number =
            |site: &Site, operation| decided(Some(site), operation).unwrap().site.verdict_revision.number;
        let change = |change| Operation::Update(change);
        let site = site();
        assert_eq!(site.verdict_revision.number, 1);
        assert_eq!(number(&site, lock()), 2);
        assert_eq!(number(&site, change(SiteChange { is_active: Some(false), ..SiteChange::default() })), 2);
        let extension = SiteChange { licence: LicenceChange::ExtendDays(1), ..SiteChange::default() };
        assert_eq!(number(&site, change(extension)), 2);
        let features = SiteChange { features: Some("orders".parse().unwrap()), ..SiteChange::default() };
        assert_eq!(number(&site, change(features)), 2);
        let tags = SiteChange { tags: Some("vip".parse().unwrap()), ..SiteChange::default() };
        assert_eq!(number(&site, change(tags)), 1);
        assert_eq!(number(&site, Operation::Unlock), 1);
        let scheduled = NewLock {
            at: Some(at(NOW + 10).into()),
            until: Some(at(NOW + 20).into()),
            ..NewLock::now("unpaid".parse().unwrap())
        };
        let scheduled = decided(Some(&site), Operation::Lock(scheduled)).unwrap();
        assert_eq!(told(&scheduled), some(Action::SiteLocked, &["lock_reason", "lock_at", "lock_until"]));
        let later = |now| {
            let wanted = Operation::Unlock.on(SiteId::from_u128(7));
            decide(Some(&scheduled.site), &wanted, &admin(), &Rules::default(), at(now)).unwrap().site
        };
        assert_eq!(later(NOW + 1).verdict_revision.number, 3);
        assert_eq!(later(NOW + 10).verdict_revision.number, 4, "it had begun by itself");
    }

    #[test]
    fn tags_are_added_and_taken_away_and_the_21st_is_refused() {
        let tags = |count: usize| Tags::of((0..count).map(|number| format!("t{number}"))).unwrap();
        let tagged = decided(Some(&site()), Operation::Tag(tags(20))).unwrap();
        assert_eq!((told(&tagged), &tagged.site.tags), (some(Action::SiteUpdated, &["tags"]), &tags(20)));
        let again = decided(Some(&tagged.site), Operation::Tag(tags(3))).unwrap();
        assert_eq!((again.entry, again.site.revision), (None, 2), "it has them");
        let one_more = Operation::Tag("vip".parse().unwrap());
        assert_eq!(decided(Some(&tagged.site), one_more.clone()).unwrap_err(), Refused::TooManyTags);
        let untagged = decided(Some(&tagged.site), Operation::Untag("t0 t19 none".parse().unwrap())).unwrap();
        assert_eq!(
            (untagged.site.tags.iter().len(), told(&untagged)),
            (18, some(Action::SiteUpdated, &["tags"]))
        );
        assert!(decided(Some(&untagged.site), one_more).is_ok());
        let nothing = decided(Some(&untagged.site), Operation::Untag("none".parse().unwrap())).unwrap();
        assert_eq!(nothing.entry, None);
        for operation in [Operation::Tag(tags(1)), Operation::Untag(tags(1))] {
            assert_eq!(decided(None, operation).unwrap_err(), Refused::NotFound);
        }
    }

    #[test]
    fn what_changes_nothing_leaves_no_entry_and_no_revision() {
        let locked = decided(Some(&site()), lock()).unwrap().site;
        for (site, operation) in [
            (site(), Operation::Unlock),
            (site(), Operation::Update(SiteChange::default())),
            (locked.clone(), lock()),
        ] {
            let decision = decided(Some(&site), operation).unwrap();
            assert_eq!((decision.effect, decision.site.revision), (Effect::Changed, site.revision));
            assert_eq!(decision.entry, None);
        }
    }

    #[test]
    fn all_but_a_registration_needs_the_site_in_the_revision_that_is_expected() {
        let key = SecretKey::from_random_bits([2; 32]).hash();
        let far = SiteChange { licence: LicenceChange::ExtendDays(1), ..SiteChange::default() };
        for operation in [
            Operation::Update(SiteChange::default()),
            lock(),
            Operation::Unlock,
            Operation::RotateKey { key, overlap_hours: 1 },
            Operation::Delete,
        ] {
            assert_eq!(decided(None, operation.clone()).unwrap_err(), Refused::NotFound);
            let decide = |expected: &[u64]| {
                let check = RevisionCheck::OneOf(expected.to_vec());
                let wanted = operation.clone().on(SiteId::from_u128(7)).expecting(check);
                decide(Some(&site()), &wanted, &admin(), &Rules::default(), at(NOW))
            };
            assert_eq!(decide(&[2, 3]).unwrap_err(), Refused::Stale);
            assert!(decide(&[1, 2]).is_ok());
        }
        let site = Site { terms: Terms::until(Timestamp::MAX), ..site() };
        assert_eq!(decided(Some(&site), Operation::Update(far)).unwrap_err(), Refused::TooFarAhead);
    }
}

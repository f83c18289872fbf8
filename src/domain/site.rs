//! A site: one restaurant with a local backend.

use super::calendar::{Calendar, Moment};
use super::codes::{Features, Tags};
use super::delivery::{Delivered, Delivery};
use super::heartbeat::Seen;
use super::licence::{ExpiryRefused, LicenceChange, expiry};
use super::rules::{GraceDays, OfflineHours, Rules, TimeZoneName};
use super::secret_key::{KeyHash, OldKey, SiteKeys};
use super::site_id::SiteId;
use super::terms::{Terms, VerdictRevision};
use super::text::{ContactEmail, Notes, OwnerName, SiteName};
use super::time::{SECONDS_PER_DAY, Timestamp, is_from_the_future};

/// The longest overlap of a key rotation, in hours: a week.
pub const MAX_OVERLAP_HOURS: u8 = 168;

/// What the sysadmin says of a site when registering it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSite {
    /// What the vendor calls it.
    pub name: SiteName,
    /// Who owns it.
    pub owner_name: OwnerName,
    /// Whom to write to.
    pub contact_email: ContactEmail,
    /// When its licence expires.
    pub license_expires_at: Moment,
    /// Whether that may be a time that has passed.
    pub allow_past: bool,
    /// What it is sorted by.
    pub tags: Tags,
    /// What is to be remembered of it.
    pub notes: Notes,
    /// What its licence switches on.
    pub features: Features,
    /// Where its days end; `None`: as configured.
    pub time_zone: Option<TimeZoneName>,
    /// For how long its licence holds after its expiry; `None`: as configured.
    pub grace_days: Option<GraceDays>,
    /// How long its leases last; `None`: as configured.
    pub offline_hours: Option<OfflineHours>,
}

impl NewSite {
    /// With nothing said of it but what must be.
    pub fn named(name: SiteName, contact_email: ContactEmail, license_expires_at: impl Into<Moment>) -> Self {
        Self {
            name,
            owner_name: OwnerName::default(),
            contact_email,
            license_expires_at: license_expires_at.into(),
            allow_past: false,
            tags: Tags::default(),
            notes: Notes::default(),
            features: Features::default(),
            time_zone: None,
            grace_days: None,
            offline_hours: None,
        }
    }
}

/// A time in which a site is to call more often, because something is about to
/// change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// Minutes between two calls, within [`Watch::MINUTES`].
    pub minutes: u8,
    /// When it ends.
    pub until: Timestamp,
}

impl Watch {
    /// How many minutes there may be between two calls.
    pub const MINUTES: std::ops::RangeInclusive<u8> = 5..=60;
    /// How long it lasts, in seconds: a day.
    pub const SECONDS: i64 = SECONDS_PER_DAY;

    /// For a day from `now` on; `None` when `minutes` are out of bounds.
    pub fn from_now(minutes: u8, now: Timestamp) -> Option<Self> {
        let until = now.checked_add_seconds(Self::SECONDS).unwrap_or(Timestamp::MAX);
        Self::MINUTES.contains(&minutes).then_some(Self { minutes, until })
    }

    /// Seconds to the next call of a site that is to call in `slot` seconds
    /// otherwise.
    pub fn seconds_to_next(watch: Option<Self>, slot: i64, now: Timestamp) -> i64 {
        watch.filter(|watch| now < watch.until).map_or(slot, |watch| slot.min(i64::from(watch.minutes) * 60))
    }
}

/// A registered site.
#[derive(Debug, Clone)]
pub struct Site {
    /// Number in order of registration, from 1; never used again.
    pub id: u64,
    /// Public identity.
    pub site_id: SiteId,
    /// What the vendor calls it.
    pub name: SiteName,
    /// Who owns it.
    pub owner_name: OwnerName,
    /// Whom to write to.
    pub contact_email: ContactEmail,
    /// Hash of the key that its local backend holds.
    pub key: KeyHash,
    /// Counts its keys, from 1.
    pub key_generation: u64,
    /// The key before it, while a rotation's overlap lasts.
    pub old_key: Option<OldKey>,
    /// What it is sorted by.
    pub tags: Tags,
    /// What is to be remembered of it.
    pub notes: Notes,
    /// Where its days end; `None`: as configured.
    pub time_zone: Option<TimeZoneName>,
    /// What it may do.
    pub terms: Terms,
    /// Counts the changes of its terms, as of the last that somebody made.
    pub verdict_revision: VerdictRevision,
    /// Until when it is to call more often.
    pub watch: Option<Watch>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Counts the changes made by admins, from 1. Heartbeats do not count:
    /// they must not get in the way of an edit.
    pub revision: u64,
    /// Its last heartbeat.
    pub seen: Option<Seen>,
}

/// Where a site stands. The first that holds, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteStatus {
    /// Switched off by the sysadmin.
    Inactive,
    /// Locked by the sysadmin.
    Locked,
    /// The licence has expired.
    Expired,
    /// No heartbeat ever came.
    NeverSeen,
    /// No heartbeat for longer than the configured silence.
    Silent,
    /// All is well.
    Online,
}

impl SiteStatus {
    /// Every status, in order of precedence.
    pub const ALL: [Self; 6] =
        [Self::Inactive, Self::Locked, Self::Expired, Self::NeverSeen, Self::Silent, Self::Online];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Locked => "locked",
            Self::Expired => "expired",
            Self::NeverSeen => "never_seen",
            Self::Silent => "silent",
            Self::Online => "online",
        }
    }

    /// Where a site with these terms stands at `now` whose last heartbeat came
    /// at `seen_at`.
    pub fn of(terms: &Terms, seen_at: Option<Timestamp>, rules: &Rules, now: Timestamp) -> Self {
        let limit = i64::from(rules.silent_after.0) * 3600;
        match seen_at {
            _ if !terms.is_active => Self::Inactive,
            _ if terms.locked(now).is_some() => Self::Locked,
            _ if !terms.licensed(rules, now) => Self::Expired,
            None => Self::NeverSeen,
            // When it was heard last is not known.
            Some(seen_at) if is_from_the_future(seen_at, now) => Self::Silent,
            Some(seen_at) if limit > 0 && now.seconds_since(seen_at) > limit => Self::Silent,
            Some(_) => Self::Online,
        }
    }
}

impl Site {
    /// A site as it is registered, by its own calendar. Its number is 0 until
    /// the store gives it one.
    ///
    /// # Errors
    /// [`ExpiryRefused`].
    pub fn registered(
        site_id: SiteId,
        new: NewSite,
        key: KeyHash,
        calendar: &Calendar,
        now: Timestamp,
    ) -> Result<Self, ExpiryRefused> {
        let expires_at = expiry(new.license_expires_at, calendar, new.allow_past, now)?;
        Ok(Self {
            id: 0,
            site_id,
            name: new.name,
            owner_name: new.owner_name,
            contact_email: new.contact_email,
            key,
            key_generation: 1,
            old_key: None,
            tags: new.tags,
            notes: new.notes,
            time_zone: new.time_zone,
            terms: Terms {
                grace_days: new.grace_days,
                features: new.features,
                offline_hours: new.offline_hours,
                ..Terms::until(expires_at)
            },
            verdict_revision: VerdictRevision::first(now),
            watch: None,
            created_at: now,
            revision: 1,
            seen: None,
        })
    }

    /// Where it stands at `now`.
    pub fn status(&self, rules: &Rules, now: Timestamp) -> SiteStatus {
        SiteStatus::of(&self.terms, self.seen.as_ref().map(|seen| seen.at), rules, now)
    }

    /// The generation of the key with this hash that works at `now`, or
    /// `None`.
    pub fn key_matching(&self, presented: &KeyHash, now: Timestamp) -> Option<u64> {
        let keys = SiteKeys { key: self.key, generation: self.key_generation, old: self.old_key };
        keys.matching(presented, now)
    }

    /// Whether its last heartbeat used its newest key; `None` before the
    /// first.
    pub fn uses_newest_key(&self) -> Option<bool> {
        self.seen.as_ref().map(|seen| seen.key_generation == self.key_generation)
    }

    /// How far the last change of what it may do has come at `now`.
    pub fn delivery(&self, rules: &Rules, now: Timestamp) -> Delivery {
        let delivered = self.seen.as_ref().map_or(Delivered::default(), |seen| seen.delivered);
        delivered.of(self.verdict_revision.at(&self.terms, rules, now))
    }

    /// Gives it a new key; the present one goes on working for
    /// `overlap_hours`, 0 to [`MAX_OVERLAP_HOURS`], and any older one ends.
    /// Returns until when, or `None` without an overlap.
    pub fn rotate_key(&mut self, new: KeyHash, overlap_hours: u8, now: Timestamp) -> Option<Timestamp> {
        let overlap = i64::from(overlap_hours) * 3600;
        let valid_until = now.checked_add_seconds(overlap).filter(|_| overlap > 0);
        self.old_key = valid_until.map(|valid_until| OldKey { hash: self.key, valid_until });
        self.key = new;
        self.key_generation += 1;
        valid_until
    }
}

/// Which revision of a site a change expects (`If-Match`, RFC 9110, section
/// 13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevisionCheck {
    /// Whichever it is.
    Any,
    /// One of these.
    OneOf(Vec<u64>),
}

impl RevisionCheck {
    /// Whether a site of this revision may be changed.
    pub fn allows(&self, revision: u64) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(expected) => expected.contains(&revision),
        }
    }
}

/// What an update changes; `None` leaves a field as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SiteChange {
    /// New name.
    pub name: Option<SiteName>,
    /// New owner.
    pub owner_name: Option<OwnerName>,
    /// New address.
    pub contact_email: Option<ContactEmail>,
    /// What becomes of the expiry.
    pub licence: LicenceChange,
    /// Whether that may be a time that has passed.
    pub allow_past: bool,
    /// Switch it on or off.
    pub is_active: Option<bool>,
    /// New tags, in place of all that it has.
    pub tags: Option<Tags>,
    /// New notes.
    pub notes: Option<Notes>,
    /// New features, in place of all that it has.
    pub features: Option<Features>,
    /// Where its days end; `Some(None)`: as configured.
    pub time_zone: Option<Option<TimeZoneName>>,
    /// How long its licence holds after its expiry; `Some(None)`: as
    /// configured.
    pub grace_days: Option<Option<GraceDays>>,
    /// How long its leases last; `Some(None)`: as configured.
    pub offline_hours: Option<Option<OfflineHours>>,
}

impl SiteChange {
    /// Applies the change to `site`, by the calendar of the zone that it has
    /// after it.
    ///
    /// # Errors
    /// [`ExpiryRefused`]; `site` is then unchanged.
    pub fn apply(self, site: &mut Site, calendar: &Calendar, now: Timestamp) -> Result<(), ExpiryRefused> {
        let expires_at = site.terms.license_expires_at;
        site.terms.license_expires_at = self.licence.apply(expires_at, calendar, self.allow_past, now)?;
        if let Some(name) = self.name {
            site.name = name;
        }
        if let Some(owner_name) = self.owner_name {
            site.owner_name = owner_name;
        }
        if let Some(contact_email) = self.contact_email {
            site.contact_email = contact_email;
        }
        if let Some(is_active) = self.is_active {
            site.terms.is_active = is_active;
        }
        if let Some(tags) = self.tags {
            site.tags = tags;
        }
        if let Some(notes) = self.notes {
            site.notes = notes;
        }
        if let Some(features) = self.features {
            site.terms.features = features;
        }
        if let Some(time_zone) = self.time_zone {
            site.time_zone = time_zone;
        }
        if let Some(grace_days) = self.grace_days {
            site.terms.grace_days = grace_days;
        }
        if let Some(offline_hours) = self.offline_hours {
            site.terms.offline_hours = offline_hours;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::calendar::Zones;
    use crate::domain::heartbeat::Heartbeat;
    use crate::domain::rules::SilentAfterHours;
    use crate::domain::secret_key::SecretKey;
    use crate::domain::terms::Lock;

    const NOW: i64 = 1_900_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    fn site() -> Site {
        let email = "mario@example.com".parse().unwrap();
        let new = NewSite {
            owner_name: "Mario Rossi".parse().unwrap(),
            tags: "rome vip".parse().unwrap(),
            notes: "Rings on Mondays".parse().unwrap(),
            ..NewSite::named("Trattoria Da Mario".parse().unwrap(), email, at(NOW + 100))
        };
        let key = SecretKey::from_random_bits([1; 32]).hash();
        let utc = Zones::default().calendar("UTC");
        Site::registered(SiteId::from_u128(7), new, key, &utc, at(NOW - 1000)).unwrap()
    }

    fn seen(ago: i64) -> Option<Seen> {
        Some(Seen {
            at: at(NOW - ago),
            ip: "192.0.2.1".parse().unwrap(),
            heartbeat: Heartbeat { version: "1.0".parse().unwrap(), uptime_seconds: 5 },
            key_generation: 1,
            delivered: Delivered::default(),
            lease: None,
            today: None,
        })
    }

    #[test]
    fn status_is_the_first_that_holds() {
        let silent_after = |hours| Rules { silent_after: SilentAfterHours(hours), ..Rules::default() };
        let status = |site: &Site| site.status(&silent_after(13), at(NOW)).as_str();
        let mut site = site();
        assert_eq!(status(&site), "never_seen");
        site.seen = seen(13 * 3600);
        assert_eq!(status(&site), "online");
        site.seen = seen(13 * 3600 + 1);
        assert_eq!(status(&site), "silent");
        assert_eq!(site.status(&silent_after(0), at(NOW)).as_str(), "online");
        site.seen = seen(-300);
        assert_eq!(status(&site), "online", "clocks are set back by as much");
        site.seen = seen(-301);
        assert_eq!(status(&site), "silent", "its time is that of a wrong clock");
        assert_eq!(site.status(&silent_after(0), at(NOW)).as_str(), "silent");
        site.terms.license_expires_at = at(NOW);
        assert_eq!(status(&site), "expired");
        site.terms.lock = Some(Lock { reason: "unpaid".parse().unwrap(), at: Some(at(NOW)), until: None });
        assert_eq!(status(&site), "locked");
        site.terms.is_active = false;
        assert_eq!(status(&site), "inactive");
    }

    #[test]
    fn a_search_ignores_case_and_looks_at_all_that_people_wrote_and_the_id() {
        let site = site();
        for needle in [
            "da mario",
            "rossi",
            "mario@example",
            "00000000-0000-0000-0000-000000000007",
            "vip",
            "on mondays",
        ] {
            assert!(site.view().mentions(needle), "{needle}");
        }
        assert!(!site.view().mentions("luigi"));
    }

    #[test]
    fn during_the_overlap_of_a_rotation_both_keys_work_and_no_longer() {
        let mut site = site();
        let hash = |n| SecretKey::from_random_bits([n; 32]).hash();
        assert_eq!(site.rotate_key(hash(2), 2, at(NOW)), Some(at(NOW + 7200)));
        assert_eq!(site.key_matching(&hash(2), at(NOW)), Some(2));
        assert_eq!(site.key_matching(&hash(1), at(NOW + 7199)), Some(1));
        assert_eq!(site.key_matching(&hash(1), at(NOW + 7200)), None);
        assert_eq!(site.rotate_key(hash(3), 2, at(NOW)), Some(at(NOW + 7200)));
        assert_eq!(site.key_matching(&hash(1), at(NOW)), None, "two rotations ago");
        assert_eq!(site.rotate_key(hash(4), 0, at(NOW)), None);
        assert_eq!(site.key_matching(&hash(3), at(NOW)), None, "no overlap");
    }

    #[test]
    fn a_refused_change_leaves_the_site_as_it_was() {
        let mut site = site();
        site.terms.license_expires_at = Timestamp::MAX;
        let change = SiteChange {
            name: Some("New".parse().unwrap()),
            licence: LicenceChange::ExtendDays(1),
            ..SiteChange::default()
        };
        let utc = Zones::default().calendar("UTC");
        assert_eq!(change.apply(&mut site, &utc, at(NOW)), Err(ExpiryRefused::TooFarAhead));
        assert_eq!(site.name.as_str(), "Trattoria Da Mario");
    }
}

//! A site: one restaurant with a local backend.

use super::heartbeat::Seen;
use super::licence::{LicenceChange, TooFarAhead, is_licensed};
use super::secret_key::{KeyHash, OldKey, SiteKeys};
use super::site_id::SiteId;
use super::text::{ContactEmail, LockReason, OwnerName, SiteName, composed};
use super::time::Timestamp;

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
    pub license_expires_at: Timestamp,
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
    /// Whether it may be licensed at all.
    pub is_active: bool,
    /// Why it is locked; `None` when it is not.
    pub lock_reason: Option<LockReason>,
    /// When its licence expires.
    pub license_expires_at: Timestamp,
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
}

/// How long a site may be silent, in hours, before its status says so; 0
/// switches that off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SilentAfterHours(pub u32);

impl Site {
    /// A site as it is registered. Its number is 0 until the store gives it
    /// one.
    pub fn registered(site_id: SiteId, new: NewSite, key: KeyHash, now: Timestamp) -> Self {
        Self {
            id: 0,
            site_id,
            name: new.name,
            owner_name: new.owner_name,
            contact_email: new.contact_email,
            key,
            key_generation: 1,
            old_key: None,
            is_active: true,
            lock_reason: None,
            license_expires_at: new.license_expires_at,
            created_at: now,
            revision: 1,
            seen: None,
        }
    }

    /// Whether its licence holds at `now`.
    pub fn licensed(&self, now: Timestamp) -> bool {
        is_licensed(self.is_active, self.license_expires_at, now)
    }

    /// Where it stands at `now`.
    pub fn status(&self, now: Timestamp, silent_after: SilentAfterHours) -> SiteStatus {
        let limit = i64::from(silent_after.0) * 3600;
        match &self.seen {
            _ if !self.is_active => SiteStatus::Inactive,
            _ if self.lock_reason.is_some() => SiteStatus::Locked,
            _ if !self.licensed(now) => SiteStatus::Expired,
            None => SiteStatus::NeverSeen,
            // When it was heard last is not known.
            Some(seen) if seen.is_from_the_future(now) => SiteStatus::Silent,
            Some(seen) if limit > 0 && now.seconds_since(seen.at) > limit => SiteStatus::Silent,
            Some(_) => SiteStatus::Online,
        }
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

    /// Locks it, or changes the reason of its lock.
    pub fn lock(&mut self, reason: LockReason) {
        self.lock_reason = Some(reason);
    }

    /// Unlocks it.
    pub fn unlock(&mut self) {
        self.lock_reason = None;
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

    /// Whether `needle`, in lower case, stands in the name, owner, e-mail
    /// address or site id, without regard to case.
    pub fn mentions(&self, needle: &str) -> bool {
        [self.name.as_str(), self.owner_name.as_str(), self.contact_email.as_str()]
            .iter()
            .any(|text| composed(text).to_lowercase().contains(needle))
            || self.site_id.to_string().contains(needle)
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
    /// Switch it on or off.
    pub is_active: Option<bool>,
}

impl SiteChange {
    /// Applies the change to `site`.
    ///
    /// # Errors
    /// [`TooFarAhead`] when an extension leaves the range of time; `site` is
    /// then unchanged.
    pub fn apply(self, site: &mut Site, now: Timestamp) -> Result<(), TooFarAhead> {
        site.license_expires_at = self.licence.apply(site.license_expires_at, now)?;
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
            site.is_active = is_active;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::heartbeat::Heartbeat;
    use crate::domain::secret_key::SecretKey;

    const NOW: i64 = 1_900_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    fn site() -> Site {
        Site {
            id: 1,
            site_id: SiteId::from_u128(7),
            name: "Trattoria Da Mario".parse().unwrap(),
            owner_name: "Mario Rossi".parse().unwrap(),
            contact_email: "mario@example.com".parse().unwrap(),
            key: SecretKey::from_random_bits([1; 32]).hash(),
            key_generation: 1,
            old_key: None,
            is_active: true,
            lock_reason: None,
            license_expires_at: at(NOW + 100),
            created_at: at(NOW - 1000),
            revision: 1,
            seen: None,
        }
    }

    fn seen(ago: i64) -> Option<Seen> {
        Some(Seen {
            at: at(NOW - ago),
            ip: "192.0.2.1".parse().unwrap(),
            heartbeat: Heartbeat { version: "1.0".parse().unwrap(), uptime_seconds: 5 },
            key_generation: 1,
        })
    }

    #[test]
    fn status_is_the_first_that_holds() {
        let limit = SilentAfterHours(13);
        let status = |site: &Site| site.status(at(NOW), limit).as_str();
        let mut site = site();
        assert_eq!(status(&site), "never_seen");
        site.seen = seen(13 * 3600);
        assert_eq!(status(&site), "online");
        site.seen = seen(13 * 3600 + 1);
        assert_eq!(status(&site), "silent");
        assert_eq!(site.status(at(NOW), SilentAfterHours(0)).as_str(), "online");
        site.seen = seen(-300);
        assert_eq!(status(&site), "online", "clocks are set back by as much");
        site.seen = seen(-301);
        assert_eq!(status(&site), "silent", "its time is that of a wrong clock");
        assert_eq!(site.status(at(NOW), SilentAfterHours(0)).as_str(), "silent");
        site.license_expires_at = at(NOW);
        assert_eq!(status(&site), "expired");
        site.lock_reason = Some("unpaid".parse().unwrap());
        assert_eq!(status(&site), "locked");
        site.is_active = false;
        assert_eq!(status(&site), "inactive");
    }

    #[test]
    fn a_search_ignores_case_and_looks_at_name_owner_address_and_id() {
        let site = site();
        for needle in ["da mario", "rossi", "mario@example", "00000000-0000-0000-0000-000000000007"] {
            assert!(site.mentions(needle), "{needle}");
        }
        assert!(!site.mentions("luigi"));
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
        site.license_expires_at = Timestamp::MAX;
        let change = SiteChange {
            name: Some("New".parse().unwrap()),
            licence: LicenceChange::ExtendDays(1),
            ..SiteChange::default()
        };
        assert_eq!(change.apply(&mut site, at(NOW)), Err(TooFarAhead));
        assert_eq!(site.name.as_str(), "Trattoria Da Mario");
    }
}

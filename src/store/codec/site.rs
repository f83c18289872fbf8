//! The records of a site: its registration, and its last heartbeat.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::bytes::{DecodeError, body_of, borrow, borrow_body, text, time};
use super::history::TodayRow;
use crate::domain::delivery::Reached;
use crate::domain::heartbeat::LastLease;
use crate::domain::secret_key::{OldKey, SiteKeys};
use crate::domain::site::Watch;
use crate::domain::{
    Delivered, GraceDays, Heartbeat, KeyHash, Lock, OfflineHours, Seen, Site, SiteId, Terms, TimeZoneName,
    Timestamp, VerdictRevision,
};

/// A site's registration. Its number is the key of its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct SiteRow {
    pub(super) fields: SiteFields,
    /// The number of the audit entry on its registration, as long as that entry
    /// leaves to this row what it tells; else 0.
    pub(in crate::store) registration_entry: u64,
    /// The begin and the end of the lock whose reason is among the fields.
    pub(super) lock_at: Option<i64>,
    pub(super) lock_until: Option<i64>,
    pub(super) grace_days: Option<u8>,
    pub(super) offline_hours: Option<u16>,
    pub(super) verdict_revision: u64,
    /// `None`: when it was registered.
    pub(super) verdict_changed_at: Option<i64>,
    /// With spaces between them, as the tags.
    pub(super) features: String,
    pub(super) tags: String,
    pub(super) notes: String,
    pub(super) time_zone: Option<String>,
    pub(super) watch: Option<WatchRow>,
}

/// Minutes between two calls, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct WatchRow {
    pub(super) minutes: u8,
    pub(super) until: i64,
}

impl WatchRow {
    fn read(self) -> Result<Watch, DecodeError> {
        Ok(Watch { minutes: self.minutes, until: time("watch", self.until)? })
    }
}

/// All of it that version 1 had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct SiteFields {
    pub(super) site_id: u128,
    pub(super) name: String,
    pub(super) owner_name: String,
    pub(super) contact_email: String,
    pub(super) key_hash: [u8; 32],
    pub(super) is_active: bool,
    pub(super) lock_reason: Option<String>,
    pub(super) license_expires_at: i64,
    pub(super) created_at: i64,
    pub(super) revision: u64,
    pub(super) key_generation: u64,
    pub(super) old_key: Option<OldKeyRow>,
}

/// Reads a registration of an older version.
pub(super) fn upgrade(version: u8, body: &[u8]) -> Result<SiteRow, DecodeError> {
    match version {
        1 => body_of(body).map(SiteRow::of_version_1),
        _ => Err(DecodeError::Malformed),
    }
}

impl SiteRow {
    pub(super) fn of_version_1(fields: SiteFields) -> Self {
        Self {
            fields,
            registration_entry: 0,
            lock_at: None,
            lock_until: None,
            grace_days: None,
            offline_hours: None,
            verdict_revision: 1,
            verdict_changed_at: None,
            features: String::new(),
            tags: String::new(),
            notes: String::new(),
            time_zone: None,
            watch: None,
        }
    }

    pub(in crate::store) fn from_site(site: &Site, registration_entry: u64) -> Self {
        let terms = &site.terms;
        let fields = SiteFields {
            site_id: site.site_id.as_u128(),
            name: site.name.as_str().to_owned(),
            owner_name: site.owner_name.as_str().to_owned(),
            contact_email: site.contact_email.as_str().to_owned(),
            key_hash: *site.key.as_bytes(),
            is_active: terms.is_active,
            lock_reason: terms.lock.as_ref().map(|lock| lock.reason.as_str().to_owned()),
            license_expires_at: terms.license_expires_at.unix(),
            created_at: site.created_at.unix(),
            revision: site.revision,
            key_generation: site.key_generation,
            old_key: site
                .old_key
                .as_ref()
                .map(|old| OldKeyRow { hash: *old.hash.as_bytes(), valid_until: old.valid_until.unix() }),
        };
        let changed_at = site.verdict_revision.changed_at;
        let lock_time =
            |time: fn(&Lock) -> Option<Timestamp>| terms.lock.as_ref().and_then(time).map(Timestamp::unix);
        Self {
            fields,
            registration_entry,
            lock_at: lock_time(|lock| lock.at),
            lock_until: lock_time(|lock| lock.until),
            grace_days: terms.grace_days.map(GraceDays::get),
            offline_hours: terms.offline_hours.map(OfflineHours::get),
            verdict_revision: site.verdict_revision.number,
            verdict_changed_at: Some(changed_at.unix()).filter(|_| changed_at != site.created_at),
            features: terms.features.to_string(),
            tags: site.tags.to_string(),
            notes: site.notes.as_str().to_owned(),
            time_zone: site.time_zone.as_ref().map(|zone| zone.as_str().to_owned()),
            watch: site.watch.map(|watch| WatchRow { minutes: watch.minutes, until: watch.until.unix() }),
        }
    }

    /// The site's own zone.
    pub(in crate::store) fn time_zone(&self) -> Result<Option<TimeZoneName>, DecodeError> {
        self.time_zone.as_deref().map(|zone| text("time_zone", zone)).transpose()
    }

    pub(in crate::store) fn into_site(self, id: u64, seen: Option<Seen>) -> Result<Site, DecodeError> {
        let time_zone = self.time_zone()?;
        let fields = self.fields;
        let created_at = time("created_at", fields.created_at)?;
        let terms = TermsInPlace {
            is_active: fields.is_active,
            license_expires_at: fields.license_expires_at,
            lock_reason: fields.lock_reason.as_deref(),
            lock_at: self.lock_at,
            lock_until: self.lock_until,
            grace_days: self.grace_days,
            offline_hours: self.offline_hours,
            features: &self.features,
        };
        Ok(Site {
            id,
            site_id: SiteId::from_u128(fields.site_id),
            name: text("name", &fields.name)?,
            owner_name: text("owner_name", &fields.owner_name)?,
            contact_email: text("contact_email", &fields.contact_email)?,
            key: KeyHash::from_bytes(fields.key_hash),
            terms: terms.read()?,
            verdict_revision: verdict_revision(self.verdict_revision, self.verdict_changed_at, created_at)?,
            tags: self.tags.parse().map_err(|_| DecodeError::Field("tags"))?,
            notes: text("notes", &self.notes)?,
            time_zone,
            watch: self.watch.map(WatchRow::read).transpose()?,
            created_at,
            revision: fields.revision,
            key_generation: fields.key_generation,
            old_key: fields.old_key.map(OldKeyRow::into_old_key).transpose()?,
            seen,
        })
    }
}

/// What [`Terms`] are made of, as it lies in a row.
struct TermsInPlace<'a> {
    is_active: bool,
    license_expires_at: i64,
    lock_reason: Option<&'a str>,
    lock_at: Option<i64>,
    lock_until: Option<i64>,
    grace_days: Option<u8>,
    offline_hours: Option<u16>,
    features: &'a str,
}

impl TermsInPlace<'_> {
    fn read(self) -> Result<Terms, DecodeError> {
        let lock = |reason| {
            Ok(Lock {
                reason: text("lock_reason", reason)?,
                at: self.lock_at.map(|at| time("lock_at", at)).transpose()?,
                until: self.lock_until.map(|until| time("lock_until", until)).transpose()?,
            })
        };
        let grace_days = |days| GraceDays::new(days).ok_or(DecodeError::Field("grace_days"));
        let offline_hours = |hours| OfflineHours::new(hours).ok_or(DecodeError::Field("offline_hours"));
        Ok(Terms {
            is_active: self.is_active,
            license_expires_at: time("license_expires_at", self.license_expires_at)?,
            grace_days: self.grace_days.map(grace_days).transpose()?,
            lock: self.lock_reason.map(lock).transpose()?,
            features: self.features.parse().map_err(|_| DecodeError::Field("features"))?,
            offline_hours: self.offline_hours.map(offline_hours).transpose()?,
        })
    }
}

fn verdict_revision(
    number: u64,
    changed_at: Option<i64>,
    created_at: Timestamp,
) -> Result<VerdictRevision, DecodeError> {
    let changed_at = changed_at.map(|at| time("verdict_changed_at", at)).transpose()?;
    Ok(VerdictRevision { number, changed_at: changed_at.unwrap_or(created_at) })
}

/// The key that a rotation replaced, while it still works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct OldKeyRow {
    pub(super) hash: [u8; 32],
    pub(super) valid_until: i64,
}

impl OldKeyRow {
    fn into_old_key(self) -> Result<OldKey, DecodeError> {
        let valid_until = time("old_key_valid_until", self.valid_until)?;
        Ok(OldKey { hash: KeyHash::from_bytes(self.hash), valid_until })
    }
}

/// What a heartbeat needs of a site's registration.
pub(in crate::store) struct CallingSite {
    pub(in crate::store) keys: SiteKeys,
    pub(in crate::store) terms: Terms,
    pub(in crate::store) verdict_revision: VerdictRevision,
    pub(in crate::store) watch: Option<Watch>,
}

/// [`SiteFields`] with the texts where they lie: what nobody needs there is
/// passed over.
#[derive(Deserialize)]
pub(super) struct FieldsInPlace<'a> {
    pub(super) site_id: u128,
    pub(super) name: &'a str,
    pub(super) owner_name: &'a str,
    pub(super) contact_email: &'a str,
    key_hash: [u8; 32],
    is_active: bool,
    lock_reason: Option<&'a str>,
    license_expires_at: i64,
    created_at: i64,
    _revision: u64,
    key_generation: u64,
    old_key: Option<OldKeyRow>,
}

/// [`SiteRow`] in the same way.
#[derive(Deserialize)]
pub(super) struct SiteRowInPlace<'a> {
    #[serde(borrow)]
    pub(super) fields: FieldsInPlace<'a>,
    _registration_entry: u64,
    lock_at: Option<i64>,
    lock_until: Option<i64>,
    grace_days: Option<u8>,
    offline_hours: Option<u16>,
    verdict_revision: u64,
    verdict_changed_at: Option<i64>,
    features: &'a str,
    pub(super) tags: &'a str,
    pub(super) notes: &'a str,
    _time_zone: Option<&'a str>,
    watch: Option<WatchRow>,
}

impl<'a> SiteRowInPlace<'a> {
    /// As version 1 had it.
    fn of_version_1(fields: FieldsInPlace<'a>) -> Self {
        Self {
            fields,
            _registration_entry: 0,
            lock_at: None,
            lock_until: None,
            grace_days: None,
            offline_hours: None,
            verdict_revision: 1,
            verdict_changed_at: None,
            features: "",
            tags: "",
            notes: "",
            _time_zone: None,
            watch: None,
        }
    }

    /// Of the bytes of a [`SiteRow`].
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        match bytes.split_first() {
            Some((1, body)) => Ok(Self::of_version_1(borrow_body(body)?)),
            _ => borrow::<SiteRow, _>(bytes),
        }
    }

    pub(super) fn terms(&self) -> Result<Terms, DecodeError> {
        let terms = TermsInPlace {
            is_active: self.fields.is_active,
            license_expires_at: self.fields.license_expires_at,
            lock_reason: self.fields.lock_reason,
            lock_at: self.lock_at,
            lock_until: self.lock_until,
            grace_days: self.grace_days,
            offline_hours: self.offline_hours,
            features: self.features,
        };
        terms.read()
    }

    pub(super) fn verdict_revision(&self) -> Result<VerdictRevision, DecodeError> {
        let created_at = time("created_at", self.fields.created_at)?;
        verdict_revision(self.verdict_revision, self.verdict_changed_at, created_at)
    }
}

impl CallingSite {
    /// Of the bytes of a [`SiteRow`].
    pub(in crate::store) fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let row = SiteRowInPlace::read(bytes)?;
        let (terms, verdict_revision) = (row.terms()?, row.verdict_revision()?);
        let fields = row.fields;
        Ok(Self {
            keys: SiteKeys {
                key: KeyHash::from_bytes(fields.key_hash),
                generation: fields.key_generation,
                old: fields.old_key.map(OldKeyRow::into_old_key).transpose()?,
            },
            terms,
            verdict_revision,
            watch: row.watch.map(WatchRow::read).transpose()?,
        })
    }
}

/// A site's last heartbeat, rewritten at each one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct SeenRow {
    pub(super) fields: SeenFields,
    pub(super) answered: Option<ReachedRow>,
    pub(super) acknowledged: Option<ReachedRow>,
    pub(super) lease: Option<LeaseRow>,
    pub(super) today: Option<TodayRow>,
}

/// All of it that version 1 had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SeenFields {
    pub(super) at: i64,
    pub(super) ip: IpAddr,
    pub(super) version: String,
    pub(super) uptime_seconds: u64,
    pub(super) key_generation: u64,
}

/// A revision of a verdict, and when it came so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct ReachedRow {
    pub(super) revision: u64,
    pub(super) at: i64,
}

impl ReachedRow {
    fn of(reached: Reached) -> Self {
        Self { revision: reached.revision, at: reached.at.unix() }
    }

    fn read(self) -> Result<Reached, DecodeError> {
        Ok(Reached { revision: self.revision, at: time("delivery", self.at)? })
    }
}

/// The last lease.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct LeaseRow {
    /// When it was issued, in seconds after the heartbeat; as a rule 0.
    pub(super) issued_after: i64,
    pub(super) newest_key: u64,
}

impl LeaseRow {
    pub(super) fn read(self, at: i64) -> Result<LastLease, DecodeError> {
        let issued_at = at.checked_add(self.issued_after).ok_or(DecodeError::Field("lease"))?;
        Ok(LastLease { issued_at: time("lease", issued_at)?, newest_key: self.newest_key })
    }
}

/// Reads a heartbeat of an older version.
pub(super) fn upgrade_seen(version: u8, body: &[u8]) -> Result<SeenRow, DecodeError> {
    match version {
        1 => body_of(body).map(|fields| SeenRow {
            fields,
            answered: None,
            acknowledged: None,
            lease: None,
            today: None,
        }),
        _ => Err(DecodeError::Malformed),
    }
}

/// [`SeenFields`] with the text where it lies.
#[derive(Deserialize)]
pub(super) struct SeenFieldsInPlace<'a> {
    pub(super) at: i64,
    pub(super) ip: IpAddr,
    pub(super) version: &'a str,
    _uptime_seconds: u64,
    _key_generation: u64,
}

/// [`SeenRow`] in the same way.
#[derive(Deserialize)]
pub(super) struct SeenRowInPlace<'a> {
    #[serde(borrow)]
    pub(super) fields: SeenFieldsInPlace<'a>,
    pub(super) answered: Option<ReachedRow>,
    pub(super) acknowledged: Option<ReachedRow>,
    pub(super) lease: Option<LeaseRow>,
    pub(super) today: Option<TodayRow>,
}

impl<'a> SeenRowInPlace<'a> {
    /// Of the bytes of a [`SeenRow`].
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        match bytes.split_first() {
            Some((1, body)) => {
                let fields = borrow_body(body)?;
                Ok(Self { fields, answered: None, acknowledged: None, lease: None, today: None })
            }
            _ => borrow::<SeenRow, _>(bytes),
        }
    }
}

pub(super) fn delivered(
    answered: Option<ReachedRow>,
    acknowledged: Option<ReachedRow>,
) -> Result<Delivered, DecodeError> {
    Ok(Delivered {
        answered: answered.map(ReachedRow::read).transpose()?,
        acknowledged: acknowledged.map(ReachedRow::read).transpose()?,
    })
}

impl SeenRow {
    pub(in crate::store) fn from_seen(seen: &Seen) -> Self {
        let fields = SeenFields {
            at: seen.at.unix(),
            ip: seen.ip,
            version: seen.heartbeat.version.as_str().to_owned(),
            uptime_seconds: seen.heartbeat.uptime_seconds,
            key_generation: seen.key_generation,
        };
        let lease = |lease: LastLease| LeaseRow {
            issued_after: lease.issued_at.seconds_since(seen.at),
            newest_key: lease.newest_key,
        };
        Self {
            fields,
            answered: seen.delivered.answered.map(ReachedRow::of),
            acknowledged: seen.delivered.acknowledged.map(ReachedRow::of),
            lease: seen.lease.map(lease),
            today: seen.today.as_ref().map(|today| TodayRow::from_today(today, seen.at)),
        }
    }

    pub(in crate::store) fn into_seen(self) -> Result<Seen, DecodeError> {
        let fields = self.fields;
        Ok(Seen {
            at: time("last_seen_at", fields.at)?,
            ip: fields.ip,
            heartbeat: Heartbeat {
                version: text("last_version", &fields.version)?,
                uptime_seconds: fields.uptime_seconds,
            },
            key_generation: fields.key_generation,
            delivered: delivered(self.answered, self.acknowledged)?,
            lease: self.lease.map(|lease| lease.read(fields.at)).transpose()?,
            today: self.today.map(|today| today.into_today(fields.at)).transpose()?,
        })
    }
}

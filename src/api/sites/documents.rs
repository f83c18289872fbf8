//! What is said and answered about sites: bodies of requests and answers.

use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use uuid::Uuid;

use crate::api::example::example_day;
use crate::api::fields::{Fields, Readable};
use crate::api::wire::{Day, Nullable, Time};
use crate::domain::licence::MAX_EXTEND_DAYS;
use crate::domain::site::MAX_OVERLAP_HOURS;
use crate::domain::{
    Delivery, DeliveryState, Features, GraceDays, LicenceChange, Lock, LockReason, Moment, NewLock, NewSite,
    Notes, OfflineHours, Rules, Site, SiteChange, SiteStatus, Tags, TimeZoneName, Timestamp,
};

/// Where a site stands; the first that holds, in this order.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename = "SiteStatus", rename_all = "snake_case")]
pub enum StatusDocument {
    /// Switched off by the sysadmin.
    Inactive,
    /// Locked by the sysadmin.
    Locked,
    /// The licence has expired, and the grace after it is over.
    Expired,
    /// No heartbeat ever came.
    NeverSeen,
    /// No heartbeat for longer than `silent_after_hours` (13 by default), or
    /// the time of the last one lies ahead of the clock, which was wrong then
    /// or is now.
    Silent,
    /// All is well.
    Online,
}

impl From<SiteStatus> for StatusDocument {
    fn from(status: SiteStatus) -> Self {
        match status {
            SiteStatus::Inactive => Self::Inactive,
            SiteStatus::Locked => Self::Locked,
            SiteStatus::Expired => Self::Expired,
            SiteStatus::NeverSeen => Self::NeverSeen,
            SiteStatus::Silent => Self::Silent,
            SiteStatus::Online => Self::Online,
        }
    }
}

/// How far the last change of what a site may do has come.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename = "DeliveryState", rename_all = "snake_case")]
pub enum DeliveryStateDocument {
    /// No heartbeat has been answered since.
    Pending,
    /// A heartbeat was answered with it; that is not to say that the answer
    /// arrived.
    Answered,
    /// The local backend has said that it applied it.
    Acknowledged,
}

/// What became of the last change of what a site may do.
#[derive(Debug, Object)]
#[oai(rename = "Delivery")]
pub struct DeliveryDocument {
    /// How far it has come.
    state: DeliveryStateDocument,
    /// Counts the changes, from 1; a lock that begins or ends, and a licence
    /// that ends, are changes too.
    revision: u64,
    /// When it was made.
    changed_at: Time,
    /// When a heartbeat was first answered with it; null while none was.
    answered_at: Nullable<Time>,
    /// When the local backend first said that it had applied it; null until
    /// then.
    acknowledged_at: Nullable<Time>,
}

impl From<Delivery> for DeliveryDocument {
    fn from(delivery: Delivery) -> Self {
        Self {
            state: match delivery.state {
                DeliveryState::Pending => DeliveryStateDocument::Pending,
                DeliveryState::Answered => DeliveryStateDocument::Answered,
                DeliveryState::Acknowledged => DeliveryStateDocument::Acknowledged,
            },
            revision: delivery.revision.number,
            changed_at: Time(delivery.revision.changed_at),
            answered_at: Nullable(delivery.answered_at.map(Time)),
            acknowledged_at: Nullable(delivery.acknowledged_at.map(Time)),
        }
    }
}

/// A lock that has not begun.
#[derive(Debug, Object)]
#[oai(rename = "ScheduledLock")]
pub struct ScheduledLockDocument {
    /// What its people will be told, 1 to 500 characters.
    reason: String,
    /// When it begins.
    at: Time,
    /// When it ends by itself; null: when somebody unlocks.
    until: Nullable<Time>,
}

impl ScheduledLockDocument {
    fn of(lock: &Lock) -> Option<Self> {
        let until = Nullable(lock.until.map(Time));
        Some(Self { reason: lock.reason.as_str().to_owned(), at: Time(lock.at?), until })
    }
}

macro_rules! site_document {
    ($(#[$doc:meta])* $name:ident, $rename:literal $(, $(#[$extra_doc:meta])* $extra:ident: $type:ty)?) => {
        $(#[$doc])*
        #[derive(Object)]
        #[oai(rename = $rename)]
        pub struct $name {
            /// Number in order of registration, from 1.
            id: u64,
            /// Public identity: the `X-Site-ID` of its heartbeats.
            site_id: Uuid,
            /// What the vendor calls it, 1 to 200 characters.
            name: String,
            /// Who owns it, 0 to 200 characters.
            owner_name: String,
            /// Whom to write to, at most 254 characters.
            contact_email: String,
            /// Whether it may be licensed at all.
            is_active: bool,
            /// Whether it is locked.
            is_locked: bool,
            /// Why it is locked, 1 to 500 characters; null when it is not.
            lock_reason: Nullable<String>,
            /// When its licence expires or expired.
            license_expires_at: Time,
            /// The last whole day of its licence, in its time zone; null where
            /// the server's host does not know that.
            license_expires_on: Nullable<Day>,
            /// When it was registered.
            created_at: Time,
            /// When its last heartbeat came; null before the first.
            last_seen_at: Nullable<Time>,
            /// Address that its last heartbeat came from; null before the first.
            last_seen_ip: Nullable<String>,
            /// Version that it reported last; null before the first heartbeat.
            last_version: Nullable<String>,
            /// Seconds of uptime that it reported last; null before the first
            /// heartbeat.
            last_uptime_seconds: Nullable<u64>,
            /// Which key its last heartbeat used; null before the first.
            last_key_used: Nullable<WhichKeyDocument>,
            /// Until when the key that a rotation replaced goes on working;
            /// null when none does.
            old_key_valid_until: Nullable<Time>,
            /// What it is sorted by, in the order of their letters.
            tags: Vec<String>,
            /// What is to be remembered of it, 0 to 2000 characters.
            notes: String,
            /// What its licence switches on, in the order of their letters.
            features: Vec<String>,
            /// Where its days end; null: as configured (`licence.time_zone`).
            time_zone: Nullable<String>,
            /// For how many days its licence holds after its expiry; null: as
            /// configured (`licence.grace_days`).
            grace_days: Nullable<u8>,
            /// For how many hours its leases last; null: as configured
            /// (`lease.offline_hours`).
            offline_hours: Nullable<u16>,
            /// When it was locked; null when it is not, or where that was not
            /// written down.
            locked_at: Nullable<Time>,
            /// When its lock ends by itself; null: when somebody unlocks.
            lock_until: Nullable<Time>,
            /// A lock that has not begun; null: there is none.
            scheduled_lock: Nullable<ScheduledLockDocument>,
            /// What became of the last change of what it may do.
            delivery: DeliveryDocument,
            /// `is_active`, and neither its expiry nor the grace after it is
            /// over.
            licensed: bool,
            /// When the grace after its expiry is over; null: it has none.
            grace_ends_at: Nullable<Time>,
            /// Where it stands.
            status: StatusDocument,
            $($(#[$extra_doc])* $extra: $type,)?
        }

        impl $name {
            pub(in crate::api) fn new(site: Site, rules: &Rules, now: Timestamp $(, $extra: $type)?) -> Self {
                let (licensed, status) = (site.terms.licensed(rules, now), site.status(rules, now).into());
                let last_key_used = site.uses_newest_key().map(|newest| match newest {
                    true => WhichKeyDocument::Newest,
                    false => WhichKeyDocument::Replaced,
                });
                let old_key = site.old_key.filter(|old| now < old.valid_until);
                let lock = site.terms.locked(now);
                let texts = |words: &mut dyn Iterator<Item = &str>| words.map(str::to_owned).collect();
                let delivery = site.delivery(rules, now).into();
                let expires_at = site.terms.license_expires_at;
                let expires_on = rules.calendar(site.time_zone.as_ref()).last_whole_day(expires_at);
                let seen = site.seen;
                Self {
                    id: site.id,
                    site_id: Uuid::from_u128(site.site_id.as_u128()),
                    name: site.name.as_str().to_owned(),
                    owner_name: site.owner_name.as_str().to_owned(),
                    contact_email: site.contact_email.as_str().to_owned(),
                    is_active: site.terms.is_active,
                    is_locked: lock.is_some(),
                    lock_reason: Nullable(lock.map(|lock| lock.reason.as_str().to_owned())),
                    license_expires_at: Time(expires_at),
                    license_expires_on: Nullable(expires_on.map(Day)),
                    created_at: Time(site.created_at),
                    last_seen_at: Nullable(seen.as_ref().map(|seen| Time(seen.at))),
                    last_seen_ip: Nullable(seen.as_ref().map(|seen| seen.ip.to_string())),
                    last_version: Nullable(seen.as_ref().map(|seen| seen.heartbeat.version.as_str().to_owned())),
                    last_uptime_seconds: Nullable(seen.as_ref().map(|seen| seen.heartbeat.uptime_seconds)),
                    last_key_used: Nullable(last_key_used),
                    old_key_valid_until: Nullable(old_key.map(|old| Time(old.valid_until))),
                    tags: texts(&mut site.tags.iter()),
                    notes: site.notes.as_str().to_owned(),
                    features: texts(&mut site.terms.features.iter()),
                    time_zone: Nullable(site.time_zone.as_ref().map(|zone| zone.as_str().to_owned())),
                    grace_days: Nullable(site.terms.grace_days.map(GraceDays::get)),
                    offline_hours: Nullable(site.terms.offline_hours.map(OfflineHours::get)),
                    locked_at: Nullable(lock.and_then(|lock| lock.at).map(Time)),
                    lock_until: Nullable(lock.and_then(|lock| lock.until).map(Time)),
                    scheduled_lock: Nullable(
                        site.terms.scheduled_lock(now).and_then(ScheduledLockDocument::of),
                    ),
                    delivery,
                    licensed,
                    grace_ends_at: Nullable(site.terms.grace_ends_at(rules).map(Time)),
                    status,
                    $($extra,)?
                }
            }
        }
    };
}

site_document!(
    /// A site.
    SiteDocument, "Site"
);
site_document!(
    /// A site just registered, with its key.
    RegisteredSiteDocument, "RegisteredSite",
    /// The `X-Site-Key` of its heartbeats. Shown this once: only its hash is
    /// kept.
    secret_key: String
);

/// A site to register.
#[derive(Default, Object)]
#[oai(rename = "NewSite", skip_serializing_if_is_none, example)]
pub struct NewSiteDocument {
    /// What you call it, 1 to 200 characters.
    name: String,
    /// Who owns it, 0 to 200 characters; empty when left out.
    owner_name: Option<String>,
    /// Whom to write to, at most 254 characters.
    contact_email: String,
    /// When its licence expires: RFC 3339 with any offset. Either this or
    /// `license_expires_on`.
    license_expires_at: Option<Time>,
    /// The last day of its licence, which ends with it, in the site's time
    /// zone. Either this or `license_expires_at`.
    license_expires_on: Option<Day>,
    /// What it is sorted by: at most 20 words, each of 1 to 40 of the
    /// characters `a-z 0-9 . _ : -`.
    tags: Option<Vec<String>>,
    /// What is to be remembered of it, 0 to 2000 characters; line breaks are
    /// kept.
    notes: Option<String>,
    /// What its licence switches on: at most 50 words, written as tags are.
    features: Option<Vec<String>>,
    /// Where its days end: a name of the IANA time zone database, such as
    /// `Europe/Rome`. Null or left out: as configured.
    time_zone: Option<Nullable<String>>,
    /// For how many days its licence holds after its expiry, 0 to 90. Null or
    /// left out: as configured.
    grace_days: Option<Nullable<u8>>,
    /// For how many hours its leases last, 1 to 8760. Null or left out: as
    /// configured.
    offline_hours: Option<Nullable<u16>>,
    /// true: its licence may have expired already; else that is refused.
    allow_past: Option<bool>,
}

impl Example for NewSiteDocument {
    fn example() -> Self {
        Self {
            name: "Trattoria Da Mario".to_owned(),
            owner_name: Some("Mario Rossi".to_owned()),
            contact_email: "mario@example.com".to_owned(),
            license_expires_on: example_day().map(Day),
            tags: Some(vec!["rome".to_owned(), "vip".to_owned()]),
            time_zone: Some(Nullable(Some("Europe/Rome".to_owned()))),
            grace_days: Some(Nullable(Some(14))),
            ..Default::default()
        }
    }
}

impl Readable for NewSite {
    type Document = NewSiteDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        let name = fields.required("name");
        let owner_name = fields.optional("owner_name").or_else(|| "".parse().ok());
        let contact_email = fields.required("contact_email");
        if !fields.has("license_expires_at") && !fields.has("license_expires_on") {
            fields.refuse("license_expires_at", "is required, or license_expires_on");
        }
        let license_expires_at = fields.optional_moment("license_expires_at", "license_expires_on");
        let said = Said::read(fields);
        let allow_past = fields.optional_bool("allow_past").unwrap_or(false);
        Some(Self {
            owner_name: owner_name?,
            allow_past,
            tags: said.tags.unwrap_or_default(),
            notes: said.notes.unwrap_or_default(),
            features: said.features.unwrap_or_default(),
            time_zone: said.time_zone.flatten(),
            grace_days: said.grace_days.flatten(),
            offline_hours: said.offline_hours.flatten(),
            ..Self::named(name?, contact_email?, license_expires_at?)
        })
    }
}

/// What a registration and a change may say alike.
struct Said {
    tags: Option<Tags>,
    notes: Option<Notes>,
    features: Option<Features>,
    time_zone: Option<Option<TimeZoneName>>,
    grace_days: Option<Option<GraceDays>>,
    offline_hours: Option<Option<OfflineHours>>,
}

impl Said {
    fn read(fields: &mut Fields) -> Self {
        let (least_days, most_days) = GraceDays::RANGE.into_inner();
        let (least_hours, most_hours) = OfflineHours::RANGE.into_inner();
        let days = fields.nullable_integer("grace_days", least_days.into()..=most_days.into());
        let hours = fields.nullable_integer("offline_hours", least_hours.into()..=most_hours.into());
        Self {
            tags: fields.optional_codes("tags"),
            notes: fields.optional("notes"),
            features: fields.optional_codes("features"),
            time_zone: fields.nullable_zone("time_zone"),
            grace_days: days
                .map(|days| days.and_then(|days| u8::try_from(days).ok()).and_then(GraceDays::new)),
            offline_hours: hours
                .map(|hours| hours.and_then(|hours| u16::try_from(hours).ok()).and_then(OfflineHours::new)),
        }
    }
}

/// What to change of a site; a field that is left out stays as it is.
#[derive(Default, Object)]
#[oai(rename = "SiteChange", skip_serializing_if_is_none, example)]
pub struct SiteChangeDocument {
    /// New name, 1 to 200 characters.
    name: Option<String>,
    /// New owner, 0 to 200 characters.
    owner_name: Option<String>,
    /// New address, at most 254 characters.
    contact_email: Option<String>,
    /// New expiry: RFC 3339 with any offset. Not together with
    /// `license_expires_on` or `extend_days`.
    license_expires_at: Option<Time>,
    /// New last day of its licence, which ends with it, in the site's time
    /// zone. Not together with `license_expires_at` or `extend_days`.
    license_expires_on: Option<Day>,
    /// false ends the licence whatever its expiry, true lets the expiry
    /// decide.
    is_active: Option<bool>,
    /// Days to add, 1 to 3660, to the later of now and today's expiry. Not
    /// together with `license_expires_at` or `license_expires_on`.
    extend_days: Option<u16>,
    /// New tags, in place of all that it has: at most 20, each of 1 to 40 of
    /// the characters `a-z 0-9 . _ : -`.
    tags: Option<Vec<String>>,
    /// New notes, 0 to 2000 characters; line breaks are kept.
    notes: Option<String>,
    /// New features, in place of all that it has: at most 50, written as tags
    /// are.
    features: Option<Vec<String>>,
    /// New time zone, such as `Europe/Rome`; null: as configured. An expiry
    /// that was agreed stays the same instant.
    time_zone: Option<Nullable<String>>,
    /// Days for which its licence holds after its expiry, 0 to 90; null: as
    /// configured.
    grace_days: Option<Nullable<u8>>,
    /// Hours for which its leases last, 1 to 8760; null: as configured.
    offline_hours: Option<Nullable<u16>>,
    /// true: the new expiry may lie in the past; else that is refused, since it
    /// stops the site.
    allow_past: Option<bool>,
}

impl Example for SiteChangeDocument {
    fn example() -> Self {
        Self { extend_days: Some(365), ..Default::default() }
    }
}

impl Readable for SiteChange {
    type Document = SiteChangeDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        let other = ["license_expires_at", "license_expires_on"].into_iter().find(|field| fields.has(field));
        let other = other.filter(|_| fields.has("extend_days"));
        let name = fields.optional("name");
        let owner_name = fields.optional("owner_name");
        let contact_email = fields.optional("contact_email");
        let until = fields.optional_moment("license_expires_at", "license_expires_on");
        let is_active = fields.optional_bool("is_active");
        let days = fields.optional_integer("extend_days", 1..=u64::from(MAX_EXTEND_DAYS));
        if let Some(other) = other {
            fields.refuse("extend_days", format!("must not be given together with {other}"));
        }
        let Said { tags, notes, features, time_zone, grace_days, offline_hours } = Said::read(fields);
        let allow_past = fields.optional_bool("allow_past").unwrap_or(false);
        let licence = match (until, days.and_then(|days| u16::try_from(days).ok())) {
            (Some(Moment::At(time)), _) => LicenceChange::Until(time),
            (Some(Moment::EndOf(day)), _) => LicenceChange::UntilEndOf(day),
            (None, Some(days)) => LicenceChange::ExtendDays(days),
            (None, None) => LicenceChange::Keep,
        };
        Some(Self {
            name,
            owner_name,
            contact_email,
            licence,
            allow_past,
            is_active,
            tags,
            notes,
            features,
            time_zone,
            grace_days,
            offline_hours,
        })
    }
}

/// Why a site is locked, and from when until when.
#[derive(Default, Object)]
#[oai(rename = "Lock", skip_serializing_if_is_none, example)]
pub struct LockDocument {
    /// What its people are told, 1 to 500 characters.
    reason: String,
    /// When it begins: RFC 3339 with any offset. Left out, or a time that has
    /// passed: now. Not together with `at_on`.
    at: Option<Time>,
    /// The day at whose end it begins, in the site's time zone. Not together
    /// with `at`.
    at_on: Option<Day>,
    /// When it ends by itself: RFC 3339 with any offset. Left out: when
    /// somebody unlocks. Not together with `until_on`.
    until: Option<Time>,
    /// The last day on which it holds, in the site's time zone. Not together
    /// with `until`.
    until_on: Option<Day>,
}

impl Example for LockDocument {
    fn example() -> Self {
        Self { reason: LockReason::PLACEHOLDER.to_owned(), ..Default::default() }
    }
}

impl Readable for NewLock {
    type Document = LockDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        let reason = fields.required("reason");
        let at = fields.optional_moment("at", "at_on");
        let until = fields.optional_moment("until", "until_on");
        Some(Self { reason: reason?, at, until })
    }
}

/// How to change a site's key.
#[derive(Object)]
#[oai(rename = "Rotation", example)]
pub struct RotationDocument {
    /// Hours for which the present key goes on working, 0 to 168; 0 when left
    /// out.
    overlap_hours: Option<u8>,
}

impl Example for RotationDocument {
    fn example() -> Self {
        Self { overlap_hours: Some(24) }
    }
}

/// How to change a site's key, checked.
pub(super) struct Rotation {
    pub(super) overlap_hours: u8,
}

impl Readable for Rotation {
    type Document = RotationDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        let hours = fields.optional_integer("overlap_hours", 0..=u64::from(MAX_OVERLAP_HOURS)).unwrap_or(0);
        u8::try_from(hours).ok().map(|overlap_hours| Self { overlap_hours })
    }
}

/// A site's new key.
#[derive(Object)]
#[oai(rename = "RotatedKey")]
pub struct RotatedDocument {
    /// The new `X-Site-Key`. Shown this once: only its hash is kept.
    pub(super) secret_key: String,
    /// Until when the key before goes on working; null: it ended at once.
    pub(super) old_key_valid_until: Nullable<Time>,
}

/// Which of a site's keys.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename = "WhichKey", rename_all = "snake_case")]
pub enum WhichKeyDocument {
    /// The newest.
    Newest,
    /// One that a rotation replaced.
    Replaced,
}

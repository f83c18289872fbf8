//! What is said and answered about sites: bodies of requests and answers.

use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use uuid::Uuid;

use crate::api::example::example_expiry;
use crate::api::fields::{Fields, Readable};
use crate::api::wire::{Nullable, Time};
use crate::domain::licence::MAX_EXTEND_DAYS;
use crate::domain::site::MAX_OVERLAP_HOURS;
use crate::domain::{LicenceChange, LockReason, NewSite, Rules, Site, SiteChange, SiteStatus, Timestamp};

/// Where a site stands; the first that holds, in this order.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename = "SiteStatus", rename_all = "snake_case")]
pub enum StatusDocument {
    /// Switched off by the sysadmin.
    Inactive,
    /// Locked by the sysadmin.
    Locked,
    /// The licence has expired.
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
            /// `is_active` and not yet expired.
            licensed: bool,
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
                let lock_reason = site.terms.locked(now).map(|lock| lock.reason.as_str().to_owned());
                let seen = site.seen;
                Self {
                    id: site.id,
                    site_id: Uuid::from_u128(site.site_id.as_u128()),
                    name: site.name.as_str().to_owned(),
                    owner_name: site.owner_name.as_str().to_owned(),
                    contact_email: site.contact_email.as_str().to_owned(),
                    is_active: site.terms.is_active,
                    is_locked: lock_reason.is_some(),
                    lock_reason: Nullable(lock_reason),
                    license_expires_at: Time(site.terms.license_expires_at),
                    created_at: Time(site.created_at),
                    last_seen_at: Nullable(seen.as_ref().map(|seen| Time(seen.at))),
                    last_seen_ip: Nullable(seen.as_ref().map(|seen| seen.ip.to_string())),
                    last_version: Nullable(seen.as_ref().map(|seen| seen.heartbeat.version.as_str().to_owned())),
                    last_uptime_seconds: Nullable(seen.as_ref().map(|seen| seen.heartbeat.uptime_seconds)),
                    last_key_used: Nullable(last_key_used),
                    old_key_valid_until: Nullable(old_key.map(|old| Time(old.valid_until))),
                    licensed,
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
#[derive(Object)]
#[oai(rename = "NewSite", example)]
pub struct NewSiteDocument {
    /// What you call it, 1 to 200 characters.
    name: String,
    /// Who owns it, 0 to 200 characters; empty when left out.
    #[oai(skip_serializing_if_is_none)]
    owner_name: Option<String>,
    /// Whom to write to, at most 254 characters.
    contact_email: String,
    /// When its licence expires: RFC 3339 with any offset.
    license_expires_at: Time,
}

impl Example for NewSiteDocument {
    fn example() -> Self {
        Self {
            name: "Trattoria Da Mario".to_owned(),
            owner_name: Some("Mario Rossi".to_owned()),
            contact_email: "mario@example.com".to_owned(),
            license_expires_at: Time(example_expiry()),
        }
    }
}

impl Readable for NewSite {
    type Document = NewSiteDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        let name = fields.required("name");
        let owner_name = fields.optional("owner_name").or_else(|| "".parse().ok());
        let contact_email = fields.required("contact_email");
        let license_expires_at = fields.required("license_expires_at");
        let new = Self::named(name?, contact_email?, license_expires_at?);
        Some(Self { owner_name: owner_name?, ..new })
    }
}

/// What to change of a site; a field that is left out stays as it is.
#[derive(Object)]
#[oai(rename = "SiteChange", example)]
pub struct SiteChangeDocument {
    /// New name, 1 to 200 characters.
    #[oai(skip_serializing_if_is_none)]
    name: Option<String>,
    /// New owner, 0 to 200 characters.
    #[oai(skip_serializing_if_is_none)]
    owner_name: Option<String>,
    /// New address, at most 254 characters.
    #[oai(skip_serializing_if_is_none)]
    contact_email: Option<String>,
    /// New expiry: RFC 3339 with any offset. Not together with `extend_days`.
    #[oai(skip_serializing_if_is_none)]
    license_expires_at: Option<Time>,
    /// false ends the licence whatever its expiry, true lets the expiry
    /// decide.
    #[oai(skip_serializing_if_is_none)]
    is_active: Option<bool>,
    /// Days to add, 1 to 3660, to the later of now and today's expiry. Not
    /// together with `license_expires_at`.
    #[oai(skip_serializing_if_is_none)]
    extend_days: Option<u16>,
}

impl Example for SiteChangeDocument {
    fn example() -> Self {
        Self {
            name: None,
            owner_name: None,
            contact_email: None,
            license_expires_at: None,
            is_active: None,
            extend_days: Some(365),
        }
    }
}

impl Readable for SiteChange {
    type Document = SiteChangeDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        let both = fields.has("extend_days") && fields.has("license_expires_at");
        let name = fields.optional("name");
        let owner_name = fields.optional("owner_name");
        let contact_email = fields.optional("contact_email");
        let until = fields.optional("license_expires_at");
        let is_active = fields.optional_bool("is_active");
        let days = fields.optional_integer("extend_days", 1..=u64::from(MAX_EXTEND_DAYS));
        if both {
            fields.refuse("extend_days", "must not be given together with license_expires_at");
        }
        let licence = match (until, days.and_then(|days| u16::try_from(days).ok())) {
            (Some(until), _) => LicenceChange::Until(until),
            (None, Some(days)) => LicenceChange::ExtendDays(days),
            (None, None) => LicenceChange::Keep,
        };
        Some(Self { name, owner_name, contact_email, licence, is_active, ..Self::default() })
    }
}

/// Why a site is locked.
#[derive(Object)]
#[oai(rename = "Lock", example)]
pub struct LockDocument {
    /// What its people are told, 1 to 500 characters.
    reason: String,
}

impl Example for LockDocument {
    fn example() -> Self {
        Self { reason: LockReason::PLACEHOLDER.to_owned() }
    }
}

impl Readable for LockReason {
    type Document = LockDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        fields.required("reason")
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

//! Who changed what: the trail that every change leaves, and with it every
//! login and every backup that somebody took.

use std::fmt;
use std::net::IpAddr;

use super::api_token::ApiToken;
use super::site::Site;
use super::site_id::SiteId;
use super::terms::{LockPhase, Terms};
use super::time::Timestamp;

/// Who acts, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// What vouches for the name.
    pub kind: ActorKind,
    /// Name of the admin or of the host's user.
    pub name: String,
    /// What the admin's token is called, where a program acts with one.
    pub token: Option<String>,
    /// The address that the request came from; `None`: the control socket.
    pub ip: Option<IpAddr>,
}

/// What vouches for an actor's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorKind {
    /// A password of ours, or a token that an admin made for a program.
    Admin,
    /// The kernel, on the control socket.
    System,
    /// Nothing: a login that failed. The name is that of the admin who was
    /// named, and empty where it was none's: people type passwords into the
    /// wrong field.
    Stranger,
    /// A site's own key.
    Site,
}

impl ActorKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Admin, Self::System, Self::Stranger, Self::Site];

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::System => "system",
            Self::Stranger => "stranger",
            Self::Site => "site",
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A site was registered.
    SiteRegistered,
    /// Fields of a site were changed.
    SiteUpdated,
    /// A site was locked, or the reason of its lock changed.
    SiteLocked,
    /// A site was unlocked.
    SiteUnlocked,
    /// A site got a new key.
    SiteKeyRotated,
    /// A site was deleted.
    SiteDeleted,
    /// An admin was created.
    AdminCreated,
    /// An admin's password was changed.
    AdminPasswordChanged,
    /// An admin was deleted.
    AdminDeleted,
    /// A new certificate was asked for.
    CertificateRenewalRequested,
    /// The key that signs access tokens was replaced.
    SigningKeyRotated,
    /// A backup was taken by somebody.
    BackupTaken,
    /// An admin logged in.
    LoginSucceeded,
    /// A login failed.
    LoginFailed,
    /// A new key for leases was announced, or signs from now on.
    LeaseKeyRotated,
    /// A site was told to call more often for a day, or no longer.
    SiteWatched,
    /// A local backend said that it has applied a change.
    ChangeAcknowledged,
    /// An admin logged out.
    LoggedOut,
    /// Logins of an admin were ended by somebody.
    SessionsEnded,
    /// An admin's logins need a second factor from now on.
    OtpEnabled,
    /// An admin took the own second factor off.
    OtpDisabled,
    /// An admin's second factor was taken off on the host.
    OtpReset,
    /// So many wrong codes followed a right password that codes do not count
    /// for a while.
    OtpPaused,
    /// A token for a program was made.
    TokenCreated,
    /// A token for a program was ended before its time.
    TokenEnded,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 25] = [
        Self::SiteRegistered,
        Self::SiteUpdated,
        Self::SiteLocked,
        Self::SiteUnlocked,
        Self::SiteKeyRotated,
        Self::SiteDeleted,
        Self::AdminCreated,
        Self::AdminPasswordChanged,
        Self::AdminDeleted,
        Self::CertificateRenewalRequested,
        Self::SigningKeyRotated,
        Self::BackupTaken,
        Self::LoginSucceeded,
        Self::LoginFailed,
        Self::LeaseKeyRotated,
        Self::SiteWatched,
        Self::ChangeAcknowledged,
        Self::LoggedOut,
        Self::SessionsEnded,
        Self::OtpEnabled,
        Self::OtpDisabled,
        Self::OtpReset,
        Self::OtpPaused,
        Self::TokenCreated,
        Self::TokenEnded,
    ];

    /// The name on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SiteRegistered => "site_registered",
            Self::SiteUpdated => "site_updated",
            Self::SiteLocked => "site_locked",
            Self::SiteUnlocked => "site_unlocked",
            Self::SiteKeyRotated => "site_key_rotated",
            Self::SiteDeleted => "site_deleted",
            Self::AdminCreated => "admin_created",
            Self::AdminPasswordChanged => "admin_password_changed",
            Self::AdminDeleted => "admin_deleted",
            Self::CertificateRenewalRequested => "certificate_renewal_requested",
            Self::SigningKeyRotated => "signing_key_rotated",
            Self::BackupTaken => "backup_taken",
            Self::LoginSucceeded => "login_succeeded",
            Self::LoginFailed => "login_failed",
            Self::LeaseKeyRotated => "lease_key_rotated",
            Self::SiteWatched => "site_watched",
            Self::ChangeAcknowledged => "change_acknowledged",
            Self::LoggedOut => "logged_out",
            Self::SessionsEnded => "sessions_ended",
            Self::OtpEnabled => "otp_enabled",
            Self::OtpDisabled => "otp_disabled",
            Self::OtpReset => "otp_reset",
            Self::OtpPaused => "otp_paused",
            Self::TokenCreated => "token_created",
            Self::TokenEnded => "token_ended",
        }
    }

    /// Whether it leaves everything as it was, so that only the trail tells of
    /// it.
    pub fn is_in_passing(self) -> bool {
        matches!(self, Self::LoginSucceeded | Self::BackupTaken | Self::LoggedOut | Self::ChangeAcknowledged)
    }

    /// The action of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }
}

/// A field of a site that the trail tells of, or of a token for programs. The
/// key is not among them, but how long the one before goes on working is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// What the vendor calls it.
    Name,
    /// Who owns it.
    OwnerName,
    /// Whom to write to.
    ContactEmail,
    /// When its licence expires.
    LicenseExpiresAt,
    /// Whether it may be licensed at all.
    IsActive,
    /// Why it is locked.
    LockReason,
    /// Until when the key before the present one works.
    OldKeyValidUntil,
    /// What it is sorted by.
    Tags,
    /// What is to be remembered of it.
    Notes,
    /// What its licence switches on.
    Features,
    /// Where its days end.
    TimeZone,
    /// For how long its licence holds after its expiry.
    GraceDays,
    /// How long its leases last.
    OfflineHours,
    /// When a lock that is to come begins. Of one that begins at once the entry
    /// itself tells when.
    LockAt,
    /// When its lock ends by itself.
    LockUntil,
    /// Until when it calls more often.
    WatchUntil,
    /// The number of the change of what it may do.
    VerdictRevision,
    /// Of a login, not of a site: by what.
    Means,
    /// Of a token: what it is called.
    Token,
    /// Of a token: what it may do.
    Scope,
    /// Of a token: when it expires.
    ExpiresAt,
    /// Of a token: from where it counts.
    Networks,
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 22] = [
        Self::Name,
        Self::OwnerName,
        Self::ContactEmail,
        Self::LicenseExpiresAt,
        Self::IsActive,
        Self::LockReason,
        Self::OldKeyValidUntil,
        Self::Tags,
        Self::Notes,
        Self::Features,
        Self::TimeZone,
        Self::GraceDays,
        Self::OfflineHours,
        Self::LockAt,
        Self::LockUntil,
        Self::WatchUntil,
        Self::VerdictRevision,
        Self::Means,
        Self::Token,
        Self::Scope,
        Self::ExpiresAt,
        Self::Networks,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::OwnerName => "owner_name",
            Self::ContactEmail => "contact_email",
            Self::LicenseExpiresAt => "license_expires_at",
            Self::IsActive => "is_active",
            Self::LockReason => "lock_reason",
            Self::OldKeyValidUntil => "old_key_valid_until",
            Self::Tags => "tags",
            Self::Notes => "notes",
            Self::Features => "features",
            Self::TimeZone => "time_zone",
            Self::GraceDays => "grace_days",
            Self::OfflineHours => "offline_hours",
            Self::LockAt => "lock_at",
            Self::LockUntil => "lock_until",
            Self::WatchUntil => "watch_until",
            Self::VerdictRevision => "verdict_revision",
            Self::Means => "means",
            Self::Token => "token",
            Self::Scope => "scope",
            Self::ExpiresAt => "expires_at",
            Self::Networks => "networks",
        }
    }

    /// The field of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_str() == name)
    }

    /// Its value in `site` at `now`; `None`: it has none.
    fn of(self, site: &Site, now: Timestamp) -> Option<FieldValue> {
        let text = |text: &str| FieldValue::Text(text.to_owned());
        let some = |text: String| Some(text).filter(|text| !text.is_empty()).map(FieldValue::Text);
        let Terms { is_active, license_expires_at, grace_days, features, offline_hours, .. } = &site.terms;
        let lock = site.terms.lock.as_ref().filter(|lock| lock.phase(now) != LockPhase::Over);
        match self {
            Self::Name => Some(text(site.name.as_str())),
            Self::OwnerName => Some(text(site.owner_name.as_str())),
            Self::ContactEmail => Some(text(site.contact_email.as_str())),
            Self::LicenseExpiresAt => Some(FieldValue::Time(*license_expires_at)),
            Self::IsActive => Some(FieldValue::Flag(*is_active)),
            Self::LockReason => lock.map(|lock| text(lock.reason.as_str())),
            Self::OldKeyValidUntil => site.old_key.as_ref().map(|old| FieldValue::Time(old.valid_until)),
            Self::Tags => some(site.tags.to_string()),
            Self::Notes => some(site.notes.to_string()),
            Self::Features => some(features.to_string()),
            Self::TimeZone => site.time_zone.as_ref().map(|zone| text(zone.as_str())),
            Self::GraceDays => grace_days.map(|days| FieldValue::Number(days.get().into())),
            Self::OfflineHours => offline_hours.map(|hours| FieldValue::Number(hours.get().into())),
            Self::LockAt => site.terms.scheduled_lock(now).and_then(|lock| lock.at).map(FieldValue::Time),
            Self::LockUntil => lock.and_then(|lock| lock.until).map(FieldValue::Time),
            Self::WatchUntil => site.watch.map(|watch| FieldValue::Time(watch.until)),
            // Told by an entry of its own, when it is acknowledged.
            Self::VerdictRevision => None,
            Self::Means | Self::Token | Self::Scope | Self::ExpiresAt | Self::Networks => None,
        }
    }
}

/// What stands in a field. Displays as on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// A text.
    Text(String),
    /// A time.
    Time(Timestamp),
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(u64),
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Time(time) => time.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// One field before and after a change; `None`: it had, or has, no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// Which field.
    pub field: Field,
    /// Its value before.
    pub before: Option<FieldValue>,
    /// Its value after.
    pub after: Option<FieldValue>,
}

/// An entry of the audit trail before it has its number. The fields are those
/// of [`AuditEntry`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "they would be said twice")]
pub struct NewAuditEntry {
    pub at: Timestamp,
    pub actor: Actor,
    pub action: Action,
    pub site_id: Option<SiteId>,
    pub admin: Option<String>,
    pub changes: Vec<FieldChange>,
}

impl NewAuditEntry {
    /// An entry on no site and no admin.
    pub fn of(action: Action, actor: &Actor, at: Timestamp) -> Self {
        Self { at, actor: actor.clone(), action, site_id: None, admin: None, changes: Vec::new() }
    }

    /// The entry under its number.
    pub fn numbered(self, id: u64) -> AuditEntry {
        let Self { at, actor, action, site_id, admin, changes } = self;
        AuditEntry { id, at, actor, action, site_id, admin, changes }
    }
}

/// An entry of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Number in order of time, from 1; never used again.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// Who, and from where.
    pub actor: Actor,
    /// What.
    pub action: Action,
    /// Which site; `None` when it was none.
    pub site_id: Option<SiteId>,
    /// Which admin; `None` when it was none.
    pub admin: Option<String>,
    /// What changed. Never a secret.
    pub changes: Vec<FieldChange>,
}

impl AuditEntry {
    /// What its site was called before, where it says so.
    pub fn name_before(&self) -> Option<&str> {
        let name = self.changes.iter().find(|change| change.field == Field::Name)?;
        match name.before.as_ref()? {
            FieldValue::Text(name) => Some(name),
            _ => None,
        }
    }
}

/// The fields in which a site differs before and after, at `now`; all that have
/// a value when it is new (`before` is `None`) or deleted (`after` is `None`).
pub fn differences(before: Option<&Site>, after: Option<&Site>, now: Timestamp) -> Vec<FieldChange> {
    let value = |field: Field, site: Option<&Site>| site.and_then(|site| field.of(site, now));
    Field::ALL
        .into_iter()
        .map(|field| FieldChange { field, before: value(field, before), after: value(field, after) })
        .filter(|change| change.before != change.after)
        .collect()
}

/// What the trail tells of a token that was made (`ended` is false) or ended.
pub fn token_changes(token: &ApiToken, ended: bool) -> Vec<FieldChange> {
    let networks = token.networks.to_string();
    let values = [
        (Field::Token, Some(FieldValue::Text(token.name.as_str().to_owned()))),
        (Field::Scope, Some(FieldValue::Text(token.scope.as_str().to_owned()))),
        (Field::ExpiresAt, Some(FieldValue::Time(token.expires_at))),
        (Field::Networks, Some(networks).filter(|text| !text.is_empty()).map(FieldValue::Text)),
    ];
    let change = |(field, value): (Field, Option<FieldValue>)| {
        let (before, after) = if ended { (value, None) } else { (None, value) };
        (before != after).then_some(FieldChange { field, before, after })
    };
    values.into_iter().filter_map(change).collect()
}

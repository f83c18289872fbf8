//! The records of the audit trail, and of the failed logins beside it.
//!
//! Nearly all entries are of registrations, and what such an entry tells still
//! stands in the site's own row until somebody changes or deletes the site. So
//! it does not repeat the values: it names the site by its number
//! ([`SubjectRow::InItsRow`]), the site's row names the entry, and whoever
//! first changes the site writes the values into the entry
//! ([`crate::store`]'s `audit`). Actions, kinds and fields are numbers, listed
//! below; they are never used again for something else.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::bytes::{DecodeError, Row as _, body_of, time};
use crate::domain::audit::{Field, FieldValue, differences};
use crate::domain::chain::{Chain, ChainHash, ForgottenRun};
use crate::domain::{Action, Actor, ActorKind, AuditEntry, FieldChange, Site, SiteId, Timestamp};

/// Makes the numbers of an enum of the domain, there and back.
macro_rules! numbered {
    ($type:ident by $number_of:ident, $of_number:ident: $($number:literal = $variant:ident,)*) => {
        pub(super) const fn $number_of(value: $type) -> u8 {
            match value {
                $($type::$variant => $number,)*
            }
        }

        pub(super) const fn $of_number(number: u8) -> Option<$type> {
            match number {
                $($number => Some($type::$variant),)*
                _ => None,
            }
        }
    };
}

numbered! { ActorKind by kind_number, kind_of: 1 = Admin, 2 = System, 3 = Stranger, 4 = Site, }

numbered! {
    Action by action_number, action_of:
    1 = SiteRegistered,
    2 = SiteUpdated,
    3 = SiteLocked,
    4 = SiteUnlocked,
    5 = SiteKeyRotated,
    6 = SiteDeleted,
    7 = AdminCreated,
    8 = AdminPasswordChanged,
    9 = AdminDeleted,
    10 = CertificateRenewalRequested,
    11 = SigningKeyRotated,
    12 = BackupTaken,
    13 = LoginSucceeded,
    14 = LoginFailed,
    15 = TokenCreated,
    16 = TokenEnded,
    20 = LoggedOut,
    21 = SessionsEnded,
    22 = OtpEnabled,
    23 = OtpDisabled,
    24 = OtpReset,
    25 = OtpPaused,
    40 = LeaseKeyRotated,
    41 = SiteWatched,
    42 = ChangeAcknowledged,
}

numbered! {
    Field by field_number, field_of:
    1 = Name,
    2 = OwnerName,
    3 = ContactEmail,
    4 = LicenseExpiresAt,
    5 = IsActive,
    6 = LockReason,
    7 = OldKeyValidUntil,
    8 = Tags,
    9 = Notes,
    10 = Features,
    11 = TimeZone,
    12 = GraceDays,
    13 = OfflineHours,
    14 = LockAt,
    15 = LockUntil,
    16 = WatchUntil,
    17 = VerdictRevision,
    20 = Means,
    21 = Token,
    22 = Scope,
    23 = ExpiresAt,
    24 = Networks,
}

/// An entry of the audit trail. The number is the key of its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct AuditRow {
    pub(super) at: i64,
    pub(super) actor_kind: u8,
    pub(super) actor_name: String,
    pub(super) ip: Option<IpAddr>,
    pub(super) action: u8,
    pub(super) site: SubjectRow,
    pub(super) admin: Option<String>,
    pub(super) changes: Vec<ChangeRow>,
    pub(super) actor_token: Option<String>,
    /// Its hash in the chain. It comes last: [`AuditRow::hash_in`].
    pub(super) chain: [u8; 32],
}

/// Which site an entry is on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum SubjectRow {
    /// None.
    Nobody,
    /// The one with this id.
    Site(u128),
    /// The one with this number, which the entry says was registered: its row
    /// holds the id, and the values that it was registered with.
    InItsRow(u64),
}

/// A field before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ChangeRow {
    pub(super) field: u8,
    pub(super) before: Option<ValueRow>,
    pub(super) after: Option<ValueRow>,
}

/// What stood in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum ValueRow {
    Text(String),
    Time(i64),
    Flag(bool),
    Number(u64),
}

impl ValueRow {
    fn from_value(value: &FieldValue) -> Self {
        match value {
            FieldValue::Text(text) => Self::Text(text.clone()),
            FieldValue::Time(time) => Self::Time(time.unix()),
            FieldValue::Flag(flag) => Self::Flag(*flag),
            FieldValue::Number(number) => Self::Number(*number),
        }
    }

    fn into_value(self) -> Result<FieldValue, DecodeError> {
        Ok(match self {
            Self::Text(text) => FieldValue::Text(text),
            Self::Time(seconds) => FieldValue::Time(time("changes", seconds)?),
            Self::Flag(flag) => FieldValue::Flag(flag),
            Self::Number(number) => FieldValue::Number(number),
        })
    }
}

impl AuditRow {
    /// The row of an entry that holds all that it tells.
    pub(in crate::store) fn from_entry(entry: &AuditEntry, chain: ChainHash) -> Self {
        let change = |change: &FieldChange| ChangeRow {
            field: field_number(change.field),
            before: change.before.as_ref().map(ValueRow::from_value),
            after: change.after.as_ref().map(ValueRow::from_value),
        };
        Self {
            at: entry.at.unix(),
            actor_kind: kind_number(entry.actor.kind),
            actor_name: entry.actor.name.clone(),
            ip: entry.actor.ip,
            action: action_number(entry.action),
            site: entry.site_id.map_or(SubjectRow::Nobody, |site_id| SubjectRow::Site(site_id.as_u128())),
            admin: entry.admin.clone(),
            changes: entry.changes.iter().map(change).collect(),
            actor_token: entry.actor.token.clone(),
            chain: *chain.as_bytes(),
        }
    }

    /// The row of the entry on the registration of the site with this number,
    /// whose row holds what it tells.
    pub(in crate::store) fn of_registration(entry: AuditEntry, site: u64, chain: ChainHash) -> Self {
        let entry = AuditEntry { changes: Vec::new(), ..entry };
        Self { site: SubjectRow::InItsRow(site), ..Self::from_entry(&entry, chain) }
    }

    /// Its hash in the chain.
    pub(in crate::store) fn chain(&self) -> ChainHash {
        ChainHash::from_bytes(self.chain)
    }

    /// The hash of the entry in these bytes, which are not read further.
    pub(in crate::store) fn hash_in(bytes: &[u8]) -> Result<ChainHash, DecodeError> {
        match (bytes.first(), bytes.last_chunk()) {
            (Some(&version), Some(hash)) if version == Self::VERSION => Ok(ChainHash::from_bytes(*hash)),
            _ => Err(DecodeError::Malformed),
        }
    }

    /// The number of the site whose row holds what this entry tells, and that
    /// [`AuditRow::into_entry`] needs.
    pub(in crate::store) fn needs_site(&self) -> Option<u64> {
        match self.site {
            SubjectRow::InItsRow(number) => Some(number),
            SubjectRow::Nobody | SubjectRow::Site(_) => None,
        }
    }

    /// The site that it says was deleted.
    pub(in crate::store) fn deleted_site(&self) -> Option<SiteId> {
        match self.site {
            SubjectRow::Site(site_id) if action_of(self.action) == Some(Action::SiteDeleted) => {
                Some(SiteId::from_u128(site_id))
            }
            _ => None,
        }
    }

    /// Whether it tells of something that changed nothing.
    pub(in crate::store) fn is_in_passing(&self) -> bool {
        action_of(self.action).is_some_and(Action::is_in_passing)
    }

    /// When it happened.
    pub(in crate::store) fn at(&self) -> Result<Timestamp, DecodeError> {
        time("at", self.at)
    }

    /// The entry; `site` is the one that it needs.
    pub(in crate::store) fn into_entry(
        self,
        id: u64,
        site: Option<&Site>,
    ) -> Result<AuditEntry, DecodeError> {
        let change = |row: ChangeRow| {
            Ok(FieldChange {
                field: field_of(row.field).ok_or(DecodeError::Field("changes"))?,
                before: row.before.map(ValueRow::into_value).transpose()?,
                after: row.after.map(ValueRow::into_value).transpose()?,
            })
        };
        let (site_id, changes) = match self.site {
            SubjectRow::InItsRow(_) => {
                let site = site.ok_or(DecodeError::Field("site"))?;
                (Some(site.site_id), differences(None, Some(site), time("at", self.at)?))
            }
            SubjectRow::Nobody => (None, self.changes.into_iter().map(change).collect::<Result<_, _>>()?),
            SubjectRow::Site(site_id) => {
                let changes = self.changes.into_iter().map(change).collect::<Result<_, _>>()?;
                (Some(SiteId::from_u128(site_id)), changes)
            }
        };
        let kind = kind_of(self.actor_kind).ok_or(DecodeError::Field("actor_kind"))?;
        Ok(AuditEntry {
            id,
            at: time("at", self.at)?,
            actor: Actor { kind, name: self.actor_name, token: self.actor_token, ip: self.ip },
            action: action_of(self.action).ok_or(DecodeError::Field("action"))?,
            site_id,
            admin: self.admin,
            changes,
        })
    }
}

/// As version 1 had it: all in words.
#[derive(Deserialize)]
struct AuditRowV1 {
    at: i64,
    actor_kind: String,
    actor_name: String,
    ip: Option<IpAddr>,
    action: String,
    site_id: Option<u128>,
    admin: Option<String>,
    changes: Vec<(String, Option<String>, Option<String>)>,
}

/// Reads an entry of an older version.
pub(super) fn upgrade(version: u8, body: &[u8]) -> Result<AuditRow, DecodeError> {
    if version != 1 {
        return Err(DecodeError::Malformed);
    }
    let row: AuditRowV1 = body_of(body)?;
    // As version 0.1.0 stored failed logins here.
    let kind = match row.actor_kind.as_str() {
        "unproven" => Some(ActorKind::Stranger),
        name => ActorKind::named(name),
    };
    let change = |(name, before, after): (String, Option<String>, Option<String>)| {
        let field = Field::named(&name).ok_or(DecodeError::Field("changes"))?;
        let value = |text| ValueRow::of_text(field, text);
        Ok(ChangeRow { field: field_number(field), before: before.map(value), after: after.map(value) })
    };
    Ok(AuditRow {
        at: row.at,
        actor_kind: kind.map(kind_number).ok_or(DecodeError::Field("actor_kind"))?,
        actor_name: row.actor_name,
        ip: row.ip,
        action: Action::named(&row.action).map(action_number).ok_or(DecodeError::Field("action"))?,
        site: row.site_id.map_or(SubjectRow::Nobody, SubjectRow::Site),
        admin: row.admin,
        changes: row.changes.into_iter().map(change).collect::<Result<_, _>>()?,
        actor_token: None,
        // It had none; the upgrade of the file makes one.
        chain: [0; 32],
    })
}

impl ValueRow {
    /// The value that version 1 wrote as this text. A text that is not as
    /// it would have written such a value stays what it is.
    fn of_text(field: Field, text: String) -> Self {
        let value = match field {
            Field::LicenseExpiresAt | Field::OldKeyValidUntil => text.parse().ok().map(FieldValue::Time),
            Field::IsActive => text.parse().ok().map(FieldValue::Flag),
            // Texts, and what version 1 knew nothing of.
            _ => None,
        };
        match value.filter(|value| value.to_string() == text) {
            Some(value) => Self::from_value(&value),
            None => Self::Text(text),
        }
    }
}

/// A failed login. The number is the key of its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct StrangerRow {
    pub(in crate::store) at: i64,
    pub(in crate::store) ip: Option<IpAddr>,
    pub(in crate::store) admin: Option<String>,
}

impl StrangerRow {
    /// When it happened.
    pub(in crate::store) fn at(&self) -> Result<Timestamp, DecodeError> {
        time("at", self.at)
    }

    pub(in crate::store) fn into_entry(self, id: u64) -> Result<AuditEntry, DecodeError> {
        Ok(AuditEntry {
            id,
            at: time("at", self.at)?,
            actor: Actor {
                kind: ActorKind::Stranger,
                name: self.admin.clone().unwrap_or_default(),
                token: None,
                ip: self.ip,
            },
            action: Action::LoginFailed,
            site_id: None,
            admin: self.admin,
            changes: Vec::new(),
        })
    }
}

/// What there is of the chain beside the entries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct ChainRow {
    pub(super) upgraded: u64,
    pub(super) runs: Vec<RunRow>,
}

/// Entries that were forgotten: the first, the last, the hash of the last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RunRow {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) hash: [u8; 32],
}

impl ChainRow {
    pub(in crate::store) fn from_chain(chain: &Chain) -> Self {
        let run =
            |run: &ForgottenRun| RunRow { first: run.first, last: run.last, hash: *run.hash.as_bytes() };
        Self { upgraded: chain.upgraded, runs: chain.runs().iter().map(run).collect() }
    }

    pub(in crate::store) fn into_chain(self) -> Chain {
        let run = |run: RunRow| ForgottenRun {
            first: run.first,
            last: run.last,
            hash: ChainHash::from_bytes(run.hash),
        };
        Chain::of(self.upgraded, self.runs.into_iter().map(run).collect())
    }
}

/// What tests do to records behind the server's back.
#[cfg(test)]
mod tampering {
    use super::{AuditRow, ChainRow};

    impl AuditRow {
        /// Has it tell something else.
        pub(in crate::store) fn tell_otherwise(&mut self, what: usize) {
            match what {
                0 => self.at += 1,
                1 => self.actor_name.push('a'),
                2 => self.ip = Some("192.0.2.66".parse().unwrap()),
                3 => self.admin = Some("somebody".to_owned()),
                _ => self.chain[5] ^= 1,
            }
        }
    }

    impl ChainRow {
        /// Has it tell of something else that was forgotten, in the one run
        /// that it has; gives the first entry that does not fit any more.
        pub(in crate::store) fn forget_otherwise(&mut self, what: usize) -> u64 {
            let run = &mut self.runs[0];
            match what {
                // One more, which is still there.
                0 => {
                    run.last += 1;
                    run.last
                }
                1 => {
                    run.hash[0] ^= 1;
                    run.last + 1
                }
                _ => {
                    let first = run.first;
                    self.runs.clear();
                    first
                }
            }
        }
    }
}

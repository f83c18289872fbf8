//! Records as bytes: one version byte, then bincode 2 (standard
//! configuration) of the struct of that version. A build reads all versions
//! up to its own: that of today as it is, older ones through
//! [`Row::upgrade`]. What each version looks like is kept in
//! `tests/data/rows.txt`.
//!
//! bincode is the format that files in the field are written in and is no
//! longer maintained (RUSTSEC-2025-0141); nothing outside this module names
//! it, so that another implementation of the same bytes can take its place.
//! Rows are plain numbers and strings, apart from the domain's types: a
//! change of a domain type cannot silently change what old bytes mean.

mod acme;
#[cfg(test)]
mod golden;

use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(super) use self::acme::{AcmeAccountRow, AcmeCertificateRow, AcmeSetbackRow};
use super::batch::{Deed, OperationRefused};
use crate::domain::secret_key::OldKey;
use crate::domain::text::Stored;
use crate::domain::{
    Action, Actor, ActorKind, Admin, AuditEntry, FieldChange, Heartbeat, KeyHash, Seen, Site, SiteId,
    Timestamp, TokenEpoch,
};

/// No record is larger; a length in damaged bytes must not make us allocate
/// more.
const MAX_RECORD_BYTES: usize = 64 << 10;

/// Why bytes are no record. The reason is for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("record version {found} is newer than {supported}, the newest that this build reads")]
    Newer { found: u8, supported: u8 },
    #[error("the record is empty")]
    Empty,
    #[error("the record is malformed")]
    Malformed,
    #[error("the field {0} is out of bounds")]
    Field(&'static str),
}

/// A record type with its table and version.
pub(super) trait Row: Serialize + DeserializeOwned {
    /// The table it lies in, for error messages.
    const TABLE: &'static str;
    /// The version that [`encode`] writes, and whose fields the type has.
    const VERSION: u8 = 1;

    /// Makes a record of today of the `body` of an older `version`, which is
    /// 1 or more: with [`body_of`], of the struct that that version had.
    fn upgrade(version: u8, body: &[u8]) -> Result<Self, DecodeError> {
        let _ = (version, body);
        Err(DecodeError::Malformed)
    }
}

/// Every type of record with its table. What is not in the list is no
/// [`Row`], and what is must have its bytes in `tests/data/rows.txt`.
macro_rules! rows {
    ($($row:ident in $table:literal $(, version $version:literal by $upgrade:path)?;)*) => {
        $(impl Row for $row {
            const TABLE: &'static str = $table;
            $(
                const VERSION: u8 = $version;

                fn upgrade(version: u8, body: &[u8]) -> Result<Self, DecodeError> {
                    $upgrade(version, body)
                }
            )?
        })*

        /// Hands every type of record to `visitor`.
        #[cfg(test)]
        fn each_row(visitor: &mut impl golden::Visitor) {
            $(visitor.visit::<$row>(stringify!($row));)*
        }
    };
}

rows! {
    SiteRow in "sites";
    SeenRow in "heartbeats";
    AdminRow in "admins";
    AuditRow in "audit";
    StrangerRow in "strangers";
    RequestRow in "requests";
    TlsRow in "meta";
    AcmeAccountRow in "meta";
    AcmeCertificateRow in "meta";
    AcmeSetbackRow in "meta";
}

/// The bytes of a record.
pub(super) fn encode<R: Row>(row: &R) -> Result<Vec<u8>, super::Unavailable> {
    let body = bincode::serde::encode_to_vec(row, configuration())
        .map_err(|error| super::tables::unreadable(R::TABLE, error))?;
    let mut bytes = Vec::with_capacity(1 + body.len());
    bytes.push(R::VERSION);
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// The record of these bytes.
pub(super) fn decode<R: Row>(bytes: &[u8]) -> Result<R, DecodeError> {
    let (&version, body) = bytes.split_first().ok_or(DecodeError::Empty)?;
    match version {
        0 => Err(DecodeError::Malformed),
        _ if version > R::VERSION => Err(DecodeError::Newer { found: version, supported: R::VERSION }),
        _ if version == R::VERSION => body_of(body),
        _ => R::upgrade(version, body),
    }
}

/// What follows the version byte, as a struct of that version.
pub(super) fn body_of<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    match bincode::serde::decode_from_slice(body, configuration()) {
        Ok((row, used)) if used == body.len() => Ok(row),
        _ => Err(DecodeError::Malformed),
    }
}

fn configuration() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAX_RECORD_BYTES>()
}

/// A site's registration. Its number is the key of its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SiteRow {
    pub(super) site_id: u128,
    name: String,
    owner_name: String,
    contact_email: String,
    key_hash: [u8; 32],
    is_active: bool,
    lock_reason: Option<String>,
    license_expires_at: i64,
    created_at: i64,
    revision: u64,
    key_generation: u64,
    old_key: Option<OldKeyRow>,
}

impl SiteRow {
    pub(super) fn from_site(site: &Site) -> Self {
        Self {
            site_id: site.site_id.as_u128(),
            name: site.name.as_str().to_owned(),
            owner_name: site.owner_name.as_str().to_owned(),
            contact_email: site.contact_email.as_str().to_owned(),
            key_hash: *site.key.as_bytes(),
            is_active: site.is_active,
            lock_reason: site.lock_reason.as_ref().map(|reason| reason.as_str().to_owned()),
            license_expires_at: site.license_expires_at.unix(),
            created_at: site.created_at.unix(),
            revision: site.revision,
            key_generation: site.key_generation,
            old_key: site
                .old_key
                .as_ref()
                .map(|old| OldKeyRow { hash: *old.hash.as_bytes(), valid_until: old.valid_until.unix() }),
        }
    }

    pub(super) fn into_site(self, id: u64, seen: Option<Seen>) -> Result<Site, DecodeError> {
        Ok(Site {
            id,
            site_id: SiteId::from_u128(self.site_id),
            name: text("name", &self.name)?,
            owner_name: text("owner_name", &self.owner_name)?,
            contact_email: text("contact_email", &self.contact_email)?,
            key: KeyHash::from_bytes(self.key_hash),
            is_active: self.is_active,
            lock_reason: self.lock_reason.as_deref().map(|reason| text("lock_reason", reason)).transpose()?,
            license_expires_at: time("license_expires_at", self.license_expires_at)?,
            created_at: time("created_at", self.created_at)?,
            revision: self.revision,
            key_generation: self.key_generation,
            old_key: match self.old_key {
                Some(old) => Some(OldKey {
                    hash: KeyHash::from_bytes(old.hash),
                    valid_until: time("old_key_valid_until", old.valid_until)?,
                }),
                None => None,
            },
            seen,
        })
    }
}

/// The key that a rotation replaced, while it still works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct OldKeyRow {
    hash: [u8; 32],
    valid_until: i64,
}

/// A site's last heartbeat, rewritten at each one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SeenRow {
    at: i64,
    ip: IpAddr,
    version: String,
    uptime_seconds: u64,
    key_generation: u64,
}

impl SeenRow {
    pub(super) fn from_seen(seen: &Seen) -> Self {
        Self {
            at: seen.at.unix(),
            ip: seen.ip,
            version: seen.heartbeat.version.as_str().to_owned(),
            uptime_seconds: seen.heartbeat.uptime_seconds,
            key_generation: seen.key_generation,
        }
    }

    pub(super) fn into_seen(self) -> Result<Seen, DecodeError> {
        Ok(Seen {
            at: time("last_seen_at", self.at)?,
            ip: self.ip,
            heartbeat: Heartbeat {
                version: text("last_version", &self.version)?,
                uptime_seconds: self.uptime_seconds,
            },
            key_generation: self.key_generation,
        })
    }
}

/// An admin. The number is the key of its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct AdminRow {
    username: String,
    password_hash: String,
    token_epoch: u64,
    created_at: i64,
}

impl AdminRow {
    pub(super) fn from_admin(admin: &Admin) -> Self {
        Self {
            username: admin.username.as_str().to_owned(),
            password_hash: admin.password_hash.clone(),
            token_epoch: admin.token_epoch.0,
            created_at: admin.created_at.unix(),
        }
    }

    pub(super) fn into_admin(self, id: u64) -> Result<Admin, DecodeError> {
        Ok(Admin {
            id,
            username: text("username", &self.username)?,
            password_hash: self.password_hash,
            token_epoch: TokenEpoch(self.token_epoch),
            created_at: time("created_at", self.created_at)?,
        })
    }
}

/// An entry of the audit trail. The number is the key of its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct AuditRow {
    at: i64,
    actor_kind: String,
    actor_name: String,
    ip: Option<IpAddr>,
    action: String,
    site_id: Option<u128>,
    admin: Option<String>,
    changes: Vec<(String, Option<String>, Option<String>)>,
}

impl AuditRow {
    pub(super) fn from_entry(entry: &AuditEntry) -> Self {
        let changes = entry.changes.iter();
        Self {
            at: entry.at.unix(),
            actor_kind: entry.actor.kind.as_str().to_owned(),
            actor_name: entry.actor.name.clone(),
            ip: entry.actor.ip,
            action: entry.action.as_str().to_owned(),
            site_id: entry.site_id.map(SiteId::as_u128),
            admin: entry.admin.clone(),
            changes: changes.map(|c| (c.field.clone(), c.before.clone(), c.after.clone())).collect(),
        }
    }

    pub(super) fn into_entry(self, id: u64) -> Result<AuditEntry, DecodeError> {
        // As version 0.1.0 kept failed logins here.
        let kind = match self.actor_kind.as_str() {
            "unproven" => Some(ActorKind::Stranger),
            name => ActorKind::named(name),
        };
        let changes = self.changes.into_iter();
        Ok(AuditEntry {
            id,
            at: time("at", self.at)?,
            actor: Actor {
                kind: kind.ok_or(DecodeError::Field("actor_kind"))?,
                name: self.actor_name,
                ip: self.ip,
            },
            action: Action::named(&self.action).ok_or(DecodeError::Field("action"))?,
            site_id: self.site_id.map(SiteId::from_u128),
            admin: self.admin,
            changes: changes.map(|(field, before, after)| FieldChange { field, before, after }).collect(),
        })
    }
}

/// A failed login. The number is the key of its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StrangerRow {
    pub(super) at: i64,
    pub(super) ip: Option<IpAddr>,
    pub(super) admin: Option<String>,
}

impl StrangerRow {
    pub(super) fn into_entry(self, id: u64) -> Result<AuditEntry, DecodeError> {
        Ok(AuditEntry {
            id,
            at: time("at", self.at)?,
            actor: Actor {
                kind: ActorKind::Stranger,
                name: self.admin.clone().unwrap_or_default(),
                ip: self.ip,
            },
            action: Action::LoginFailed,
            site_id: None,
            admin: self.admin,
            changes: Vec::new(),
        })
    }
}

/// The self-signed certificate and its private key, both DER.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TlsRow {
    pub(super) certificate: Vec<u8>,
    pub(super) private_key: Vec<u8>,
}

/// A request that was done once ([`super::requests`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RequestRow {
    pub(super) at: i64,
    pub(super) body: [u8; 32],
    pub(super) salt: [u8; 32],
    pub(super) deeds: Vec<DeedRow>,
}

/// What became of one operation of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct DeedRow {
    what: u8,
    site_id: u128,
}

impl DeedRow {
    const REGISTERED: u8 = 1;
    const CHANGED: u8 = 2;
    const DELETED: u8 = 3;
    const NOT_FOUND: u8 = 4;
    const TOO_FAR_AHEAD: u8 = 5;

    pub(super) fn done(deed: Deed, site_id: SiteId) -> Self {
        let what = match deed {
            Deed::Registered => Self::REGISTERED,
            Deed::Changed => Self::CHANGED,
            Deed::Deleted => Self::DELETED,
        };
        Self { what, site_id: site_id.as_u128() }
    }

    pub(super) fn refused(refusal: OperationRefused) -> Self {
        let what = match refusal {
            OperationRefused::NotFound => Self::NOT_FOUND,
            OperationRefused::TooFarAhead => Self::TOO_FAR_AHEAD,
        };
        Self { what, site_id: 0 }
    }

    pub(super) fn read(&self) -> Result<Result<(Deed, SiteId), OperationRefused>, DecodeError> {
        let done = |deed| Ok(Ok((deed, SiteId::from_u128(self.site_id))));
        match self.what {
            Self::REGISTERED => done(Deed::Registered),
            Self::CHANGED => done(Deed::Changed),
            Self::DELETED => done(Deed::Deleted),
            Self::NOT_FOUND => Ok(Err(OperationRefused::NotFound)),
            Self::TOO_FAR_AHEAD => Ok(Err(OperationRefused::TooFarAhead)),
            _ => Err(DecodeError::Field("what")),
        }
    }
}

fn text<T: Stored>(field: &'static str, text: &str) -> Result<T, DecodeError> {
    T::from_stored(text).map_err(|_| DecodeError::Field(field))
}

fn time(field: &'static str, seconds: i64) -> Result<Timestamp, DecodeError> {
    Timestamp::from_unix(seconds).ok_or(DecodeError::Field(field))
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;

    use super::*;

    fn any_old_key() -> impl Strategy<Value = OldKeyRow> {
        (any::<[u8; 32]>(), any::<i64>()).prop_map(|(hash, valid_until)| OldKeyRow { hash, valid_until })
    }

    prop_compose! {
        fn any_site_row()(
            (site_id, name, owner_name, contact_email) in (any::<u128>(), ".{0,200}", ".{0,200}", ".{0,254}"),
            (key_hash, key_generation, old_key) in
                (any::<[u8; 32]>(), any::<u64>(), proptest::option::of(any_old_key())),
            (is_active, lock_reason) in (any::<bool>(), proptest::option::of(".{0,500}")),
            (license_expires_at, created_at, revision) in (any::<i64>(), any::<i64>(), any::<u64>()),
        ) -> SiteRow {
            SiteRow {
                site_id, name, owner_name, contact_email, key_hash, is_active, lock_reason,
                license_expires_at, created_at, revision, key_generation, old_key,
            }
        }
    }

    prop_compose! {
        fn any_seen_row()(
            at in any::<i64>(), ip in any::<IpAddr>(), version in ".{0,64}",
            uptime_seconds in any::<u64>(), key_generation in any::<u64>(),
        ) -> SeenRow {
            SeenRow { at, ip, version, uptime_seconds, key_generation }
        }
    }

    prop_compose! {
        fn any_audit_row()(
            at in any::<i64>(), actor_kind in ".{0,10}", actor_name in ".{0,64}",
            ip in any::<Option<IpAddr>>(), action in ".{0,20}", site_id in any::<Option<u128>>(),
            admin in any::<Option<String>>(), changes in any::<Vec<(String, Option<String>, Option<String>)>>(),
        ) -> AuditRow {
            AuditRow { at, actor_kind, actor_name, ip, action, site_id, admin, changes }
        }
    }

    prop_compose! {
        fn any_request_row()(
            at in any::<i64>(), body in any::<[u8; 32]>(), salt in any::<[u8; 32]>(),
            deeds in proptest::collection::vec(any::<(u8, u128)>(), 0..20),
        ) -> RequestRow {
            let deeds = deeds.into_iter().map(|(what, site_id)| DeedRow { what, site_id }).collect();
            RequestRow { at, body, salt, deeds }
        }
    }

    fn any_admin_row() -> impl Strategy<Value = AdminRow> {
        (".{0,64}", ".{0,128}", any::<u64>(), any::<i64>()).prop_map(
            |(username, password_hash, token_epoch, created_at)| AdminRow {
                username,
                password_hash,
                token_epoch,
                created_at,
            },
        )
    }

    fn round_trips<R: Row + PartialEq + Debug>(row: &R) {
        assert_eq!(&decode::<R>(&encode(row).unwrap()).unwrap(), row);
    }

    proptest! {
        #[test]
        fn any_record_round_trips(site in any_site_row(), seen in any_seen_row(), admin in any_admin_row(), audit in any_audit_row(),
                                  certificate in any::<Vec<u8>>(), private_key in any::<Vec<u8>>(),
                                  request in any_request_row()) {
            round_trips(&site);
            round_trips(&seen);
            round_trips(&admin);
            round_trips(&audit);
            round_trips(&TlsRow { certificate, private_key });
            round_trips(&request);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            if let Ok(row) = decode::<SiteRow>(&bytes) { let _ = row.into_site(1, None); }
            if let Ok(row) = decode::<SeenRow>(&bytes) { let _ = row.into_seen(); }
            if let Ok(row) = decode::<AdminRow>(&bytes) { let _ = row.into_admin(1); }
            if let Ok(row) = decode::<AuditRow>(&bytes) {
                let _ = row.into_entry(1);
            }
            if let Ok(row) = decode::<StrangerRow>(&bytes) {
                let _ = row.into_entry(1);
            }
            let _ = decode::<TlsRow>(&bytes);
            let _ = decode::<AcmeAccountRow>(&bytes);
            let _ = decode::<AcmeCertificateRow>(&bytes);
            let _ = decode::<AcmeSetbackRow>(&bytes);
            if let Ok(row) = decode::<RequestRow>(&bytes) {
                let _ = row.deeds.iter().map(DeedRow::read).count();
            }
        }

        #[test]
        fn a_cut_record_is_malformed(site in any_site_row(), cut in any::<proptest::sample::Index>()) {
            let bytes = encode(&site).unwrap();
            prop_assert!(decode::<SiteRow>(&bytes[..cut.index(bytes.len())]).is_err());
        }
    }

    #[test]
    fn texts_that_today_would_be_refused_are_read_as_they_were_stored() {
        let old = "a\u{202e}b e\u{301}\u{200b}";
        let site = SiteRow {
            site_id: 1,
            name: old.to_owned(),
            owner_name: old.to_owned(),
            contact_email: format!("{old}@example.com"),
            key_hash: [0; 32],
            is_active: true,
            lock_reason: Some(old.to_owned()),
            license_expires_at: 0,
            created_at: 0,
            revision: 1,
            key_generation: 1,
            old_key: None,
        };
        let read = decode::<SiteRow>(&encode(&site).unwrap()).unwrap().into_site(1, None).unwrap();
        assert_eq!((read.name.as_str(), read.owner_name.as_str()), (old, old));
        assert_eq!(SiteRow::from_site(&read), site);
        let admin = AdminRow {
            username: old.to_owned(),
            password_hash: String::new(),
            token_epoch: 1,
            created_at: 0,
        };
        assert_eq!(AdminRow::from_admin(&admin.clone().into_admin(1).unwrap()), admin);
    }

    #[test]
    fn a_newer_record_is_told_from_a_damaged_one() {
        assert!(matches!(decode::<SeenRow>(&[2, 0]), Err(DecodeError::Newer { found: 2, supported: 1 })));
        assert!(matches!(decode::<SeenRow>(&[1, 0]), Err(DecodeError::Malformed)));
        assert!(matches!(decode::<SeenRow>(&[]), Err(DecodeError::Empty)));
    }

    /// Bytes as files in the field hold them. They never change: a change of
    /// encoding is a new version beside the old one.
    #[test]
    fn version_1_records_read_as_they_always_did() {
        let seen =
            [1u8, 252, 0, 102, 127, 226, 0, 192, 0, 2, 1, 5, b'1', b'.', b'2', b'.', b'3', 251, 16, 14, 1];
        let row: SeenRow = decode(&seen).unwrap();
        assert_eq!(
            row,
            SeenRow {
                at: 1_900_000_000,
                ip: "192.0.2.1".parse().unwrap(),
                version: "1.2.3".into(),
                uptime_seconds: 3600,
                key_generation: 1
            }
        );
        assert_eq!(encode(&row).unwrap(), seen);
    }
}

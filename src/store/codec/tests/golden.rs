//! The bytes of every type of record, as files in the field hold them.
//!
//! `tests/data/rows.txt` has a line for each version of each type, of the
//! sample below. No line is ever changed or taken away: another encoding is a
//! new version, with a line of its own beside the old one.
//! `SITEWARDEN_WRITE_ROWS=1 cargo test golden` adds the lines that are
//! missing, and changes none.

use std::fmt::Debug;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::store::codec::audit::{ChangeRow, RunRow, SubjectRow, ValueRow};
use crate::store::codec::bytes::body_of;
use crate::store::codec::history::{DayRow, OthersRow, TodayRow};
use crate::store::codec::rows::each_row;
use crate::store::codec::second_factor::ConfirmedRow;
use crate::store::codec::site::{LeaseRow, OldKeyRow, ReachedRow, SeenFields, SiteFields, WatchRow};
use crate::store::codec::*;

/// A type of record with a record that has something in every field.
pub(in crate::store::codec) trait Sample: Row + PartialEq + Debug {
    fn sample() -> Self;

    /// What the sample of an older version is read as.
    fn upgraded(_version: u8) -> Self {
        Self::sample()
    }
}

/// Takes every type of record ([`super::each_row`]).
pub(in crate::store::codec) trait Visitor {
    fn visit<R: Sample>(&mut self, name: &str);
}

const AT: i64 = 1_900_000_000;

impl Sample for SiteRow {
    fn sample() -> Self {
        let fields = SiteFields {
            site_id: 0x0123_4567_89ab_4def_8123_4567_89ab_cdef,
            name: "Trattoria 🍕".to_owned(),
            owner_name: "Mario".to_owned(),
            contact_email: "mario@example.com".to_owned(),
            key_hash: [7; 32],
            is_active: true,
            lock_reason: Some("unpaid".to_owned()),
            license_expires_at: AT + 1,
            created_at: AT,
            revision: 300,
            key_generation: 2,
            old_key: Some(OldKeyRow { hash: [8; 32], valid_until: -5 }),
        };
        Self {
            fields,
            registration_entry: 70_000,
            lock_at: Some(AT - 2),
            lock_until: Some(AT + 2),
            grace_days: Some(14),
            offline_hours: Some(300),
            verdict_revision: 4,
            verdict_changed_at: Some(AT + 3),
            features: "delivery orders".to_owned(),
            tags: "rome vip".to_owned(),
            notes: "Rings\non Mondays".to_owned(),
            time_zone: Some("Europe/Rome".to_owned()),
            watch: Some(WatchRow { minutes: 15, until: AT + 4 }),
        }
    }

    fn upgraded(_: u8) -> Self {
        Self::of_version_1(Self::sample().fields)
    }
}

impl Sample for SeenRow {
    fn sample() -> Self {
        let fields = SeenFields {
            at: AT,
            ip: "2001:db8::1".parse().unwrap(),
            version: "1.2.3".to_owned(),
            uptime_seconds: u64::MAX,
            key_generation: 1,
        };
        Self {
            fields,
            answered: Some(ReachedRow { revision: 300, at: AT - 1 }),
            acknowledged: Some(ReachedRow { revision: 299, at: AT - 2 }),
            lease: Some(LeaseRow { issued_after: 5, newest_key: 2 }),
            today: Some(TodayRow {
                date: 21_990,
                ends_at: AT + 3600,
                heartbeats: 300,
                lasted: 70_000,
                others: Some(OthersRow {
                    addresses: vec!["192.0.2.1".parse().unwrap()],
                    more_addresses: 2,
                    versions: vec!["1.2.2".to_owned()],
                    more_versions: 1,
                }),
            }),
        }
    }

    fn upgraded(_: u8) -> Self {
        Self { answered: None, acknowledged: None, lease: None, today: None, ..Self::sample() }
    }
}

impl Sample for AdminRow {
    fn sample() -> Self {
        Self {
            username: "Sysadmin".to_owned(),
            password_hash: "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA".to_owned(),
            token_epoch: 0xfedc_ba98_7654_3210,
            created_at: AT,
        }
    }
}

impl Sample for AuditRow {
    fn sample() -> Self {
        let change = |field, before, after| ChangeRow { field, before, after };
        Self {
            at: AT,
            actor_kind: 1,
            actor_name: "Anna".to_owned(),
            ip: Some("192.0.2.1".parse().unwrap()),
            action: 2,
            site: SubjectRow::Site(5),
            admin: Some("anna".to_owned()),
            changes: vec![
                change(1, None, Some(ValueRow::Text("b".to_owned()))),
                change(4, Some(ValueRow::Time(AT)), Some(ValueRow::Time(-1))),
                change(5, Some(ValueRow::Flag(true)), None),
                change(12, Some(ValueRow::Number(14)), None),
            ],
            actor_token: Some("nightly".to_owned()),
            chain: [7; 32],
        }
    }

    /// As version 0.1.0 stored a failed login.
    fn upgraded(_: u8) -> Self {
        let mut row = Self { actor_kind: 3, action: 14, actor_token: None, chain: [0; 32], ..Self::sample() };
        row.changes.truncate(1);
        row
    }
}

impl Sample for TokenRow {
    fn sample() -> Self {
        Self {
            admin: 300,
            name: "Nightly backup".to_owned(),
            hash: [11; 32],
            scope: 3,
            created_at: AT,
            expires_at: AT + 1,
            networks: vec!["192.0.2.0/24".to_owned(), "2001:db8::/48".to_owned()],
        }
    }
}

impl Sample for StrangerRow {
    fn sample() -> Self {
        Self { at: AT, ip: Some("192.0.2.1".parse().unwrap()), admin: Some("Anna".to_owned()) }
    }
}

impl Sample for RequestRow {
    fn sample() -> Self {
        let effects = (1..=5).map(|what| EffectRow { what, site_id: u128::from(what) << 100 }).collect();
        Self { at: AT, body: [9; 32], salt: [10; 32], effects }
    }
}

impl Sample for LeaseKeyRow {
    fn sample() -> Self {
        Self { pkcs8: vec![5, 6, 7], created_at: AT, signs_from: AT + 300 }
    }
}

impl Sample for SecondFactorRow {
    fn sample() -> Self {
        let confirmed = ConfirmedRow {
            since: AT,
            last_step: 63_333_333,
            recovery: vec![[11; 32], [12; 32]],
            wrong: 7,
            last_wrong_at: AT + 4,
            pauses: 1,
            paused_until: AT + 5,
        };
        Self { secret: [13; 20], confirmed: Some(confirmed) }
    }
}

impl Sample for SessionRow {
    fn sample() -> Self {
        Self {
            kind: 1,
            created_at: AT,
            expires_at: AT + 900,
            ip: "192.0.2.1".parse().unwrap(),
            means: 2,
            second_factor_at: Some(AT + 1),
        }
    }
}

impl Sample for HistoryRow {
    fn sample() -> Self {
        let day = DayRow {
            skipped: 21_989,
            drift: AT - 86_400,
            lasted: 64_801,
            heartbeats: 4,
            addresses: vec![0],
            versions: vec![0],
            more: None,
        };
        let next = DayRow {
            skipped: 0,
            drift: -300,
            heartbeats: 300,
            addresses: vec![1, 0],
            more: Some((5, 0)),
            ..day.clone()
        };
        Self {
            addresses: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            versions: vec!["1.2.3".to_owned()],
            days: vec![day, next],
        }
    }
}

impl Sample for TlsRow {
    fn sample() -> Self {
        Self { certificate: vec![1; 300], private_key: vec![2, 3] }
    }
}

impl Sample for AcmeAccountRow {
    fn sample() -> Self {
        Self { directory_url: "https://acme.example/dir".to_owned(), credentials: "{\"id\":1}".to_owned() }
    }
}

impl Sample for AcmeCertificateRow {
    fn sample() -> Self {
        Self {
            directory_url: "https://acme.example/dir".to_owned(),
            chain: vec![vec![1, 2], vec![3]],
            private_key: vec![4],
        }
    }
}

impl Sample for AcmeSetbackRow {
    fn sample() -> Self {
        Self {
            directory_url: "https://acme.example/dir".to_owned(),
            domains: vec!["a.example".to_owned(), "b.example".to_owned()],
            failures: 70_000,
            failed_checks: 3,
            retry_at: AT,
            reason: "no route".to_owned(),
        }
    }
}

impl Sample for ChainRow {
    fn sample() -> Self {
        Self { upgraded: 300, runs: vec![RunRow { first: 1, last: 299, hash: [9; 32] }] }
    }
}

fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/rows.txt"))
}

/// The lines of the file: name of the type, version, bytes.
struct Lines(Vec<(String, u8, Vec<u8>)>);

impl Lines {
    fn read() -> Self {
        let text = std::fs::read_to_string(file()).unwrap_or_default();
        let line = |line: &str| {
            let mut parts = line.split(' ');
            let (name, version, hex) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (name.to_owned(), version.parse().unwrap(), (0..hex.len()).step_by(2).map(byte).collect())
        };
        Self(text.lines().map(line).collect())
    }

    fn of(&self, name: &str, version: u8) -> Option<&[u8]> {
        let line = self.0.iter().find(|line| line.0 == name && line.1 == version)?;
        Some(&line.2)
    }
}

/// Holds every type against its lines.
struct Holding {
    lines: Lines,
    held: usize,
}

impl Visitor for Holding {
    fn visit<R: Sample>(&mut self, name: &str) {
        for version in 1..=R::VERSION {
            let bytes = self.lines.of(name, version);
            let bytes = bytes.unwrap_or_else(|| panic!("no line for version {version} of {name}"));
            let (expected, current) = match version {
                _ if version == R::VERSION => (R::sample(), true),
                _ => (R::upgraded(version), false),
            };
            assert_eq!(decode::<R>(bytes).unwrap(), expected, "version {version} of {name}");
            assert!(!current || encode(&expected).unwrap() == bytes, "{name} is written as other bytes");
            self.held += 1;
        }
    }
}

struct Adding(Lines);

impl Visitor for Adding {
    fn visit<R: Sample>(&mut self, name: &str) {
        if self.0.of(name, R::VERSION).is_none() {
            self.0.0.push((name.to_owned(), R::VERSION, encode(&R::sample()).unwrap()));
        }
    }
}

#[test]
fn every_golden_record_is_read_and_written_as_ever() {
    if std::env::var_os("SITEWARDEN_WRITE_ROWS").is_some() {
        let mut adding = Adding(Lines::read());
        each_row(&mut adding);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let line =
            |(name, version, bytes): &(String, u8, Vec<u8>)| format!("{name} {version} {}\n", hex(bytes));
        std::fs::write(file(), adding.0.0.iter().map(line).collect::<String>()).unwrap();
    }
    let mut holding = Holding { lines: Lines::read(), held: 0 };
    each_row(&mut holding);
    assert_eq!(holding.held, holding.lines.0.len(), "a line is of no type that there is");
}

/// A type of record that has changed: version 1 had no `tags`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct ChangedRow {
    name: String,
    tags: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct ChangedRowV1 {
    name: String,
}

impl Row for ChangedRow {
    const TABLE: &'static str = "changed";
    const VERSION: u8 = 2;

    fn upgrade(version: u8, body: &[u8]) -> Result<Self, DecodeError> {
        match version {
            1 => body_of(body).map(|ChangedRowV1 { name }| Self { name, tags: Vec::new() }),
            _ => Err(DecodeError::Malformed),
        }
    }
}

/// A type whose second version nobody taught to read the first.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct ForgottenRow {
    name: String,
}

impl Row for ForgottenRow {
    const TABLE: &'static str = "forgotten";
    const VERSION: u8 = 2;
}

#[test]
fn a_record_of_version_1_is_read_by_a_build_that_writes_version_2() {
    let old = [1, 1, b'a'];
    assert_eq!(decode::<ChangedRow>(&old).unwrap(), ChangedRow { name: "a".to_owned(), tags: Vec::new() });
    let new = ChangedRow { name: "a".to_owned(), tags: vec!["b".to_owned()] };
    let bytes = encode(&new).unwrap();
    assert_eq!(bytes, [2, 1, b'a', 1, 1, b'b']);
    assert_eq!(decode::<ChangedRow>(&bytes).unwrap(), new);
    // Neither is taken for the other, nor what is left over for nothing.
    assert!(matches!(decode::<ChangedRow>(&[2, 1, b'a']), Err(DecodeError::Malformed)));
    assert!(matches!(decode::<ChangedRow>(&[1, 1, b'a', 0]), Err(DecodeError::Malformed)));
    assert!(matches!(
        decode::<ChangedRow>(&[3, 1, b'a']),
        Err(DecodeError::Newer { found: 3, supported: 2 })
    ));
    assert!(matches!(decode::<ForgottenRow>(&old), Err(DecodeError::Malformed)));
}

#[test]
fn each_kind_of_subject_of_an_entry_has_its_number() {
    let number = |site: SubjectRow| {
        let row =
            AuditRow { site, admin: None, changes: Vec::new(), actor_token: None, ..AuditRow::sample() };
        let bytes = encode(&row).unwrap();
        assert_eq!(decode::<AuditRow>(&bytes).unwrap(), row);
        let bytes = &bytes[..bytes.len() - 32];
        bytes[bytes.len() - 5..bytes.len() - 1].to_vec()
    };
    assert_eq!(number(SubjectRow::Nobody)[1..], [0, 0, 0]);
    assert_eq!(number(SubjectRow::Site(5)), [1, 5, 0, 0]);
    assert_eq!(number(SubjectRow::InItsRow(6)), [2, 6, 0, 0]);
}

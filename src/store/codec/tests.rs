//! Every record, as it is written and read.

pub(super) mod golden;

use std::fmt::Debug;
use std::net::IpAddr;

use proptest::prelude::*;

use super::audit::{ChangeRow, SubjectRow, ValueRow, action_number, action_of, field_of, kind_of};
use super::bytes::DecodeError;
use super::history::{OthersRow, TodayRow};
use super::site::{LeaseRow, OldKeyRow, ReachedRow, SeenFields, SiteFields, WatchRow};
use super::*;
use crate::domain::secret_key::OldKey;
use crate::domain::{Date, Day, History, Several, Timestamp};

/// Seconds, about half of them within the bounds of time.
fn any_seconds() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), 0..4_000_000_000_i64]
}

fn any_old_key() -> impl Strategy<Value = OldKeyRow> {
    (any::<[u8; 32]>(), any_seconds()).prop_map(|(hash, valid_until)| OldKeyRow { hash, valid_until })
}

fn any_option<S: Strategy>(some: S) -> impl Strategy<Value = Option<S::Value>> {
    proptest::option::of(some)
}

fn any_codes() -> impl Strategy<Value = String> {
    prop_oneof![9 => Just("delivery orders".to_owned()), 9 => Just(String::new()), 1 => ".{0,9}"]
}

fn any_reached() -> impl Strategy<Value = Option<ReachedRow>> {
    any_option((any::<u64>(), any_seconds()).prop_map(|(revision, at)| ReachedRow { revision, at }))
}

prop_compose! {
    fn any_site_row()(
        (site_id, name, owner_name, contact_email) in (any::<u128>(), ".{0,200}", ".{0,200}", ".{0,254}"),
        (key_hash, key_generation, old_key) in
            (any::<[u8; 32]>(), any::<u64>(), proptest::option::of(any_old_key())),
        (is_active, lock_reason) in (any::<bool>(), proptest::option::of(".{0,500}")),
        (license_expires_at, created_at, revision) in (any_seconds(), any_seconds(), any::<u64>()),
        (registration_entry, lock_at, lock_until, grace_days, offline_hours) in
            (any::<u64>(), any_option(any_seconds()), any_option(any_seconds()), any_option(0..100_u8), any_option(0..9000_u16)),
        (verdict_revision, verdict_changed_at, features, tags) in
            (any::<u64>(), any_option(any_seconds()), any_codes(), any_codes()),
        (notes, time_zone, watch) in
            (".{0,50}", any_option("[A-Za-z/]{1,20}"), any_option((any::<u8>(), any_seconds()))),
    ) -> SiteRow {
        let fields = SiteFields {
            site_id, name, owner_name, contact_email, key_hash, is_active, lock_reason,
            license_expires_at, created_at, revision, key_generation, old_key,
        };
        SiteRow {
            fields, registration_entry, lock_at, lock_until, grace_days, offline_hours, verdict_revision,
            verdict_changed_at, features, tags, notes, time_zone,
            watch: watch.map(|(minutes, until)| WatchRow { minutes, until }),
        }
    }
}

prop_compose! {
    fn any_today()(
        date in prop_oneof![9 => 0..50_000_i32, 1 => any::<i32>()], ends_at in any_seconds(), heartbeats in any::<u32>(),
        lasted in -300..90_000_i64,
        others in any_option((any::<Vec<IpAddr>>(), any::<u32>(), any::<u32>())),
    ) -> TodayRow {
        let others = others.map(|(addresses, more_addresses, more_versions)| {
            OthersRow { addresses, more_addresses, versions: vec!["2.4".to_owned()], more_versions }
        });
        TodayRow { date, ends_at, heartbeats, lasted, others }
    }
}

prop_compose! {
    fn any_history()(
        days in proptest::collection::vec((1..400_i32, 0..90_000_i64, 0..90_000_i64, any::<[u8; 2]>(), any::<u32>()), 0..120),
    ) -> History {
        let (mut history, mut date) = (History::default(), 20_000);
        for (later, first, lasted, [address, version], heartbeats) in days {
            date += later;
            let first_at = i64::from(date) * 86_400 + first;
            let time = |seconds| Timestamp::from_unix(seconds).unwrap();
            history.add(Day {
                date: Date::numbered(date).unwrap(),
                heartbeats,
                first_at: time(first_at),
                last_at: time(first_at + lasted),
                addresses: Several { values: vec![IpAddr::from([192, 0, 2, address])], more: heartbeats / 2 },
                versions: Several { values: vec![format!("2.{}", version % 8).parse().unwrap()], more: 0 },
            });
        }
        history
    }
}

prop_compose! {
    fn any_seen_row()(
        at in any_seconds(), ip in any::<IpAddr>(), version in ".{0,64}",
        uptime_seconds in any::<u64>(), key_generation in any::<u64>(),
        answered in any_reached(), acknowledged in any_reached(),
        lease in any_option((any::<i64>(), any::<u64>())),
        today in any_option(any_today()),
    ) -> SeenRow {
        let lease = lease.map(|(issued_after, newest_key)| LeaseRow { issued_after, newest_key });
        SeenRow { fields: SeenFields { at, ip, version, uptime_seconds, key_generation }, answered, acknowledged, lease, today }
    }
}

fn any_value() -> impl Strategy<Value = ValueRow> {
    prop_oneof![
        ".{0,20}".prop_map(ValueRow::Text),
        any::<i64>().prop_map(ValueRow::Time),
        any::<bool>().prop_map(ValueRow::Flag),
        any::<u64>().prop_map(ValueRow::Number),
    ]
}

fn any_change() -> impl Strategy<Value = ChangeRow> {
    let value = || proptest::option::of(any_value());
    (any::<u8>(), value(), value()).prop_map(|(field, before, after)| ChangeRow { field, before, after })
}

fn any_subject() -> impl Strategy<Value = SubjectRow> {
    prop_oneof![
        Just(SubjectRow::Nobody),
        any::<u128>().prop_map(SubjectRow::Site),
        any::<u64>().prop_map(SubjectRow::InItsRow),
    ]
}

prop_compose! {
    fn any_audit_row()(
        at in any::<i64>(), actor_kind in any::<u8>(), actor_name in ".{0,64}",
        ip in any::<Option<IpAddr>>(), action in any::<u8>(), site in any_subject(),
        admin in any::<Option<String>>(), changes in proptest::collection::vec(any_change(), 0..7),
        actor_token in any::<Option<String>>(), chain in any::<[u8; 32]>(),
    ) -> AuditRow {
        AuditRow { at, actor_kind, actor_name, ip, action, site, admin, changes, actor_token, chain }
    }
}

prop_compose! {
    fn any_request_row()(
        at in any::<i64>(), body in any::<[u8; 32]>(), salt in any::<[u8; 32]>(),
        effects in proptest::collection::vec(any::<(u8, u128)>(), 0..20),
    ) -> RequestRow {
        let effects = effects.into_iter().map(|(what, site_id)| EffectRow { what, site_id }).collect();
        RequestRow { at, body, salt, effects }
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

/// The fields of a registration as a record of version 1 had them.
#[derive(serde::Serialize, serde::Deserialize)]
struct Alone(SiteFields);

impl Row for Alone {
    const TABLE: &'static str = "sites";
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
    fn days_come_back_from_their_record_as_they_were(history in any_history()) {
        let row = HistoryRow::from_history(&history);
        round_trips(&row);
        prop_assert_eq!(row.into_history().unwrap(), history);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
        if let Ok(row) = decode::<SiteRow>(&bytes) { let _ = row.into_site(1, None); }
        if let Ok(row) = decode::<SeenRow>(&bytes) { let _ = row.into_seen(); }
        if let Ok(row) = decode::<HistoryRow>(&bytes) { let _ = row.into_history(); }
        if let Ok(row) = decode::<AdminRow>(&bytes) { let _ = row.into_admin(1); }
        if let Ok(row) = decode::<AuditRow>(&bytes) {
            let _ = row.into_entry(1, None);
        }
        if let Ok(row) = decode::<StrangerRow>(&bytes) {
            let _ = row.into_entry(1);
        }
        let _ = decode::<TlsRow>(&bytes);
        let _ = decode::<AcmeAccountRow>(&bytes);
        let _ = decode::<AcmeCertificateRow>(&bytes);
        let _ = decode::<AcmeSetbackRow>(&bytes);
        let _ = decode::<ChainRow>(&bytes).map(ChainRow::into_chain);
        if let Ok(row) = decode::<RequestRow>(&bytes) {
            let _ = row.effects.iter().map(EffectRow::read).count();
        }
    }

    #[test]
    fn what_a_heartbeat_reads_of_a_site_is_what_the_whole_record_says(row in any_site_row(), seen in any_seen_row()) {
        let bytes = encode(&row).unwrap();
        // Version 1 is the fields alone.
        let mut old = vec![1];
        old.extend(&encode(&Alone(row.fields.clone())).unwrap()[1..]);
        for bytes in [bytes, old] {
            let site = decode::<SiteRow>(&bytes).unwrap().into_site(1, None);
            let calling = CallingSite::read(&bytes);
            // A time that is out of bounds in what a heartbeat does not need is none of its business.
            if let Ok(site) = site {
                let calling = calling.unwrap();
                prop_assert!(calling.keys.key.matches(&site.key));
                prop_assert_eq!(calling.keys.generation, site.key_generation);
                let old = |old: Option<OldKey>| old.map(|old| (*old.hash.as_bytes(), old.valid_until));
                prop_assert_eq!(old(calling.keys.old), old(site.old_key));
                prop_assert_eq!((calling.terms, calling.verdict_revision, calling.watch), (site.terms, site.verdict_revision, site.watch));
            }
        }
        let bytes = encode(&seen).unwrap();
        if let Ok(seen) = seen.into_seen() {
            let last = LastSeen::read(&bytes, &seen.heartbeat.version).unwrap();
            prop_assert_eq!(last.other_version, None);
            let last = (last.at, last.delivered, last.lease, last.today, last.ip);
            prop_assert_eq!(last, (seen.at, seen.delivered, seen.lease, seen.today, seen.ip));
        }
    }

    #[test]
    fn what_a_list_looks_at_is_what_the_whole_record_says(row in any_site_row(), seen in any_seen_row()) {
        let (bytes, seen_bytes) = (encode(&row).unwrap(), encode(&seen).unwrap());
        let mut old = vec![1];
        old.extend(&encode(&Alone(row.fields.clone())).unwrap()[1..]);
        let Ok(seen) = seen.into_seen() else { return Ok(()) };
        for bytes in [bytes, old] {
            let row = decode::<SiteRow>(&bytes).unwrap();
            for (seen, seen_bytes) in [(None, None), (Some(seen.clone()), Some(&*seen_bytes))] {
                if let Ok(site) = row.clone().into_site(7, seen) {
                    let looked_at = read_view(7, &bytes, seen_bytes).unwrap();
                    prop_assert_eq!(format!("{:?}", looked_at), format!("{:?}", site.view()));
                }
            }
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
    let fields = SiteFields {
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
    let site = SiteRow { registration_entry: 9, notes: old.to_owned(), ..SiteRow::of_version_1(fields) };
    let read = decode::<SiteRow>(&encode(&site).unwrap()).unwrap().into_site(1, None).unwrap();
    assert_eq!((read.name.as_str(), read.owner_name.as_str()), (old, old));
    assert_eq!(SiteRow::from_site(&read, 9), site);
    let admin =
        AdminRow { username: old.to_owned(), password_hash: String::new(), token_epoch: 1, created_at: 0 };
    assert_eq!(AdminRow::from_admin(&admin.clone().into_admin(1).unwrap()), admin);
}

#[test]
fn a_newer_record_is_told_from_a_damaged_one() {
    assert!(matches!(decode::<SeenRow>(&[3, 0]), Err(DecodeError::Newer { found: 3, supported: 2 })));
    assert!(matches!(decode::<SeenRow>(&[2, 0]), Err(DecodeError::Malformed)));
    assert!(matches!(decode::<SeenRow>(&[1, 0]), Err(DecodeError::Malformed)));
    assert!(matches!(decode::<SeenRow>(&[]), Err(DecodeError::Empty)));
}

/// Bytes as files in the field hold them. They never change: a change of
/// encoding is a new version beside the old one.
#[test]
fn version_1_records_read_as_they_always_did() {
    let seen = [1u8, 252, 0, 102, 127, 226, 0, 192, 0, 2, 1, 5, b'1', b'.', b'2', b'.', b'3', 251, 16, 14, 1];
    let row: SeenRow = decode(&seen).unwrap();
    assert_eq!(
        row,
        SeenRow {
            fields: SeenFields {
                at: 1_900_000_000,
                ip: "192.0.2.1".parse().unwrap(),
                version: "1.2.3".into(),
                uptime_seconds: 3600,
                key_generation: 1
            },
            answered: None,
            acknowledged: None,
            lease: None,
            today: None
        }
    );
    let last = LastSeen::read(&seen, &"1.2.4".parse().unwrap()).unwrap();
    assert_eq!((last.at.unix(), last.other_version.unwrap().as_str()), (1_900_000_000, "1.2.3"));
}

#[test]
fn numbers_in_the_trail_mean_what_they_always_did() {
    let said = |numbers: std::ops::RangeInclusive<u8>, name: &dyn Fn(u8) -> Option<&'static str>| {
        let names: Vec<_> = numbers.map(|number| name(number).unwrap_or("-")).collect();
        names.join(" ")
    };
    assert_eq!(said(0..=5, &|number| Some(kind_of(number)?.as_str())), "- admin system stranger site -");
    assert_eq!(
        said(0..=26, &|number| Some(action_of(number)?.as_str())),
        "- site_registered site_updated site_locked site_unlocked site_key_rotated site_deleted \
         admin_created admin_password_changed admin_deleted certificate_renewal_requested \
         signing_key_rotated backup_taken login_succeeded login_failed token_created token_ended - - - \
         logged_out sessions_ended otp_enabled otp_disabled otp_reset otp_paused -"
    );
    assert_eq!(
        said(0..=25, &|number| Some(field_of(number)?.as_str())),
        "- name owner_name contact_email license_expires_at is_active lock_reason old_key_valid_until \
         tags notes features time_zone grace_days offline_hours lock_at lock_until watch_until \
         verdict_revision - - means token scope expires_at networks -"
    );
    assert_eq!(
        said(39..=43, &|number| Some(action_of(number)?.as_str())),
        "- lease_key_rotated site_watched change_acknowledged -"
    );
    for action in crate::domain::Action::ALL {
        assert_eq!(action_of(action_number(action)), Some(action));
    }
}

#[test]
fn what_version_1_wrote_in_words_is_read_as_what_it_was() {
    let words = [
        ("license_expires_at", "2030-01-01T00:00:00Z"),
        ("old_key_valid_until", "+2030-01-01T00:00:00Z"),
        ("is_active", "false"),
        ("name", "true"),
    ];
    let mut bytes = vec![1, 0, 5];
    bytes.extend(b"admin");
    bytes.extend([0, 0, 12]);
    bytes.extend(b"site_updated");
    bytes.extend([0, 0, 4]);
    for (field, value) in words {
        bytes.push(u8::try_from(field.len()).unwrap());
        bytes.extend(field.as_bytes());
        bytes.extend([0, 1, u8::try_from(value.len()).unwrap()]);
        bytes.extend(value.as_bytes());
    }
    let row = decode::<AuditRow>(&bytes).unwrap();
    assert_eq!(row.changes[0].after, Some(ValueRow::Time(1_893_456_000)));
    assert_eq!(row.changes[1].after, Some(ValueRow::Text(words[1].1.to_owned())));
    assert_eq!(row.changes[2].after, Some(ValueRow::Flag(false)));
    let entry = row.into_entry(1, None).unwrap();
    let read: Vec<_> = entry
        .changes
        .iter()
        .map(|change| (change.field.as_str(), change.after.as_ref().unwrap().to_string()))
        .collect();
    assert_eq!(read, words.map(|(field, value)| (field, value.to_owned())));
}

#[test]
fn a_usual_day_takes_some_fifteen_bytes_and_90_of_them_fit_in_3_kb() {
    let mut history = History::default();
    let length = |history: &History| encode(&HistoryRow::from_history(history)).unwrap().len();
    let mut lengths = Vec::new();
    for number in 0..90 {
        let date = Date::numbered(20_000 + number).unwrap();
        let first_at =
            Timestamp::from_unix(i64::from(date.number()) * 86_400 + 3600 - i64::from(number % 7) * 40);
        let first_at = first_at.unwrap();
        history.add(Day {
            date,
            heartbeats: 4,
            first_at,
            last_at: first_at.checked_add_seconds(64_900).unwrap(),
            addresses: Several { values: vec!["2001:db8::1".parse().unwrap()], more: 0 },
            versions: Several { values: vec!["2.4.1".parse().unwrap()], more: 0 },
        });
        lengths.push(length(&history));
    }
    assert!(lengths[89] < 3 << 10, "{lengths:?}");
    assert!(lengths[89] - lengths[0] <= 89 * 16, "{lengths:?}");
}

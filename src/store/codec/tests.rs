//! Every record, as it is written and read.

pub(super) mod golden;

use std::fmt::Debug;
use std::net::IpAddr;

use proptest::prelude::*;

use super::bytes::DecodeError;
use super::site::OldKeyRow;
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
            let _ = row.effects.iter().map(EffectRow::read).count();
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
    let admin =
        AdminRow { username: old.to_owned(), password_hash: String::new(), token_epoch: 1, created_at: 0 };
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
    let seen = [1u8, 252, 0, 102, 127, 226, 0, 192, 0, 2, 1, 5, b'1', b'.', b'2', b'.', b'3', 251, 16, 14, 1];
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

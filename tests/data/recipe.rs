//! How the database files in this directory are made. The tests of the store
//! hold the recipe against the committed files; `make.rs` writes new ones.

use std::path::Path;

use jiff::tz::TimeZoneDatabase;
use sitewarden::domain::{
    Actor, ActorKind, GraceDays, Heartbeat, KeyHash, NewLock, NewSite, NewToken, OfflineHours, Operation,
    Rules, Scope, SecretKey, SiteChange, SiteId, Timestamp, TokenEpoch, TokenNetworks, TokenSecret, UtcDay,
    Zones,
};
use sitewarden::store::requests::Once;
use sitewarden::store::{
    AcmeAccount, AcmeCertificate, AcmeSetback, Call, CreateRefused, SigningKey, Store, TlsIdentity,
};

/// The schema version of the newer file.
pub(crate) const NEWER_SCHEMA: u32 = 1000;
/// When all of it happened.
const NOW: i64 = 1_900_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds).unwrap()
}

fn root() -> Actor {
    Actor { kind: ActorKind::System, name: "root".to_owned(), token: None, ip: None }
}

fn key(number: u8) -> KeyHash {
    SecretKey::from_random_bits([number; 32]).hash()
}

fn new_site(number: u128) -> NewSite {
    let (name, email) = (format!("Site {number}").parse().unwrap(), "owner@example.com".parse().unwrap());
    NewSite { owner_name: "Owner".parse().unwrap(), ..NewSite::named(name, email, at(NOW + 86_400)) }
}

async fn apply(store: &Store, number: u128, operation: Operation) {
    store.apply(operation.on(SiteId::from_u128(number)), root(), at(NOW)).await.unwrap().unwrap();
}

async fn beat(store: &Store, number: u128, uptime_seconds: u64, now: i64) {
    let heartbeat = Heartbeat { version: "1.0".parse().unwrap(), uptime_seconds };
    let (id, ip) = (SiteId::from_u128(number), "127.0.0.1".parse().unwrap());
    let admit = |_| Ok::<(), ()>(());
    let call = Call { site_id: id, key: key(1), heartbeat, ip, applied: None, lease: None };
    store.record_heartbeat(call, at(now), admit).await.unwrap().unwrap();
}

/// Makes, at `path`, a file that holds what the one of version 0.1.0 does: a
/// record of every kind but the failed logins that it knew nothing of.
pub(crate) async fn v1(path: &Path) {
    let store = Store::open(path).unwrap();
    fill(&store).await;
    store.close();
}

/// Makes, at `path`, a file that holds a record of every kind.
pub(crate) async fn v2(path: &Path) {
    let zones = Zones::new(TimeZoneDatabase::from_env());
    let store = Store::open(path).unwrap().with_rules(Rules { zones, ..Rules::default() });
    fill(&store).await;
    let (name, ip) = ("Sysadmin".parse().unwrap(), "192.0.2.1".parse().unwrap());
    store.record_failed_login(Some(name), ip, at(NOW)).await.unwrap();
    let said = SiteChange {
        tags: Some("rome vip".parse().unwrap()),
        notes: Some("Rings\non Mondays".parse().unwrap()),
        features: Some("delivery orders".parse().unwrap()),
        time_zone: Some("Europe/Rome".parse().ok()),
        grace_days: Some(GraceDays::new(14)),
        offline_hours: Some(OfflineHours::new(300)),
        ..SiteChange::default()
    };
    apply(&store, 4, Operation::Update(said)).await;
    let lock = NewLock {
        at: Some(at(NOW + 50).into()),
        until: Some(at(NOW + 60).into()),
        ..NewLock::now("later".parse().unwrap())
    };
    apply(&store, 4, Operation::Lock(lock)).await;
    let new = NewToken {
        name: "nightly".parse().unwrap(),
        scope: Scope::Backup,
        expires_at: at(NOW + 90 * 86_400),
        networks: TokenNetworks::of(["192.0.2.0/24"]).unwrap(),
    };
    let hash = TokenSecret::from_random_bits([11; 32]).hash();
    let token = store.create_token(1, hash, new, root(), at(NOW)).await.unwrap().unwrap();
    store.note_token_use(token.id, UtcDay::of(at(NOW))).await.unwrap();
    // The day before goes into its history.
    beat(&store, 1, 60, NOW + 86_500).await;
    store.close();
}

async fn fill(store: &Store) {
    let hash = "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA".to_owned();
    let (name, epoch) = ("Sysadmin".parse().unwrap(), TokenEpoch(1));
    assert!(store.create_first_admin(name, hash.clone(), epoch, at(NOW)).await.unwrap());
    store.signing_key_or(SigningKey([7; 32])).await.unwrap();
    store
        .keep_tls_identity(TlsIdentity { certificate: vec![1, 2, 3], private_key: vec![4, 5] })
        .await
        .unwrap();
    for number in 1..=5 {
        apply(store, number, Operation::Register { new: new_site(number), key: key(1) }).await;
    }
    beat(store, 1, 60, NOW + 100).await;
    beat(store, 2, u64::MAX, NOW + 200).await;
    let reason = "Ünpaid since März 🍕".parse().unwrap();
    apply(store, 2, Operation::Lock(NewLock::now(reason))).await;
    let change = SiteChange { is_active: Some(false), ..SiteChange::default() };
    apply(store, 3, Operation::Update(change)).await;
    apply(store, 4, Operation::RotateKey { key: key(2), overlap_hours: 24 }).await;
    apply(store, 5, Operation::Delete).await;

    let site = SiteId::from_u128;
    let operations = vec![
        Operation::Register { new: new_site(6), key: key(1) }.on(site(6)),
        Operation::Unlock.on(site(6)),
        Operation::Delete.on(site(6)),
        Operation::Delete.on(site(99)),
    ];
    let once = Once { request: [8; 32], body: [9; 32], salt: [10; 32] };
    store.apply_batch(operations, false, Some(once), root(), at(NOW)).await.unwrap().unwrap();
    let name = "SYSADMIN".parse().unwrap();
    let taken = store.create_admin(name, hash, epoch, root(), at(NOW)).await.unwrap();
    assert_eq!(taken.unwrap_err(), CreateRefused::NameTaken);
    let directory_url = "https://acme.example/directory".to_owned();
    store
        .keep_acme_account(AcmeAccount {
            directory_url: directory_url.clone(),
            credentials: r#"{"id":"1"}"#.to_owned(),
        })
        .await
        .unwrap();
    store
        .keep_acme_certificate(AcmeCertificate {
            directory_url: directory_url.clone(),
            chain: vec![vec![1, 2], vec![3]],
            private_key: vec![6, 7],
        })
        .await
        .unwrap();
    store
        .keep_acme_setback(AcmeSetback {
            directory_url,
            domains: vec!["licences.example".to_owned()],
            failures: 3,
            failed_checks: 2,
            retry_at: at(NOW + 300),
            reason: "no route".to_owned(),
        })
        .await
        .unwrap();
}

/// Makes, of the file at `path`, one that a newer version has written as
/// far as this one can tell: its schema version is beyond all that there are.
pub(crate) fn newer(path: &Path) {
    let database = redb::Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut meta = transaction.open_table(redb::TableDefinition::<&str, &[u8]>::new("meta_v1")).unwrap();
    meta.insert("schema_version", NEWER_SCHEMA.to_le_bytes().as_slice()).unwrap();
    drop(meta);
    transaction.commit().unwrap();
}

//! Files that lost bytes or had bits flipped: either `check` and the start
//! refuse them, or they hold what they held.

use super::simulated::Dice;
use super::*;
use crate::domain::{Admin, TokenEpoch};
use crate::store::inspect::check;
use crate::store::requests::Once;

/// How many files: few every day, 2,000 with `DAMAGED_FILES=2000`.
fn files() -> usize {
    std::env::var("DAMAGED_FILES").ok().and_then(|files| files.parse().ok()).unwrap_or(120)
}

/// Everything that the store can tell, as text.
async fn content(store: &Store) -> String {
    let wanted = SiteQuery { limit: 1000, ..SiteQuery::default() };
    let most = LookedAt { by_number: 1000, sorted: 1000 };
    let page = store.list_sites(wanted, most, at(NOW)).await.unwrap().unwrap();
    let hashes: Vec<_> = page.sites.iter().map(|site| *site.key.as_bytes()).collect();
    let admin = store.admin(1).await.unwrap();
    let admin = admin.map(|Admin { username, password_hash, token_epoch, created_at, .. }| {
        (username, password_hash, token_epoch, created_at)
    });
    let tls = store.tls_identity().await.unwrap().map(|tls| (tls.certificate, tls.private_key));
    let key = store.signing_key_or(SigningKey([0; 32])).await.unwrap().0;
    let trail = store.audit(AuditFilter::default(), None, 1000).await.unwrap();
    let strangers = AuditFilter { actor_kind: Some(ActorKind::Stranger), ..AuditFilter::default() };
    let strangers = store.audit(strangers, None, 1000).await.unwrap();
    let once = Once { request: [8; 32], body: [9; 32], salt: [0; 32] };
    // Of a request that was done before; nothing is done where it was not.
    let request = store.apply_batch(Vec::new(), true, Some(once), root(), at(NOW)).await.unwrap().unwrap();
    let account =
        store.acme_account().await.unwrap().map(|account| (account.directory_url, account.credentials));
    let certificate = store.acme_certificate().await.unwrap();
    let certificate = certificate.map(|acme| (acme.directory_url, acme.chain, acme.private_key));
    let setback = store.acme_setback().await.unwrap();
    format!(
        "{:?} {hashes:?} {admin:?} {tls:?} {key:?} {:?} {:?} {:?} {request:?} {account:?} {certificate:?} {setback:?}",
        page.sites, trail.entries, trail.total, strangers.entries
    )
}

/// The bytes of a database with some sites; killed, or closed. With what it
/// holds; one that was killed may also hold what it held before its last
/// commit, and `check` says that it was killed.
async fn sample(closed: bool) -> (Vec<u8>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    store.create_first_admin("a".parse().unwrap(), "hash".to_owned(), TokenEpoch(1), at(NOW)).await.unwrap();
    store.signing_key_or(SigningKey([7; 32])).await.unwrap();
    store.record_failed_login(None, HERE, at(NOW)).await.unwrap();
    let new = new_site("Site 500", NOW + 86_400);
    let operation = Operation::Register { new, key: key(1).hash() }.on(SiteId::from_u128(500));
    let once = Once { request: [8; 32], body: [9; 32], salt: [10; 32] };
    store.apply_batch(vec![operation], true, Some(once), root(), at(NOW)).await.unwrap().unwrap();
    let directory_url = "https://acme.example/directory".to_owned();
    let credentials = "{}".to_owned();
    let account = AcmeAccount { directory_url: directory_url.clone(), credentials };
    store.keep_acme_account(account).await.unwrap();
    let (chain, private_key) = (vec![vec![1; 900]], vec![2; 130]);
    let certificate = AcmeCertificate { directory_url: directory_url.clone(), chain, private_key };
    store.keep_acme_certificate(certificate).await.unwrap();
    let (domains, reason) = (vec!["a.example".to_owned()], "no route".to_owned());
    let retry_at = at(NOW);
    let setback = AcmeSetback { directory_url, domains, failures: 1, failed_checks: 2, retry_at, reason };
    store.keep_acme_setback(setback).await.unwrap();
    for number in 1..=200 {
        register(&store, number).await.unwrap();
        if number % 2 == 0 {
            beat(&store, number, 1, NOW).await.unwrap();
        }
    }
    let before = content(&store).await;
    beat(&store, 1, 1, NOW).await.unwrap();
    let last = content(&store).await;
    let path = directory.path().join(FILE_NAME);
    if closed {
        store.close();
        return (std::fs::read(path).unwrap(), vec![last]);
    }
    (std::fs::read(path).unwrap(), vec![last, before])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_refused_or_holds_what_it_held() {
    let samples = [sample(true).await, sample(false).await];
    let mut dice = Dice(20_260_401);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE_NAME);
    let (mut good, mut refused) = (0, 0);
    for file in 0..files() {
        let (sample, expected) = &samples[dice.roll(2)];
        let mut bytes = sample.clone();
        let what = if dice.roll(3) == 0 {
            bytes.truncate(dice.roll(bytes.len()));
            format!("cut to {}", bytes.len())
        } else {
            // Every second one in the header, where one bit decides most.
            let within = if dice.roll(2) == 0 { 512 } else { bytes.len() };
            let (byte, bit) = (dice.roll(within), dice.roll(8));
            bytes[byte] ^= 1 << bit;
            format!("bit {bit} of byte {byte}")
        };
        std::fs::write(&path, &bytes).unwrap();
        let checked = check(&path);
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "file {file}: check changed it");
        let Ok(report) = checked else {
            refused += 1;
            // The start may mend it or refuse it; it must end, without panic.
            let _ = Store::open(&path).map(Store::close);
            continue;
        };
        good += 1;
        let expected = if report.closed_cleanly { &expected[..1] } else { expected.as_slice() };
        let store = Store::open(&path)
            .unwrap_or_else(|error| panic!("file {file}, {what}: good, but does not open: {error}"));
        assert!(expected.contains(&content(&store).await), "file {file}, {what}: another content");
        store.close();
    }
    assert!(good > 0 && refused > 0, "{good} good, {refused} refused: the test told nothing");
    println!("{} damaged files: {refused} refused, {good} hold all that they held", files());
}

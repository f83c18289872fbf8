//! Files that lost bytes or had bits flipped: either `check` and the start
//! refuse them, or they hold what they held.

use super::simulated::Dice;
use super::*;
use crate::domain::site::SilentAfterHours;
use crate::domain::{Admin, TokenEpoch};
use crate::store::inspect::check;

/// How many files: few every day, 2,000 with `DAMAGED_FILES=2000`.
fn files() -> usize {
    std::env::var("DAMAGED_FILES").ok().and_then(|files| files.parse().ok()).unwrap_or(120)
}

/// Everything that the store can tell, as text.
async fn content(store: &Store) -> String {
    let page =
        store.list_sites(SiteFilter::default(), 0, 1000, 1000, at(NOW), SilentAfterHours(0)).await.unwrap();
    let hashes: Vec<_> = page.sites.iter().map(|site| *site.key.as_bytes()).collect();
    let admin = store.admin(1).await.unwrap();
    let admin = admin.map(|Admin { username, password_hash, token_epoch, created_at, .. }| {
        (username, password_hash, token_epoch, created_at)
    });
    let tls = store.tls_identity().await.unwrap().map(|tls| (tls.certificate, tls.private_key));
    let key = store.signing_key_or(SigningKey([0; 32])).await.unwrap().0;
    format!("{:?} {hashes:?} {admin:?} {tls:?} {key:?}", page.sites)
}

/// The bytes of a database with some sites; killed, or closed. With what it
/// holds; one that was killed may also hold what it held before its last
/// commit, and `check` says that it was killed.
async fn sample(closed: bool) -> (Vec<u8>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    store.create_first_admin("a".parse().unwrap(), "hash".to_owned(), TokenEpoch(1), at(NOW)).await.unwrap();
    store.signing_key_or(SigningKey([7; 32])).await.unwrap();
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
    println!("{} damaged files: {refused} refused, {good} hold all that they held", files());
}

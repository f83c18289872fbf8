//! The certificate that the server makes for itself at first start: ECDSA
//! P-256, kept in the database so that clients which pinned it go on
//! trusting it after a restart or a restore.
//!
//! The clock may be wrong when it is made, and when it is judged. So it is
//! valid from [`EPOCH`] on, whatever the clock says; and one that is kept is
//! not given up by a clock that is not believed, for the clients of its sites
//! would have to be told of another by hand.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType,
};

use super::error::StartError;
use super::tls::{Certificates, Pair, TlsError};
use crate::certificate::CertificateFacts;
use crate::clock;
use crate::domain::Timestamp;
use crate::domain::clock::ClockState;
use crate::domain::time::SECONDS_PER_DAY;
use crate::store::{Store, TlsIdentity};
use crate::telemetry::Announcer;

/// From when on it is valid: 2026-01-01T00:00:00Z, before any sitewarden ran.
const EPOCH: i64 = 1_767_225_600;

/// How long it lasts. Long, because each local backend has to be told of a
/// new one by hand.
const LIFETIME_DAYS: i64 = 3650;
/// It is replaced with less than this left, in seconds: 30 days.
const RENEW_BEFORE_SECONDS: i64 = 30 * SECONDS_PER_DAY;
/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(600);

/// What becomes of a kept certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It serves.
    Kept,
    /// It serves, although the clock speaks against it.
    KeptInDoubt,
    /// A new one takes its place: clients would soon refuse it, or do.
    Replaced,
}

fn fate(facts: &CertificateFacts, now: Timestamp, clock: ClockState) -> Fate {
    let begins_later = facts.not_before > now;
    let ends_soon = facts.not_after.seconds_since(now) <= RENEW_BEFORE_SECONDS;
    match clock {
        _ if !begins_later && !ends_soon => Fate::Kept,
        // The clock itself is wrong: nothing ran then.
        _ if now.unix() < EPOCH => Fate::KeptInDoubt,
        ClockState::Believed => Fate::Replaced,
        ClockState::Ahead if begins_later => Fate::Replaced,
        ClockState::Behind if ends_soon => Fate::Replaced,
        ClockState::Ahead | ClockState::Behind => Fate::KeptInDoubt,
    }
}

/// Where the self-signed certificate comes from and goes to.
pub(super) struct SelfSigned {
    pub(super) store: Store,
    pub(super) listen: Vec<SocketAddr>,
    /// A copy, for clients that shall trust it.
    pub(super) file: PathBuf,
    pub(super) announcer: Announcer,
}

impl SelfSigned {
    /// The kept certificate, or a new one where there is none or the kept one
    /// does not do any more; also put into its file and announced.
    pub(super) async fn certificate(&self, now: Timestamp) -> Result<Pair, StartError> {
        let identity = match self.store.tls_identity().await? {
            None => self.make(now).await?,
            Some(kept) => {
                let facts = Pair::self_signed(kept.clone())?.facts;
                match self.fate(&facts, now) {
                    Fate::Kept => kept,
                    Fate::KeptInDoubt => {
                        tracing::warn!(
                            clock = %now, not_before = %facts.not_before, not_after = %facts.not_after,
                            "by the clock the self-signed certificate is not valid or ends soon, but the clock is in doubt: it is kept"
                        );
                        kept
                    }
                    Fate::Replaced => {
                        tracing::warn!(
                            clock = %now, not_before = %facts.not_before, not_after = %facts.not_after,
                            "the self-signed certificate is not valid or ends soon, and a new one takes its place: give the new one to the clients that trust it"
                        );
                        self.make(now).await?
                    }
                }
            }
        };
        tokio::fs::write(&self.file, pem(&identity))
            .await
            .map_err(|source| StartError::DataDir { path: self.file.clone(), source })?;
        let (file, sha256) = (self.file.display().to_string(), fingerprint(&identity));
        let text = format!("certificate {file} SHA-256 {sha256}");
        self.announcer.say(&text, "certificate", &[("file", &file), ("sha256", &sha256)]);
        Ok(Pair::self_signed(identity)?)
    }

    /// Looks after the certificate while the server runs.
    pub(super) async fn keep(self, certificates: Arc<Certificates>) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let now = clock::now();
            let facts = certificates.facts();
            if facts.is_some_and(|facts| self.fate(&facts, now) == Fate::Replaced) {
                match self.certificate(now).await {
                    Ok(pair) => certificates.install(pair),
                    Err(error) => {
                        tracing::error!(%error, "no new self-signed certificate; the one before stays in use");
                    }
                }
            }
        }
    }

    fn fate(&self, facts: &CertificateFacts, now: Timestamp) -> Fate {
        fate(facts, now, self.store.clock().map_or(ClockState::Believed, |clock| clock.state))
    }

    async fn make(&self, now: Timestamp) -> Result<TlsIdentity, StartError> {
        let made =
            make(&names(&self.listen), now).map_err(|error| TlsError::SelfSigned(error.to_string()))?;
        self.store.keep_tls_identity(made.clone()).await?;
        Ok(made)
    }
}

/// SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` writes
/// it.
fn fingerprint(identity: &TlsIdentity) -> String {
    let digest = digest::digest(&digest::SHA256, &identity.certificate);
    let mut text = String::new();
    for (index, byte) in digest.as_ref().iter().enumerate() {
        let colon = if index > 0 { ":" } else { "" };
        // Writing to a string does not fail.
        let _ = write!(text, "{colon}{byte:02X}");
    }
    text
}

/// The certificate as PEM (RFC 7468).
fn pem(identity: &TlsIdentity) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(&identity.certificate);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in body.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

/// localhost, the host's name, loopback, and the addresses listened on; for
/// "every address", those that the host has now.
fn names(listen: &[SocketAddr]) -> BTreeSet<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let mut addresses: BTreeSet<IpAddr> = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].into();
    for address in listen.iter().map(SocketAddr::ip) {
        if address.is_unspecified() {
            addresses.extend(
                if_addrs::get_if_addrs().unwrap_or_default().into_iter().map(|interface| interface.ip()),
            );
        } else {
            addresses.insert(address);
        }
    }
    let mut names: BTreeSet<String> =
        addresses.into_iter().map(|address| address.to_canonical().to_string()).collect();
    names.insert("localhost".to_owned());
    // A host name that is no DNS name cannot stand in a certificate.
    if !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
    {
        names.insert(host);
    }
    names
}

fn make(names: &BTreeSet<String>, now: Timestamp) -> Result<TlsIdentity, rcgen::Error> {
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "sitewarden self-signed");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let epoch = DateTime::from_timestamp(EPOCH, 0).unwrap_or_default();
    let now = DateTime::from_timestamp(now.unix(), 0).unwrap_or_default();
    let (year, month, day) = ymd(epoch);
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = ymd(now.max(epoch) + TimeDelta::days(LIFETIME_DAYS));
    params.not_after = rcgen::date_time_ymd(year, month, day);
    debug_assert!(params.subject_alt_names.iter().any(|name| matches!(name, SanType::DnsName(_))));
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    Ok(TlsIdentity { certificate: certificate.der().to_vec(), private_key: key.serialize_der() })
}

/// Year, month and day of a time, as rcgen takes them.
fn ymd(time: DateTime<Utc>) -> (i32, u8, u8) {
    // Months and days are below 32.
    (time.year(), u8::try_from(time.month()).unwrap_or(1), u8::try_from(time.day()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    const NOW: i64 = 1_900_000_000;
    const DAY: i64 = SECONDS_PER_DAY;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    fn facts(now: i64) -> CertificateFacts {
        Pair::self_signed(make(&names(&[]), at(now)).unwrap()).unwrap().facts
    }

    #[test]
    fn made_by_a_clock_years_off_it_is_valid_by_the_right_one() {
        for clock in [0, EPOCH + 1, NOW, NOW + 800 * DAY, NOW + 20_000 * DAY] {
            let facts = facts(clock);
            assert!(facts.not_before <= at(EPOCH), "{clock}: {facts:?}");
            assert!(facts.not_after >= at(EPOCH.max(clock) + 3649 * DAY), "{clock}: {facts:?}");
        }
    }

    #[test]
    fn a_kept_one_is_given_up_by_a_clock_that_is_believed_alone() {
        use ClockState::{Ahead, Behind, Believed};
        let good = facts(NOW);
        for clock in [Believed, Ahead, Behind] {
            assert_eq!(fate(&good, at(NOW), clock), Fate::Kept);
        }
        let end = good.not_after.unix();
        assert_eq!(fate(&good, at(end - 30 * DAY - 1), Believed), Fate::Kept);
        assert_eq!(fate(&good, at(end - 30 * DAY), Believed), Fate::Replaced);
        assert_eq!(fate(&good, at(end + 1), Ahead), Fate::KeptInDoubt);
        assert_eq!(fate(&good, at(end + 1), Behind), Fate::Replaced);
        assert_eq!(fate(&good, at(0), Believed), Fate::KeptInDoubt, "nothing ran in 1970");
        // As an earlier version made them, by a clock that was ahead.
        let future = CertificateFacts { not_before: at(NOW + 1), ..good };
        assert_eq!(fate(&future, at(NOW), Believed), Fate::Replaced);
        assert_eq!(fate(&future, at(NOW), Behind), Fate::KeptInDoubt);
        assert_eq!(fate(&future, at(NOW), Ahead), Fate::Replaced);
    }

    #[tokio::test]
    async fn one_that_begins_later_is_replaced_and_a_good_one_stays() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("sitewarden.redb")).unwrap();
        let file = directory.path().join("certificate.pem");
        let own = SelfSigned { store, listen: Vec::new(), file, announcer: Announcer::Json };
        let first = own.certificate(at(NOW)).await.unwrap().facts;
        let kept = own.store.tls_identity().await.unwrap().unwrap().certificate;
        assert_eq!(own.certificate(at(NOW + 100 * DAY)).await.unwrap().facts, first);
        assert_eq!(own.store.tls_identity().await.unwrap().unwrap().certificate, kept);

        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2099, 1, 1);
        params.not_after = rcgen::date_time_ymd(2109, 1, 1);
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        let future = TlsIdentity { certificate, private_key: key.serialize_der() };
        own.store.keep_tls_identity(future).await.unwrap();
        let made = own.certificate(at(NOW)).await.unwrap().facts;
        assert!(made.not_before <= at(NOW) && made.not_after > at(NOW), "{made:?}");
        let pem = std::fs::read_to_string(&own.file).unwrap();
        assert_eq!(pem, super::pem(&own.store.tls_identity().await.unwrap().unwrap()));
    }

    #[test]
    fn the_certificate_is_p256_for_ten_years_and_for_every_name() {
        let listen = ["192.0.2.1:8443".parse().unwrap(), "[2001:db8::1]:8443".parse().unwrap()];
        let made = make(&names(&listen), at(NOW)).unwrap();
        let (_, certificate) = X509Certificate::from_der(&made.certificate).unwrap();
        let names =
            format!("{:?}", certificate.subject_alternative_name().unwrap().unwrap().value.general_names);
        assert!(names.contains("localhost"), "{names}");
        assert_eq!(names.matches("IPAddress").count(), 4, "{names}");
        assert!(!certificate.is_ca());
        assert_eq!((certificate.validity().not_after.timestamp() - NOW) / DAY, 3649);
        let key = certificate.public_key().parsed().unwrap();
        assert_eq!(key.key_size(), 256);
    }
}

//! The certificate that the server makes for itself at first start: ECDSA
//! P-256, kept in the database so that clients which pinned it go on
//! trusting it after a restart or a restore.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aws_lc_rs::digest;
use chrono::{DateTime, Datelike, Duration, Utc};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::StartError;
use super::tls::TlsError;
use crate::store::{Store, TlsIdentity};

/// How long it lasts. Long, because each local backend has to be told of a
/// new one by hand.
const LIFETIME_DAYS: i64 = 3650;
/// It is made anew at a start with less than this left.
const RENEW_BEFORE_DAYS: i64 = 30;

/// The kept certificate, or a new one when there is none or it is about to
/// end.
pub(super) async fn identity(
    store: &Store,
    listen: &[SocketAddr],
    now: DateTime<Utc>,
) -> Result<TlsIdentity, StartError> {
    if let Some(kept) = store.tls_identity().await? {
        let left = expiry(&kept)? - now;
        if left > Duration::days(RENEW_BEFORE_DAYS) {
            return Ok(kept);
        }
        tracing::warn!(
            "the self-signed certificate ends soon and is made anew: give the new one to the clients that trust it"
        );
    }
    let made = make(&names(listen), now).map_err(|error| TlsError::SelfSigned(error.to_string()))?;
    store.keep_tls_identity(made.clone()).await?;
    Ok(made)
}

/// SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` writes
/// it.
pub(super) fn fingerprint(identity: &TlsIdentity) -> String {
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
pub(super) fn pem(identity: &TlsIdentity) -> String {
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

fn expiry(identity: &TlsIdentity) -> Result<DateTime<Utc>, TlsError> {
    let damaged = || TlsError::SelfSigned("the one in the database is damaged".to_owned());
    let (_, certificate) = X509Certificate::from_der(&identity.certificate).map_err(|_| damaged())?;
    DateTime::from_timestamp(certificate.validity().not_after.timestamp(), 0).ok_or_else(damaged)
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

fn make(names: &BTreeSet<String>, now: DateTime<Utc>) -> Result<TlsIdentity, rcgen::Error> {
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "sitewarden self-signed");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Clocks of clients may be a day off.
    let (year, month, day) = ymd(now - Duration::days(1));
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = ymd(now + Duration::days(LIFETIME_DAYS));
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
    use super::*;

    #[test]
    fn the_certificate_is_p256_for_ten_years_and_for_every_name() {
        let now = DateTime::from_timestamp(1_900_000_000, 0).unwrap();
        let listen = ["192.0.2.1:8443".parse().unwrap(), "[2001:db8::1]:8443".parse().unwrap()];
        let made = make(&names(&listen), now).unwrap();
        let (_, certificate) = X509Certificate::from_der(&made.certificate).unwrap();
        let names =
            format!("{:?}", certificate.subject_alternative_name().unwrap().unwrap().value.general_names);
        assert!(names.contains("localhost"), "{names}");
        assert_eq!(names.matches("IPAddress").count(), 4, "{names}");
        assert!(!certificate.is_ca());
        assert_eq!((expiry(&made).unwrap() - now).num_days(), 3649);
        let key = certificate.public_key().parsed().unwrap();
        assert_eq!(key.key_size(), 256);
    }
}

//! What can be refused before anything is made.

use std::net::SocketAddr;

use super::error::StartError;
use super::tls::Pair;
use super::{acme, control, data_dir, listener, signing_key};
use crate::config::{Config, TlsMode};
use crate::domain::Timestamp;

/// Refuses what is configured and cannot work, as far as that can be told
/// without making or opening anything, or taking a port: a start that is refused for it
/// leaves nothing behind, and `config check` can say so beforehand.
///
/// # Errors
/// [`StartError`] for the first thing that is wrong.
pub fn check(config: &Config) -> Result<(), StartError> {
    match &config.tls {
        TlsMode::Files { cert, key } => drop(Pair::from_files(cert, key)?),
        TlsMode::Acme(settings) => acme::check(settings)?,
        TlsMode::SelfSigned | TlsMode::Off => {}
    }
    signing_key::given(config)?;
    control::check_path(&config.control_socket)?;
    data_dir::check(&config.data_dir)?;
    control::check_place(&config.control_socket, &config.data_dir)?;
    let plain: &[SocketAddr] = if let TlsMode::Acme(acme) = &config.tls { &acme.http_listen } else { &[] };
    config.listen.iter().chain(plain).try_for_each(|address| listener::check(*address))
}

/// What a server starts with all the same, and clients will not take: one line
/// for each.
pub fn warnings(config: &Config, now: Timestamp) -> Vec<String> {
    let TlsMode::Files { cert, key } = &config.tls else { return Vec::new() };
    let Ok(Pair { facts, .. }) = Pair::from_files(cert, key) else { return Vec::new() };
    let cert = cert.display();
    let mut warnings = Vec::new();
    if facts.not_after <= now {
        let ended = facts.not_after;
        warnings
            .push(format!("the certificate in {cert} (tls.cert) has ended, on {ended}: put a new one there"));
    }
    if facts.not_before > now {
        let begins = facts.not_before;
        warnings.push(format!(
            "the certificate in {cert} (tls.cert) is not valid before {begins}, and it is {now}: is the clock \
             right?"
        ));
    }
    if facts.names.is_empty() {
        warnings.push(format!(
            "the certificate in {cert} (tls.cert) names no host (no subjectAltName), so that no client takes it: \
             have one made with the server's name"
        ));
    }
    warnings
}

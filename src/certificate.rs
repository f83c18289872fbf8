//! The certificate that is served, whoever keeps it.
//!
//! [`CertificateState`] lies between the server, which makes, reads or orders
//! certificates and writes down here how that goes, and whoever tells of it:
//! the routes, the metrics, the headers of answers. The other way goes one
//! wish, that the certificate be renewed now.

use parking_lot::RwLock;
use tokio::sync::Notify;

use crate::domain::Timestamp;

/// Where the certificate comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CertificateMode {
    /// Made here, and vouched for by nobody else.
    SelfSigned,
    /// Two files of the operator's.
    Files,
    /// An ACME server (RFC 8555).
    Acme,
    /// There is none: plain HTTP.
    #[default]
    Off,
}

impl CertificateMode {
    /// Its name, as `tls.mode` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SelfSigned => "self-signed",
            Self::Files => "files",
            Self::Acme => "acme",
            Self::Off => "off",
        }
    }
}

/// How the certificate stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CertificateStatus {
    /// Where the certificate comes from.
    pub mode: CertificateMode,
    /// The certificate in use; `None` with plain HTTP.
    pub certificate: Option<CertificateFacts>,
    /// When it is to be renewed, where the server does so by itself.
    pub next_renewal: Option<Timestamp>,
    /// Why the last try to read or to get a certificate failed; `None` when
    /// it succeeded.
    pub last_error: Option<String>,
    /// A renewal is under way.
    pub renewing: bool,
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// Who vouches for it.
    pub issuer: String,
    /// When it begins to be valid.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
    /// Nobody but its own key vouches for it.
    pub self_signed: bool,
}

impl CertificateFacts {
    /// Why clients refuse it at `now`; `None` when they need not.
    pub fn warning(&self, now: Timestamp) -> Option<&'static str> {
        if now < self.not_before {
            Some("it is not valid yet: the clock is wrong, or was when it was made")
        } else if now >= self.not_after {
            Some("it has ended")
        } else {
            None
        }
    }
}

/// How the certificate stands, shared between who keeps it and who tells of
/// it.
#[derive(Debug, Default)]
pub struct CertificateState {
    status: RwLock<CertificateStatus>,
    renewal_requested: Notify,
}

impl CertificateState {
    /// For a server in this mode, which has no certificate yet.
    pub fn new(mode: CertificateMode) -> Self {
        Self { status: RwLock::new(CertificateStatus { mode, ..Default::default() }), ..Self::default() }
    }

    /// How it stands.
    pub fn status(&self) -> CertificateStatus {
        self.status.read().clone()
    }

    /// Writes down a change.
    pub fn update(&self, change: impl FnOnce(&mut CertificateStatus)) {
        change(&mut self.status.write());
    }

    /// Whether browsers may be told to come by HTTPS only (RFC 6797): not
    /// with a self-signed certificate, which that would make impossible to
    /// click through.
    pub fn hsts(&self) -> bool {
        self.status.read().certificate.as_ref().is_some_and(|facts| !facts.self_signed)
    }

    /// Waits until somebody asks for a renewal.
    pub async fn renewal_requested(&self) {
        self.renewal_requested.notified().await;
    }

    /// Whether a renewal can be asked for.
    ///
    /// # Errors
    /// [`NotRenewable`] in the modes in which there is nothing to renew.
    pub fn check_renewable(&self) -> Result<(), NotRenewable> {
        match self.status.read().mode {
            CertificateMode::Acme => Ok(()),
            CertificateMode::Files => Err(NotRenewable::InFiles),
            CertificateMode::SelfSigned => Err(NotRenewable::SelfSigned),
            CertificateMode::Off => Err(NotRenewable::PlainHttp),
        }
    }

    /// Asks for a renewal.
    pub fn request_renewal(&self) {
        self.update(|status| status.renewing = true);
        self.renewal_requested.notify_one();
    }
}

/// Why a certificate cannot be renewed by hand, and what to do instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotRenewable {
    /// It is the operator's.
    #[error(
        "the certificate is in files (tls.mode is files): put new ones in their place, and they are read within seconds"
    )]
    InFiles,
    /// It renews itself when that is time.
    #[error(
        "the certificate is self-signed and is not renewed by hand: a new one is made at a start when it is about to end"
    )]
    SelfSigned,
    /// There is none.
    #[error("this server speaks plain HTTP (tls.mode is off) and has no certificate")]
    PlainHttp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_not_valid_now_is_warned_of() {
        let at = |seconds| Timestamp::from_unix(seconds).unwrap();
        let facts = CertificateFacts {
            names: Vec::new(),
            issuer: String::new(),
            not_before: at(100),
            not_after: at(200),
            self_signed: true,
        };
        assert!(facts.warning(at(99)).is_some_and(|warning| warning.contains("not valid yet")));
        assert_eq!(facts.warning(at(100)), None);
        assert_eq!(facts.warning(at(199)), None);
        assert_eq!(facts.warning(at(200)), Some("it has ended"));
    }
}

//! The certificate: what the server tells of it, and having it renewed.
//!
//! The [`CertificateDesk`] lies between the server, which keeps the
//! certificate and writes down here how it stands, and the routes, which read
//! it and pass on the wish for a renewal.

use std::sync::{Arc, PoisonError, RwLock};

use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::{Object, OpenApi};
use tokio::sync::Notify;

use super::auth::Sysadmin;
use super::fields::Json;
use super::problem::{Failure, Problem, failure};
use super::wire::{Nullable, Time};
use super::{App, Group};
use crate::clock::now;
use crate::domain::Timestamp;

/// How the certificate stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// `self-signed`, `files`, `acme` or `off`.
    pub mode: &'static str,
    /// The certificate in use; `None` with plain HTTP.
    pub certificate: Option<Facts>,
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
pub struct Facts {
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

impl Facts {
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

/// Where the server writes down how the certificate stands.
#[derive(Debug, Default)]
pub struct CertificateDesk {
    standing: RwLock<Standing>,
    renewal_wanted: Notify,
}

impl CertificateDesk {
    /// For a server in this mode, which has no certificate yet.
    pub fn new(mode: &'static str) -> Self {
        Self { standing: RwLock::new(Standing { mode, ..Standing::default() }), ..Self::default() }
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        self.standing.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes down a change.
    pub fn note(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.standing.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether browsers may be told to come by HTTPS only (RFC 6797): not
    /// with a self-signed certificate, which that would make impossible to
    /// click through.
    pub fn hsts(&self) -> bool {
        let standing = self.standing.read().unwrap_or_else(PoisonError::into_inner);
        standing.certificate.as_ref().is_some_and(|facts| !facts.self_signed)
    }

    /// Waits until somebody wants a renewal.
    pub async fn renewal_wanted(&self) {
        self.renewal_wanted.notified().await;
    }

    /// Asks for a renewal.
    fn want_renewal(&self) {
        self.note(|standing| standing.renewing = true);
        self.renewal_wanted.notify_one();
    }

    /// Refuses a renewal where there is nothing to renew.
    fn can_be_renewed(&self) -> Result<(), Problem> {
        let refusal = match self.standing().mode {
            "acme" => return Ok(()),
            "files" => {
                "the certificate is in files (tls.mode is files): put new ones in their place, and they are read within seconds"
            }
            "self-signed" => {
                "the certificate is self-signed and is not renewed by hand: it is made anew at a start when it is about to end"
            }
            _ => "this server speaks plain HTTP (tls.mode is off) and has no certificate",
        };
        Err(Problem::new(StatusCode::CONFLICT, refusal))
    }
}

/// How the certificate stands.
#[derive(Object)]
#[oai(rename = "TlsStatus")]
pub struct TlsDocument {
    /// Where the certificate comes from: `self-signed`, `files`, `acme` or
    /// `off`.
    mode: String,
    /// The names and addresses that the certificate in use is for.
    names: Vec<String>,
    /// Who vouches for the certificate in use; null with plain HTTP.
    issuer: Nullable<String>,
    /// When the certificate in use begins to be valid; null with plain HTTP.
    not_before: Nullable<Time>,
    /// When the certificate in use ends; null with plain HTTP.
    not_after: Nullable<Time>,
    /// Why clients may refuse the certificate in use now, by this server's
    /// clock; null when they need not.
    warning: Nullable<String>,
    /// When the server will renew it by itself; null where it does not.
    next_renewal: Nullable<Time>,
    /// Why the last try to read or to get a certificate failed; null when it
    /// succeeded.
    last_error: Nullable<String>,
    /// Whether a renewal is under way.
    renewing: bool,
}

impl From<Standing> for TlsDocument {
    fn from(standing: Standing) -> Self {
        let Standing { mode, certificate, next_renewal, last_error, renewing } = standing;
        let not_before = certificate.as_ref().map(|facts| Time(facts.not_before));
        let not_after = certificate.as_ref().map(|facts| Time(facts.not_after));
        let warning = certificate.as_ref().and_then(|facts| facts.warning(now())).map(str::to_owned);
        let (names, issuer) = certificate.map(|facts| (facts.names, facts.issuer)).unzip();
        Self {
            mode: mode.to_owned(),
            names: names.unwrap_or_default(),
            issuer: Nullable(issuer),
            not_before: Nullable(not_before),
            not_after: Nullable(not_after),
            warning: Nullable(warning),
            next_renewal: Nullable(next_renewal.map(Time)),
            last_error: Nullable(last_error),
            renewing,
        }
    }
}

/// The certificate, in short, for whoever watches the server.
#[derive(Object)]
#[oai(rename = "CertificateHealth")]
pub struct CertificateHealth {
    /// Where it comes from: `self-signed`, `files`, `acme` or `off`.
    mode: String,
    /// The names and addresses that it is for.
    names: Vec<String>,
    /// Who vouches for it; null with plain HTTP.
    issuer: Nullable<String>,
    /// When it begins to be valid; null with plain HTTP.
    not_before: Nullable<Time>,
    /// When it ends; null with plain HTTP.
    not_after: Nullable<Time>,
    /// Why clients may refuse it now, by this server's clock; null when they
    /// need not.
    warning: Nullable<String>,
    /// Why the last try to read or to get a new one failed; null when it
    /// succeeded.
    last_error: Nullable<String>,
}

impl From<Standing> for CertificateHealth {
    fn from(standing: Standing) -> Self {
        let TlsDocument { mode, names, issuer, not_before, not_after, warning, last_error, .. } =
            standing.into();
        Self { mode, names, issuer, not_before, not_after, warning, last_error }
    }
}

/// The routes under `/api/tls`.
pub struct TlsApi;

#[OpenApi(prefix_path = "/api/tls", tag = "Group::Tls")]
impl TlsApi {
    /// How the certificate stands
    ///
    /// Where it comes from, whom it names, when it ends, and how the last
    /// attempt to renew it went.
    #[oai(path = "/", method = "get", operation_id = "tls_status")]
    async fn status(
        &self,
        _admin: Sysadmin,
        app: Data<&Arc<App>>,
    ) -> Result<Json<TlsDocument>, Failure<{ failure::SYSADMIN }>> {
        Ok(Json(app.certificate.standing().into()))
    }

    /// Renew the certificate now
    ///
    /// Begins a renewal with the ACME server and answers at once; when
    /// `renewing` is false again in `GET /api/tls`, `last_error` tells how it
    /// went. 409 in the modes that have nothing to renew.
    #[oai(path = "/renew", method = "post", operation_id = "tls_renew")]
    async fn renew(
        &self,
        admin: Sysadmin,
        app: Data<&Arc<App>>,
    ) -> Result<Json<TlsDocument>, Failure<{ failure::SYSADMIN | failure::CONFLICT }>> {
        app.certificate.can_be_renewed()?;
        app.store.record_renewal_request(admin.actor(), now()).await?;
        app.certificate.want_renewal();
        tracing::info!(admin = admin.actor().name, "a renewal of the certificate was asked for");
        Ok(Json(app.certificate.standing().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_not_valid_now_is_warned_of() {
        let at = |seconds| Timestamp::from_unix(seconds).unwrap();
        let facts = Facts {
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

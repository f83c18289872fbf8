//! The certificate: what the server tells of it, and having it renewed.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{Object, OpenApi};

use super::app::App;
use super::authority::Authority;
use super::fields::Json;
use super::problem::{Failure, failure};
use super::scope;
use super::tag::Group;
use super::wire::{Nullable, Time};
use crate::certificate::CertificateStatus;
use crate::clock::now;

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

impl From<CertificateStatus> for TlsDocument {
    fn from(status: CertificateStatus) -> Self {
        let CertificateStatus { mode, certificate, next_renewal, last_error, renewing } = status;
        let not_before = certificate.as_ref().map(|facts| Time(facts.not_before));
        let not_after = certificate.as_ref().map(|facts| Time(facts.not_after));
        let warning = certificate.as_ref().and_then(|facts| facts.warning(now())).map(str::to_owned);
        let (names, issuer) = certificate.map(|facts| (facts.names, facts.issuer)).unzip();
        Self {
            mode: mode.as_str().to_owned(),
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

impl From<CertificateStatus> for CertificateHealth {
    fn from(status: CertificateStatus) -> Self {
        let TlsDocument { mode, names, issuer, not_before, not_after, warning, last_error, .. } =
            status.into();
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
        _admin: Authority<scope::Admin>,
        app: Data<&Arc<App>>,
    ) -> Result<Json<TlsDocument>, Failure<{ failure::SYSADMIN }>> {
        Ok(Json(app.certificate.status().into()))
    }

    /// Renew the certificate now
    ///
    /// Begins a renewal with the ACME server and answers at once; when
    /// `renewing` is false again in `GET /api/tls`, `last_error` tells how it
    /// went. 409 in the modes that have nothing to renew.
    #[oai(path = "/renew", method = "post", operation_id = "tls_renew")]
    async fn renew(
        &self,
        admin: Authority<scope::Admin>,
        app: Data<&Arc<App>>,
    ) -> Result<Json<TlsDocument>, Failure<{ failure::SYSADMIN | failure::CONFLICT }>> {
        app.certificate.check_renewable()?;
        app.store.record_renewal_request(admin.actor(), now()).await?;
        app.certificate.request_renewal();
        tracing::info!(admin = admin.actor().name, "a renewal of the certificate was asked for");
        Ok(Json(app.certificate.status().into()))
    }
}

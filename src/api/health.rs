//! Whether the server can do its work.

use std::sync::Arc;

use poem::Request;
use poem::web::Data;
use poem_openapi::{Object, OpenApi};

use super::app::App;
use super::audit::AuditHeadDocument;
use super::authority::who_sent;
use super::fields::Json;
use super::problem::{Failure, Problem, failure};
use super::tag::Group;
use super::tls::CertificateHealth;
use super::wire::{Nullable, Time};
use crate::clock::now;
use crate::domain::Scope;
use crate::domain::clock::ClockState;
use crate::store::ClockReport;
use crate::store::backups::BackupState;

/// The server works.
#[derive(Object)]
#[oai(rename = "Health")]
pub struct HealthDocument {
    /// Always `ok`; trouble is answered with 503.
    status: String,
    /// Version of sitewarden.
    version: String,
    /// The certificate; told to sysadmins only.
    #[oai(skip_serializing_if_is_none)]
    certificate: Option<CertificateHealth>,
    /// How the backups go; told to sysadmins only, while backups are kept.
    #[oai(skip_serializing_if_is_none)]
    backup: Option<BackupDocument>,
    /// How the clock stands; told to sysadmins only.
    #[oai(skip_serializing_if_is_none)]
    clock: Option<ClockDocument>,
    /// The head of the audit trail; told to sysadmins only.
    #[oai(skip_serializing_if_is_none)]
    audit: Option<AuditHeadDocument>,
}

/// How the clock stands.
#[derive(Object)]
#[oai(rename = "ClockState")]
pub struct ClockDocument {
    /// `believed`; `ahead` or `behind` while it is more than a day from the
    /// newest time that is known. While it is `ahead`, nothing old is removed.
    state: String,
    /// The newest time that is known; null before the first.
    known_at: Nullable<Time>,
}

impl From<ClockReport> for ClockDocument {
    fn from(report: ClockReport) -> Self {
        let state = match report.state {
            ClockState::Believed => "believed",
            ClockState::Ahead => "ahead",
            ClockState::Behind => "behind",
        };
        Self { state: state.to_owned(), known_at: Nullable(report.known.map(Time)) }
    }
}

/// How the backups go.
#[derive(Object)]
#[oai(rename = "BackupState")]
pub struct BackupDocument {
    /// As of when the newest backup is; null before the first.
    last_success_at: Nullable<Time>,
    /// Seconds since then.
    age_seconds: Nullable<u64>,
    /// Why the last attempt failed; null when it did not.
    last_error: Nullable<String>,
}

impl From<BackupState> for BackupDocument {
    fn from(state: BackupState) -> Self {
        let age = state.last_success_at.map(|time| now().seconds_since(time));
        Self {
            last_success_at: Nullable(state.last_success_at.map(Time)),
            age_seconds: Nullable(age.map(|age| u64::try_from(age).unwrap_or(0))),
            last_error: Nullable(state.last_error),
        }
    }
}

/// The route `/health`.
pub struct HealthApi;

#[OpenApi(tag = "Group::Health")]
impl HealthApi {
    /// Is the server well
    ///
    /// 200 while the store takes writes, 503 when it does not. Whoever sends
    /// the access token of a sysadmin, or a token for programs with the scope
    /// `read`, is also told how the certificate and the clock stand, how the
    /// backups go and the head of the audit trail; a token that does not hold counts
    /// as none. Backups that fail make no 503: sites are served all the same,
    /// and a restart would not help; `last_error` and the metrics tell of them.
    #[oai(path = "/health", method = "get", operation_id = "health")]
    async fn health(
        &self,
        app: Data<&Arc<App>>,
        request: &Request,
    ) -> Result<Json<HealthDocument>, Failure<{ failure::MALFORMED | failure::UNAVAILABLE }>> {
        app.store_health.check(&app.store).await.map_err(Problem::from)?;
        let sysadmin = who_sent(&app, request, Scope::Read).await.is_ok();
        Ok(Json(HealthDocument {
            status: "ok".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            certificate: sysadmin.then(|| app.certificate.status().into()),
            backup: app.store.backup_state().filter(|_| sysadmin).map(BackupDocument::from),
            clock: app.store.clock().filter(|_| sysadmin).map(ClockDocument::from),
            audit: if sysadmin {
                Some(app.store.audit_head().await.map_err(Problem::from)?.into())
            } else {
                None
            },
        }))
    }
}

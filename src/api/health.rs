//! Whether the server can do its work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use poem::Request;
use poem::web::Data;
use poem_openapi::{Object, OpenApi};
use tokio::sync::Mutex;

use super::auth::Sysadmin;
use super::fields::Json;
use super::problem::{Failure, Problem, failure};
use super::tls::CertificateHealth;
use super::{App, Group};
use crate::store::{Store, Unavailable};

/// How long the word of one probe stands: anyone may ask, and each probe is a
/// write.
const PROBE_STANDS: Duration = Duration::from_secs(5);

/// What the last probe said.
#[derive(Default)]
pub struct StoreHealth(Mutex<Option<Instant>>);

impl StoreHealth {
    /// Whether `store` takes writes, probed at most every 5 s while it does.
    ///
    /// # Errors
    /// [`Unavailable`] when it does not.
    pub async fn check(&self, store: &Store) -> Result<(), Unavailable> {
        let mut good = self.0.lock().await;
        if good.is_some_and(|since| since.elapsed() < PROBE_STANDS) {
            return Ok(());
        }
        *good = None;
        store.probe().await?;
        *good = Some(Instant::now());
        Ok(())
    }
}

/// The server works.
#[derive(Object)]
#[oai(rename = "Health")]
pub struct HealthDocument {
    /// Always `ok`; trouble is answered with 503.
    status: String,
    /// Version of sitewarden.
    version: String,
    /// The certificate; only for a caller with an admin's access token.
    #[oai(skip_serializing_if_is_none)]
    certificate: Option<CertificateHealth>,
}

/// The route `/health`.
pub struct HealthApi;

#[OpenApi(tag = "Group::Health")]
impl HealthApi {
    /// Is the server well
    ///
    /// 200 while the store takes writes, 503 when it does not. With an admin's
    /// access token, `certificate` tells how the certificate stands; a token
    /// that does not hold counts as none.
    #[oai(path = "/health", method = "get", operation_id = "health")]
    async fn health(
        &self,
        app: Data<&Arc<App>>,
        request: &Request,
    ) -> Result<Json<HealthDocument>, Failure<{ failure::UNAVAILABLE }>> {
        app.store_health.check(&app.store).await.map_err(Problem::from)?;
        let admin = Sysadmin::who_sent(&app, request).await.ok();
        Ok(Json(HealthDocument {
            status: "ok".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            certificate: admin.map(|_| app.certificate.standing().into()),
        }))
    }
}

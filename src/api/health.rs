//! Whether the server can do its work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use poem::web::Data;
use poem_openapi::{Object, OpenApi};
use tokio::sync::Mutex;

use super::fields::Json;
use super::problem::{Failure, Problem, failure};
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
}

/// The route `/health`.
pub struct HealthApi;

#[OpenApi(tag = "Group::Health")]
impl HealthApi {
    /// Is the server well
    ///
    /// 200 while the store takes writes, 503 when it does not.
    #[oai(path = "/health", method = "get", operation_id = "health")]
    async fn health(
        &self,
        app: Data<&Arc<App>>,
    ) -> Result<Json<HealthDocument>, Failure<{ failure::UNAVAILABLE }>> {
        app.store_health.check(&app.store).await.map_err(Problem::from)?;
        Ok(Json(HealthDocument { status: "ok".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }))
    }
}

//! Having a site call more often, for a day.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::{Object, OpenApi};

use super::app::App;
use super::authority::Authority;
use super::fields::{Body, Fields, Json, Readable};
use super::problem::{Failure, failure};
use super::scope;
use super::sites::{SiteDocument, known};
use super::tag::Group;
use super::wire::PathId;
use crate::clock::now;
use crate::domain::Operation;
use crate::domain::site::Watch;

/// How often a site is to call.
#[derive(Object)]
#[oai(rename = "Watch", example)]
pub struct WatchDocument {
    /// Minutes between two heartbeats, 5 to 60; 0: as usual.
    minutes: u8,
}

impl poem_openapi::types::Example for WatchDocument {
    fn example() -> Self {
        Self { minutes: 15 }
    }
}

/// Minutes, or none.
pub struct Minutes(u8);

impl Readable for Minutes {
    type Document = WatchDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        let minutes = fields.required_integer("minutes", 0..=u64::from(*Watch::MINUTES.end()))?;
        let minutes =
            u8::try_from(minutes).ok().filter(|&minutes| minutes == 0 || Watch::MINUTES.contains(&minutes));
        if minutes.is_none() {
            fields.refuse("minutes", "must be 0, or 5 to 60");
        }
        minutes.map(Self)
    }
}

/// The route `/api/sites/{site_id}/watch`.
pub struct WatchApi;

#[OpenApi(prefix_path = "/api/sites", tag = "Group::Sites")]
impl WatchApi {
    /// Have a site call more often
    ///
    /// For a day, for instance when a lock is about to come: from its next
    /// heartbeat on `Retry-After` tells the local backend to call every
    /// `minutes`. 0 ends it before.
    #[oai(path = "/:site_id/watch", method = "post", operation_id = "watch_site")]
    async fn watch(
        &self,
        admin: Authority<scope::Operate>,
        app: Data<&Arc<App>>,
        /// The site's `site_id`.
        site_id: Path<PathId>,
        body: Body<Minutes>,
    ) -> Result<
        Json<SiteDocument>,
        Failure<
            {
                failure::SYSADMIN | failure::MALFORMED | failure::NOT_FOUND | failure::BODY | failure::INVALID
            },
        >,
    > {
        let now = now();
        let operation = Operation::Watch(Watch::from_now(body.0.0, now)).on(known(&site_id)?);
        let site = app.store.apply(operation, admin.actor(), now).await??;
        Ok(Json(SiteDocument::new(site, app.store.rules(), now)))
    }
}

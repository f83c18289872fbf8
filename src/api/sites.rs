//! Sites: what the sysadmin does all day.

mod documents;
mod parameters;

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::{ApiResponse, OpenApi};
use uuid::Uuid;

use self::documents::Rotation;
pub use self::documents::{
    DeliveryDocument, DeliveryStateDocument, LockDocument, NewSiteDocument, RegisteredSiteDocument,
    RotatedDocument, RotationDocument, ScheduledLockDocument, SiteChangeDocument, SiteDocument,
    StatusDocument, WhichKeyDocument,
};
pub(super) use self::parameters::{OneOf, TagList};
use self::parameters::{Revisions, query_of};
use super::app::App;
use super::authority::Authority;
use super::field_errors::FieldErrors;
use super::fields::{Body, Json};
use super::idempotency::{IdempotencyKey, OnceRequest};
use super::moment::bound;
use super::page::{PageLimit, SiteCursor, next_link};
use super::problem::{Failure, Problem, failure};
use super::query::QueryFaults;
use super::scope;
use super::tag::Group;
use super::wire::{Given, Nullable, PathId, Time};
use crate::auth::random::random_bytes;
use crate::clock::now;
use crate::domain::filter::FoldedText;
use crate::domain::site::RevisionCheck;
use crate::domain::{
    Actor, AppVersion, DeliveryState, Moment, NewLock, NewSite, Operation, SecretKey, Site, SiteChange,
    SiteFilter, SiteId, SiteOrder, SiteStatus, Tags, Timestamp,
};
use crate::store::{Applied, Done, LookedAt, SiteQuery, TooManyToSort};

fn etag(site: &Site) -> String {
    format!("\"{}\"", site.revision)
}

/// A page of sites.
#[derive(ApiResponse)]
enum SitesAnswer {
    /// The sites, in the order that `sort` names.
    #[oai(status = 200)]
    Page(
        Json<Vec<SiteDocument>>,
        /// How many sites the filter lets through, on all pages.
        #[oai(header = "X-Total-Count")]
        Option<u64>,
        /// Where the next page is (`rel="next"`, RFC 8288); only while there
        /// is more.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

/// A site registered.
#[derive(ApiResponse)]
enum RegisterAnswer {
    /// Registered. Note the `secret_key` now: it is not shown again.
    #[oai(status = 201)]
    Registered(
        Json<RegisteredSiteDocument>,
        /// Path of the site.
        #[oai(header = "Location")]
        String,
        /// Revision of the site, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

/// A site.
#[derive(ApiResponse)]
enum SiteAnswer {
    /// The site.
    #[oai(status = 200)]
    Site(
        Json<SiteDocument>,
        /// Revision of the site, for `If-Match`. Heartbeats do not change it.
        #[oai(header = "ETag")]
        String,
    ),
}

impl SiteAnswer {
    fn new(app: &App, site: Site) -> Self {
        let etag = etag(&site);
        Self::Site(Json(SiteDocument::new(site, app.store.rules(), now())), etag)
    }
}

/// A key changed.
#[derive(ApiResponse)]
enum RotateAnswer {
    /// Changed. Note the `secret_key` now: it is not shown again.
    #[oai(status = 200)]
    Rotated(
        Json<RotatedDocument>,
        /// Revision of the site, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

/// A site deleted.
#[derive(ApiResponse)]
enum DeleteAnswer {
    /// Deleted; its key works no more.
    #[oai(status = 204)]
    Deleted,
}

/// Sites that are looked at for a page, at most.
const LOOKED_AT: LookedAt = LookedAt { by_number: 100_000, sorted: 1_000_000 };

const ADMIN: u16 = failure::SYSADMIN;
const ONE_SITE: u16 = ADMIN | failure::MALFORMED | failure::NOT_FOUND;
const BODY: u16 = failure::MALFORMED | failure::BODY | failure::INVALID;

/// The routes under `/api/sites`.
pub struct SitesApi;

#[OpenApi(prefix_path = "/api/sites", tag = "Group::Sites")]
impl SitesApi {
    /// List sites
    ///
    /// In the order of their ids or by `sort`, a page at a time: follow the
    /// `Link` header with `rel="next"` while there is one. Of several filters
    /// all must hold.
    ///
    /// In the order of ids and without a filter a page costs the same however
    /// many sites there are. Else every site is looked at. With a filter in the
    /// order of ids that is not more than 100,000 for one page: where there are
    /// more, a page may hold fewer sites than `limit`, or none, and still have a
    /// next one, and `X-Total-Count` is left out. By any other `sort` a list of
    /// more than 1,000,000 sites is refused.
    ///
    /// A site that is changed between two pages, in what the list is sorted by,
    /// may move past the place where you are, and so be missed or come again;
    /// every other site comes once.
    #[oai(path = "/", method = "get", operation_id = "list_sites")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the query")]
    async fn list(
        &self,
        _admin: Authority<scope::Read>,
        app: Data<&Arc<App>>,
        /// Only sites in this status, or in one of several: `silent,never_seen`.
        status: Query<Given<OneOf<SiteStatus>>>,
        /// Only sites with this text in name, owner, e-mail address, site_id,
        /// tags or notes, without regard to case; at most 200 characters.
        q: Query<Given<FoldedText>>,
        /// Only sites of exactly this owner, without regard to case; empty:
        /// those without one.
        owner: Query<Given<FoldedText>>,
        /// Only sites with this tag, or with all of several: `rome,vip`.
        tag: Query<Given<TagList>>,
        /// Only sites whose `license_expires_at` is before this time; a day, in
        /// the configured zone: whose last day is before it.
        expires_before: Query<Given<Moment>>,
        /// Only sites whose `license_expires_at` is after this time; a day:
        /// whose last day is after it.
        expires_after: Query<Given<Moment>>,
        /// Only sites whose last heartbeat came before this time, or before this
        /// day began. Those that
        /// never sent one are not among them: they are `never_seen`.
        seen_before: Query<Given<Moment>>,
        /// Only sites whose last heartbeat reported exactly this version.
        version: Query<Given<AppVersion>>,
        /// Only sites whose last change has come so far, or one of several:
        /// `pending,answered`.
        delivery: Query<Given<OneOf<DeliveryState>>>,
        /// The order: names and owners without regard to case; a `-` turns it
        /// round. Sites alike in it follow each other by their ids, the least
        /// first; sites without a heartbeat come last, either way round.
        sort: Query<Given<SiteOrder>>,
        /// Most sites on the page, 1 to 1000.
        limit: Query<Given<PageLimit>>,
        /// Continue after this place: what the `Link` header of the page before
        /// says. In the order of ids it is the `id` of the last site. Not
        /// together with another `sort` than that page had.
        after: Query<Given<SiteCursor>>,
        faults: QueryFaults,
    ) -> Result<SitesAnswer, Failure<ADMIN>> {
        let QueryFaults(mut errors) = faults;
        let several = |words: Option<OneOf<_>>| words.map(|words| words.0).unwrap_or_default();
        let calendar = app.store.rules().calendar(None);
        let [expires_before, expires_after, seen_before] = [
            (expires_before, "expires_before"),
            (expires_after, "expires_after"),
            (seen_before, "seen_before"),
        ]
        .map(|(moment, name)| {
            let of_day =
                |day| if name == "seen_before" { calendar.start_of(day) } else { calendar.end_of(day) };
            bound(moment.0.take(name, &mut errors), name, of_day, &mut errors)
        });
        let filter = SiteFilter {
            statuses: several(status.0.take("status", &mut errors)),
            text: q.0.take("q", &mut errors).filter(|text| !text.is_empty()),
            owner: owner.0.take("owner", &mut errors),
            tags: tag.0.take("tag", &mut errors).map_or_else(Tags::default, |tags| tags.0),
            expires_before,
            expires_after,
            seen_before,
            version: version.0.take("version", &mut errors),
            deliveries: delivery.0.take("delivery", &mut errors).map(|states| states.0).unwrap_or_default(),
        };
        let limit = limit.0.take("limit", &mut errors).unwrap_or_default();
        let order = sort.0.take("sort", &mut errors);
        let after = after.0.take("after", &mut errors);
        let order = order.unwrap_or_default();
        let after =
            after.and_then(|after| after.read(order).map_err(|message| errors.push("after", message)).ok());
        if !errors.is_empty() {
            return Err(Problem::invalid(errors).into());
        }
        let now = now();
        let mut query = query_of(&filter);
        query.extend((order != SiteOrder::default()).then(|| ("sort", order.to_string())));
        let wanted = SiteQuery { filter, order, after, limit: limit.0 };
        let page = match app.store.list_sites(wanted, LOOKED_AT, now).await? {
            Ok(page) => page,
            Err(TooManyToSort) => return Err(too_many_to_sort().into()),
        };
        let link = page.next.map(|place| next_link("/api/sites", query, limit, SiteCursor::of(&place)));
        let sites =
            page.sites.into_iter().map(|site| SiteDocument::new(site, app.store.rules(), now)).collect();
        Ok(SitesAnswer::Page(Json(sites), page.total, link))
    }

    /// Register a site
    ///
    /// Answers with the site and its `secret_key`, shown this once. Put
    /// `site_id` and `secret_key` into the configuration of the site's local
    /// backend.
    ///
    /// With an `Idempotency-Key` the same request, sent again within a day by
    /// the same admin, registers no second site: the answer is that of the
    /// first time, its `secret_key` included.
    #[oai(path = "/", method = "post", operation_id = "register_site")]
    async fn register(
        &self,
        admin: Authority<scope::Operate>,
        app: Data<&Arc<App>>,
        /// A random value, such as a UUID, of 16 to 128 characters: the same
        /// request again registers no second site.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Header<Given<IdempotencyKey>>,
        body: Body<NewSite>,
    ) -> Result<RegisterAnswer, Failure<{ ADMIN | BODY | failure::CONFLICT }>> {
        let now = now();
        let by = admin.actor();
        let site_id = SiteId::new(Uuid::new_v4());
        let (site, key) = match OnceRequest::read(idempotency_key.0, &by, "/api/sites", &body.1)? {
            Some(once) => register_once(&app, &once, site_id, body.0, by, now).await?,
            None => {
                let key = fresh_key()?;
                let operation = Operation::Register { new: body.0, key: key.hash() };
                (app.store.apply(operation.on(site_id), by, now).await??, key)
            }
        };
        let (location, etag) = (format!("/api/sites/{}", site.site_id), etag(&site));
        let document = RegisteredSiteDocument::new(site, app.store.rules(), now, key.expose().to_owned());
        Ok(RegisterAnswer::Registered(Json(document), location, etag))
    }

    /// Show a site
    ///
    /// With its status, what its last heartbeat reported and which key that
    /// used. The `ETag` is what `If-Match` of a change takes.
    #[oai(path = "/:site_id", method = "get", operation_id = "get_site")]
    async fn get(
        &self,
        _admin: Authority<scope::Read>,
        app: Data<&Arc<App>>,
        /// The site's `site_id`.
        site_id: Path<PathId>,
    ) -> Result<SiteAnswer, Failure<ONE_SITE>> {
        let site = app.store.site(known(&site_id)?).await?.ok_or_else(Problem::no_such_site)?;
        Ok(SiteAnswer::new(&app, site))
    }

    /// Change a site, or extend its licence
    ///
    /// Changes the fields given and leaves the others. `extend_days` adds to
    /// the later of now and today's expiry. A new expiry that lies in the past
    /// stops the site, and is refused unless `allow_past` is true.
    ///
    /// This and all else that changes a site takes `If-Match`: it is done
    /// only if nobody else changed the site since, and else answered 412.
    #[oai(path = "/:site_id", method = "put", operation_id = "update_site")]
    async fn update(
        &self,
        admin: Authority<scope::Operate>,
        app: Data<&Arc<App>>,
        /// The site's `site_id`.
        site_id: Path<PathId>,
        /// The `ETag` that the site must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Given<Revisions>>,
        body: Body<SiteChange>,
    ) -> Result<SiteAnswer, Failure<{ ONE_SITE | BODY | failure::STALE }>> {
        let site = changed(&app, &site_id, if_match, Operation::Update(body.0), admin.actor()).await?;
        Ok(SiteAnswer::new(&app, site))
    }

    /// Lock a site
    ///
    /// The very next heartbeat is told so, with the reason. Locking again
    /// with a new reason changes the reason, and the end.
    ///
    /// With `at` or `at_on` the lock begins then, and shows as `scheduled_lock`
    /// until it does; with `until` or `until_on` it ends by itself. There is one
    /// lock at a time: a new one takes the place of one that has not begun, and
    /// on a site that is locked none can be scheduled (409).
    #[oai(path = "/:site_id/lock", method = "post", operation_id = "lock_site")]
    async fn lock(
        &self,
        admin: Authority<scope::Operate>,
        app: Data<&Arc<App>>,
        /// The site's `site_id`.
        site_id: Path<PathId>,
        /// The `ETag` that the site must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Given<Revisions>>,
        body: Body<NewLock>,
    ) -> Result<SiteAnswer, Failure<{ ONE_SITE | BODY | failure::STALE | failure::CONFLICT }>> {
        let site = changed(&app, &site_id, if_match, Operation::Lock(body.0), admin.actor()).await?;
        Ok(SiteAnswer::new(&app, site))
    }

    /// Unlock a site
    ///
    /// The very next heartbeat is told so, and a lock that has not begun is
    /// taken back. Unlocking a site that has neither changes nothing.
    #[oai(path = "/:site_id/unlock", method = "post", operation_id = "unlock_site")]
    async fn unlock(
        &self,
        admin: Authority<scope::Operate>,
        app: Data<&Arc<App>>,
        /// The site's `site_id`.
        site_id: Path<PathId>,
        /// The `ETag` that the site must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Given<Revisions>>,
    ) -> Result<SiteAnswer, Failure<{ ONE_SITE | failure::STALE }>> {
        let site = changed(&app, &site_id, if_match, Operation::Unlock, admin.actor()).await?;
        Ok(SiteAnswer::new(&app, site))
    }

    /// Give a site a new key
    ///
    /// Answers with the new `secret_key`, shown this once. For
    /// `overlap_hours` the key before it goes on working, so that the local
    /// backend can be told in the meantime; `last_key_used` of the site says
    /// when it has been. Without an overlap the old key ends at once.
    #[oai(path = "/:site_id/rotate-key", method = "post", operation_id = "rotate_key")]
    async fn rotate_key(
        &self,
        admin: Authority<scope::Operate>,
        app: Data<&Arc<App>>,
        /// The site's `site_id`.
        site_id: Path<PathId>,
        /// The `ETag` that the site must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Given<Revisions>>,
        body: Body<Rotation>,
    ) -> Result<RotateAnswer, Failure<{ ONE_SITE | BODY | failure::STALE }>> {
        let key = fresh_key()?;
        let operation = Operation::RotateKey { key: key.hash(), overlap_hours: body.0.overlap_hours };
        let site = changed(&app, &site_id, if_match, operation, admin.actor()).await?;
        let document = RotatedDocument {
            secret_key: key.expose().to_owned(),
            old_key_valid_until: Nullable(site.old_key.map(|old| Time(old.valid_until))),
        };
        Ok(RotateAnswer::Rotated(Json(document), etag(&site)))
    }

    /// Delete a site
    ///
    /// Its key stops working at once. To stop a site for a while, lock it or
    /// set `is_active` to false. A token for programs needs the scope `admin`
    /// for this.
    #[oai(path = "/:site_id", method = "delete", operation_id = "delete_site")]
    async fn delete(
        &self,
        admin: Authority<scope::Admin>,
        app: Data<&Arc<App>>,
        /// The site's `site_id`.
        site_id: Path<PathId>,
        /// The `ETag` that the site must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Given<Revisions>>,
    ) -> Result<DeleteAnswer, Failure<{ ONE_SITE | failure::STALE }>> {
        changed(&app, &site_id, if_match, Operation::Delete, admin.actor()).await?;
        Ok(DeleteAnswer::Deleted)
    }
}

fn too_many_to_sort() -> Problem {
    let most = LOOKED_AT.sorted;
    Problem::invalid_field(
        "sort",
        format!("must be id or -id where there are more than {most} sites: leave it out, or filter the list"),
    )
}

/// Registers a site unless this request has done so before.
async fn register_once(
    app: &App,
    once: &OnceRequest,
    site_id: SiteId,
    new: NewSite,
    by: Actor,
    now: Timestamp,
) -> Result<(Site, SecretKey), Problem> {
    let operation = Operation::Register { new, key: once.secret_key(site_id).hash() };
    let operations = vec![operation.on(site_id)];
    let applied = app.store.apply_batch(operations, true, Some(once.once.clone()), by, now).await?;
    let Ok(Applied { results, repeated }) = applied else {
        return Err(Problem::other_request());
    };
    let Some(Ok(Done { site: Some(site), .. })) = results.into_iter().next() else {
        return Err(Problem::conflict(
            "the site that this Idempotency-Key registered has been deleted since",
        ));
    };
    let key = once.secret_key_of(&repeated.unwrap_or(once.once.salt), site.site_id);
    if site.key_matching(&key.hash(), now).is_none() {
        return Err(Problem::conflict(
            "the key of the site that this Idempotency-Key registered has been rotated since",
        ));
    }
    Ok((site, key))
}

/// A key that nobody has seen yet.
pub(super) fn fresh_key() -> Result<SecretKey, Problem> {
    Ok(SecretKey::from_random_bits(random_bytes()?))
}

/// Does `operation` to the site that the path names, if it is still as
/// `If-Match` says.
async fn changed(
    app: &App,
    site_id: &PathId,
    if_match: Header<Given<Revisions>>,
    operation: Operation,
    by: Actor,
) -> Result<Site, Problem> {
    let operation = operation.on(known(site_id)?).expecting(expected(if_match)?);
    Ok(app.store.apply(operation, by, now()).await??)
}

/// The revision that `If-Match` asks for.
fn expected(if_match: Header<Given<Revisions>>) -> Result<RevisionCheck, Problem> {
    let mut errors = FieldErrors::default();
    let check = if_match.0.take("If-Match", &mut errors).map_or(RevisionCheck::Any, |revisions| revisions.0);
    if !errors.is_empty() {
        return Err(Problem { errors, ..Problem::malformed("the If-Match header cannot be understood") });
    }
    Ok(check)
}

/// The site that a path names.
pub(super) fn known(site_id: &PathId) -> Result<SiteId, Problem> {
    site_id.0.ok_or_else(|| {
        let errors = FieldErrors::one("site_id", "must be a UUID");
        Problem { errors, ..Problem::malformed("the path does not hold a site_id") }
    })
}

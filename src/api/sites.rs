//! Sites: what the sysadmin does all day.

use std::str::FromStr;
use std::sync::Arc;

use poem::web::Data;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use serde_json::json;
use uuid::Uuid;

use super::auth::Sysadmin;
use super::docs::example_expiry;
use super::fields::{Body, Fields, Json, Readable};
use super::idempotency::{IdempotencyKey, OnceRequest};
use super::page::{Cursor, PageLimit, next_link};
use super::problem::{Failure, FieldError, Problem, failure};
use super::wire::{Given, Nullable, Parameter, PathId, Time};
use super::{App, Group, now};
use crate::domain::licence::MAX_EXTEND_DAYS;
use crate::domain::site::{MAX_OVERLAP_HOURS, RevisionCheck, SilentAfterHours};
use crate::domain::{
    Actor, LicenceChange, LockReason, NewSite, SecretKey, Site, SiteChange, SiteId, SiteStatus, Timestamp,
    TooFarAhead,
};
use crate::store::batch::{Applied, Done, Operation};
use crate::store::{SiteFilter, UpdateRefused};

/// Where a site stands; the first that holds, in this order.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename = "SiteStatus", rename_all = "snake_case")]
pub enum StatusDocument {
    /// Switched off by the sysadmin.
    Inactive,
    /// Locked by the sysadmin.
    Locked,
    /// The licence has expired.
    Expired,
    /// No heartbeat ever came.
    NeverSeen,
    /// No heartbeat for longer than `silent_after_hours` (13 by default).
    Silent,
    /// All is well.
    Online,
}

impl From<SiteStatus> for StatusDocument {
    fn from(status: SiteStatus) -> Self {
        match status {
            SiteStatus::Inactive => Self::Inactive,
            SiteStatus::Locked => Self::Locked,
            SiteStatus::Expired => Self::Expired,
            SiteStatus::NeverSeen => Self::NeverSeen,
            SiteStatus::Silent => Self::Silent,
            SiteStatus::Online => Self::Online,
        }
    }
}

macro_rules! site_document {
    ($(#[$doc:meta])* $name:ident, $rename:literal $(, $(#[$extra_doc:meta])* $extra:ident: $type:ty)?) => {
        $(#[$doc])*
        #[derive(Object)]
        #[oai(rename = $rename)]
        pub struct $name {
            /// Number in order of registration, from 1.
            id: u64,
            /// Public identity: the `X-Site-ID` of its heartbeats.
            site_id: Uuid,
            /// What the vendor calls it, 1 to 200 characters.
            name: String,
            /// Who owns it, 0 to 200 characters.
            owner_name: String,
            /// Whom to write to, at most 254 characters.
            contact_email: String,
            /// Whether it may be licensed at all.
            is_active: bool,
            /// Whether it is locked.
            is_locked: bool,
            /// Why it is locked, 1 to 500 characters; null when it is not.
            lock_reason: Nullable<String>,
            /// When its licence expires or expired.
            license_expires_at: Time,
            /// When it was registered.
            created_at: Time,
            /// When its last heartbeat came; null before the first.
            last_seen_at: Nullable<Time>,
            /// Address that its last heartbeat came from; null before the first.
            last_seen_ip: Nullable<String>,
            /// Version that it reported last; null before the first heartbeat.
            last_version: Nullable<String>,
            /// Seconds of uptime that it reported last; null before the first
            /// heartbeat.
            last_uptime_seconds: Nullable<u64>,
            /// Which key its last heartbeat used; null before the first.
            last_key_used: Nullable<WhichKeyDocument>,
            /// Until when the key that a rotation replaced goes on working;
            /// null when none does.
            old_key_valid_until: Nullable<Time>,
            /// `is_active` and not yet expired.
            licensed: bool,
            /// Where it stands.
            status: StatusDocument,
            $($(#[$extra_doc])* $extra: $type,)?
        }

        impl $name {
            pub(super) fn new(site: Site, now: Timestamp, silent_after: SilentAfterHours $(, $extra: $type)?) -> Self {
                let (licensed, status) = (site.licensed(now), site.status(now, silent_after).into());
                let last_key_used = site.uses_newest_key().map(|newest| match newest {
                    true => WhichKeyDocument::Newest,
                    false => WhichKeyDocument::Replaced,
                });
                let old_key = site.old_key.filter(|old| now < old.valid_until);
                let seen = site.seen;
                Self {
                    id: site.id,
                    site_id: Uuid::from_u128(site.site_id.as_u128()),
                    name: site.name.as_str().to_owned(),
                    owner_name: site.owner_name.as_str().to_owned(),
                    contact_email: site.contact_email.as_str().to_owned(),
                    is_active: site.is_active,
                    is_locked: site.lock_reason.is_some(),
                    lock_reason: Nullable(site.lock_reason.map(|reason| reason.as_str().to_owned())),
                    license_expires_at: Time(site.license_expires_at),
                    created_at: Time(site.created_at),
                    last_seen_at: Nullable(seen.as_ref().map(|seen| Time(seen.at))),
                    last_seen_ip: Nullable(seen.as_ref().map(|seen| seen.ip.to_string())),
                    last_version: Nullable(seen.as_ref().map(|seen| seen.heartbeat.version.as_str().to_owned())),
                    last_uptime_seconds: Nullable(seen.as_ref().map(|seen| seen.heartbeat.uptime_seconds)),
                    last_key_used: Nullable(last_key_used),
                    old_key_valid_until: Nullable(old_key.map(|old| Time(old.valid_until))),
                    licensed,
                    status,
                    $($extra,)?
                }
            }
        }
    };
}

site_document!(
    /// A site.
    SiteDocument, "Site"
);
site_document!(
    /// A site just registered, with its key.
    RegisteredSiteDocument, "RegisteredSite",
    /// The `X-Site-Key` of its heartbeats. Shown this once: only its hash is
    /// kept.
    secret_key: String
);

/// A site to register.
#[derive(Object)]
#[oai(rename = "NewSite", example)]
pub struct NewSiteDocument {
    /// What you call it, 1 to 200 characters.
    #[oai(validator(min_length = 1, max_length = 200))]
    name: String,
    /// Who owns it, 0 to 200 characters.
    #[oai(validator(max_length = 200))]
    owner_name: String,
    /// Whom to write to, at most 254 characters.
    #[oai(validator(min_length = 3, max_length = 254))]
    contact_email: String,
    /// When its licence expires: RFC 3339 with any offset.
    license_expires_at: Time,
}

impl Example for NewSiteDocument {
    fn example() -> Self {
        Self {
            name: "Trattoria Da Mario".to_owned(),
            owner_name: "Mario Rossi".to_owned(),
            contact_email: "mario@example.com".to_owned(),
            license_expires_at: Time(example_expiry()),
        }
    }
}

impl Readable for NewSite {
    type Document = NewSiteDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        let name = fields.required("name");
        let owner_name = fields.required("owner_name");
        let contact_email = fields.required("contact_email");
        let license_expires_at = fields.required("license_expires_at");
        Some(Self {
            name: name?,
            owner_name: owner_name?,
            contact_email: contact_email?,
            license_expires_at: license_expires_at?,
        })
    }
}

/// What to change of a site; a field that is left out stays as it is.
#[derive(Object)]
#[oai(rename = "SiteChange", example)]
pub struct SiteChangeDocument {
    /// New name, 1 to 200 characters.
    #[oai(validator(min_length = 1, max_length = 200), skip_serializing_if_is_none)]
    name: Option<String>,
    /// New owner, 0 to 200 characters.
    #[oai(validator(max_length = 200), skip_serializing_if_is_none)]
    owner_name: Option<String>,
    /// New address, at most 254 characters.
    #[oai(validator(min_length = 3, max_length = 254), skip_serializing_if_is_none)]
    contact_email: Option<String>,
    /// New expiry: RFC 3339 with any offset. Not together with `extend_days`.
    #[oai(skip_serializing_if_is_none)]
    license_expires_at: Option<Time>,
    /// false ends the licence whatever its expiry, true lets the expiry
    /// decide.
    #[oai(skip_serializing_if_is_none)]
    is_active: Option<bool>,
    /// Days to add, 1 to 3660, to the later of now and today's expiry. Not
    /// together with `license_expires_at`.
    #[oai(validator(minimum(value = "1"), maximum(value = "3660")), skip_serializing_if_is_none)]
    extend_days: Option<u16>,
}

impl Example for SiteChangeDocument {
    fn example() -> Self {
        Self {
            name: None,
            owner_name: None,
            contact_email: None,
            license_expires_at: None,
            is_active: None,
            extend_days: Some(365),
        }
    }
}

impl Readable for SiteChange {
    type Document = SiteChangeDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        let both = fields.has("extend_days") && fields.has("license_expires_at");
        let name = fields.optional("name");
        let owner_name = fields.optional("owner_name");
        let contact_email = fields.optional("contact_email");
        let until = fields.optional("license_expires_at");
        let is_active = fields.optional_bool("is_active");
        let days = fields.optional_integer("extend_days", 1..=u64::from(MAX_EXTEND_DAYS));
        if both {
            fields.refuse("extend_days", "must not be given together with license_expires_at");
        }
        let licence = match (until, days.and_then(|days| u16::try_from(days).ok())) {
            (Some(until), _) => LicenceChange::Until(until),
            (None, Some(days)) => LicenceChange::ExtendDays(days),
            (None, None) => LicenceChange::Keep,
        };
        Some(Self { name, owner_name, contact_email, licence, is_active })
    }
}

/// Why a site is locked.
#[derive(Object)]
#[oai(rename = "Lock", example)]
pub struct LockDocument {
    /// What its people are told, 1 to 500 characters.
    #[oai(validator(min_length = 1, max_length = 500))]
    reason: String,
}

impl Example for LockDocument {
    fn example() -> Self {
        Self { reason: "Payment overdue since March".to_owned() }
    }
}

impl Readable for LockReason {
    type Document = LockDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        fields.required("reason")
    }
}

/// How to change a site's key.
#[derive(Object)]
#[oai(rename = "Rotation", example)]
pub struct RotationDocument {
    /// Hours for which the present key goes on working, 0 to 168; 0 when left
    /// out.
    #[oai(validator(minimum(value = "0"), maximum(value = "168")))]
    overlap_hours: Option<u8>,
}

impl Example for RotationDocument {
    fn example() -> Self {
        Self { overlap_hours: Some(24) }
    }
}

/// How to change a site's key, checked.
struct Rotation {
    overlap_hours: u8,
}

impl Readable for Rotation {
    type Document = RotationDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        let hours = fields.optional_integer("overlap_hours", 0..=u64::from(MAX_OVERLAP_HOURS)).unwrap_or(0);
        u8::try_from(hours).ok().map(|overlap_hours| Self { overlap_hours })
    }
}

/// A site's new key.
#[derive(Object)]
#[oai(rename = "RotatedKey")]
pub struct RotatedDocument {
    /// The new `X-Site-Key`. Shown this once: only its hash is kept.
    secret_key: String,
    /// Until when the key before goes on working; null: it ended at once.
    old_key_valid_until: Nullable<Time>,
}

/// Which of a site's keys.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename = "WhichKey", rename_all = "snake_case")]
pub enum WhichKeyDocument {
    /// The newest.
    Newest,
    /// One that a rotation replaced.
    Replaced,
}

/// The `status` parameter.
struct StatusFilter(SiteStatus);

impl FromStr for StatusFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = SiteStatus::ALL.into_iter().find(|status| status.as_str() == text);
        known
            .map(Self)
            .ok_or_else(|| format!("must be one of {}", SiteStatus::ALL.map(SiteStatus::as_str).join(", ")))
    }
}

impl Parameter for StatusFilter {
    fn schema() -> MetaSchema {
        let enum_items = SiteStatus::ALL.into_iter().map(|status| json!(status.as_str())).collect();
        MetaSchema { enum_items, ..MetaSchema::new("string") }
    }
}

/// The `q` parameter.
struct SearchText(String);

impl FromStr for SearchText {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            text if text.chars().count() <= 200 => Ok(Self(text.to_owned())),
            _ => Err("must be at most 200 characters"),
        }
    }
}

impl Parameter for SearchText {
    fn schema() -> MetaSchema {
        MetaSchema { max_length: Some(200), ..MetaSchema::new("string") }
    }
}

/// The `If-Match` header.
struct Revisions(RevisionCheck);

impl FromStr for Revisions {
    type Err = &'static str;

    /// Parses a list of entity tags or `*` (RFC 9110, section 13.1.1). A tag
    /// that is none of ours matches nothing; weak ones never match.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text == "*" {
            return Ok(Self(RevisionCheck::Any));
        }
        let mut revisions = Vec::new();
        for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            let opaque = tag.strip_prefix("W/").unwrap_or(tag);
            let inner = opaque.strip_prefix('"').and_then(|inner| inner.strip_suffix('"'));
            let inner =
                inner.filter(|inner| !inner.contains('"')).ok_or("must be an ETag in double quotes, or *")?;
            revisions.extend(inner.parse::<u64>().ok().filter(|_| opaque.len() == tag.len()));
        }
        Ok(Self(RevisionCheck::OneOf(revisions)))
    }
}

impl Parameter for Revisions {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }
}

fn etag(site: &Site) -> String {
    format!("\"{}\"", site.revision)
}

/// A page of sites.
#[derive(ApiResponse)]
enum SitesAnswer {
    /// The sites, in the order of their ids.
    #[oai(status = 200)]
    Page(
        Json<Vec<SiteDocument>>,
        /// How many sites the filter lets through, on all pages.
        #[oai(header = "X-Total-Count")]
        u64,
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
        Self::Site(Json(SiteDocument::new(site, now(), app.silent_after)), etag)
    }
}

/// A site deleted.
#[derive(ApiResponse)]
enum DeleteAnswer {
    /// Deleted; its key works no more.
    #[oai(status = 204)]
    Deleted,
}

const ADMIN: u16 = failure::UNAUTHORIZED | failure::UNAVAILABLE;
const ONE_SITE: u16 = ADMIN | failure::MALFORMED | failure::NOT_FOUND;
const BODY: u16 = failure::MALFORMED | failure::BODY | failure::INVALID;

/// The routes under `/api/sites`.
pub struct SitesApi;

#[OpenApi(prefix_path = "/api/sites", tag = "Group::Sites")]
impl SitesApi {
    /// List sites
    ///
    /// In the order of their ids, a page at a time: follow the `Link` header
    /// with `rel="next"` while there is one. Without a filter a page costs
    /// the same however many sites there are; with `status` or `q` every site
    /// is looked at.
    #[oai(path = "/", method = "get", operation_id = "list_sites")]
    async fn list(
        &self,
        _admin: Sysadmin,
        app: Data<&Arc<App>>,
        /// Only sites in this status.
        status: Query<Given<StatusFilter>>,
        /// Only sites with this text in name, owner, e-mail address or
        /// site_id, without regard to case; at most 200 characters.
        q: Query<Given<SearchText>>,
        /// Most sites on the page, 1 to 1000.
        limit: Query<Given<PageLimit>>,
        /// Continue after the site with this `id`.
        after: Query<Given<Cursor>>,
    ) -> Result<SitesAnswer, Failure<{ ADMIN | failure::INVALID }>> {
        let mut errors: Vec<FieldError> = Vec::new();
        let status = status.0.take("status", &mut errors).map(|status| status.0);
        let text = q.0.take("q", &mut errors).map(|text| text.0).filter(|text| !text.is_empty());
        let limit = limit.0.take("limit", &mut errors).unwrap_or_default();
        let after = after.0.take("after", &mut errors).map_or(0, |after| after.0);
        if !errors.is_empty() {
            return Err(Problem::invalid(errors).into());
        }
        let now = now();
        let filter = SiteFilter { status, text };
        let page = app.store.list_sites(filter.clone(), after, limit.0, now, app.silent_after).await?;
        let mut query = Vec::new();
        query.extend(filter.status.map(|status| ("status", status.as_str().to_owned())));
        query.extend(filter.text.map(|text| ("q", text)));
        let link = page.next.map(|after| next_link("/api/sites", query, limit, after));
        let sites =
            page.sites.into_iter().map(|site| SiteDocument::new(site, now, app.silent_after)).collect();
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
        admin: Sysadmin,
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
                (app.store.register_site(site_id, body.0, key.hash(), by, now).await?, key)
            }
        };
        let (location, etag) = (format!("/api/sites/{}", site.site_id), etag(&site));
        let document = RegisteredSiteDocument::new(site, now, app.silent_after, key.expose().to_owned());
        Ok(RegisterAnswer::Registered(Json(document), location, etag))
    }

    /// Show a site
    ///
    /// With its status, what its last heartbeat reported and which key that
    /// used. The `ETag` is what `If-Match` of a change takes.
    #[oai(path = "/:site_id", method = "get", operation_id = "get_site")]
    async fn get(
        &self,
        _admin: Sysadmin,
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
    /// the later of now and today's expiry. With `If-Match` the change is
    /// made only if nobody else changed the site since.
    #[oai(path = "/:site_id", method = "put", operation_id = "update_site")]
    async fn update(
        &self,
        admin: Sysadmin,
        app: Data<&Arc<App>>,
        /// The site's `site_id`.
        site_id: Path<PathId>,
        /// The `ETag` that the site must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Given<Revisions>>,
        body: Body<SiteChange>,
    ) -> Result<SiteAnswer, Failure<{ ONE_SITE | BODY | failure::STALE }>> {
        let mut errors = Vec::new();
        let check =
            if_match.0.take("If-Match", &mut errors).map_or(RevisionCheck::Any, |revisions| revisions.0);
        if !errors.is_empty() {
            return Err(
                Problem { errors, ..Problem::malformed("the If-Match header cannot be understood") }.into()
            );
        }
        match app.store.update_site(known(&site_id)?, body.0, check, admin.actor(), now()).await? {
            Ok(site) => Ok(SiteAnswer::new(&app, site)),
            Err(UpdateRefused::NotFound) => Err(Problem::no_such_site().into()),
            Err(UpdateRefused::Stale) => Err(Problem::stale().into()),
            Err(UpdateRefused::TooFarAhead) => {
                Err(Problem::invalid_field("extend_days", TooFarAhead.to_string()).into())
            }
        }
    }

    /// Lock a site
    ///
    /// The very next heartbeat is told so, with the reason. Locking again
    /// with a new reason changes the reason.
    #[oai(path = "/:site_id/lock", method = "post", operation_id = "lock_site")]
    async fn lock(
        &self,
        admin: Sysadmin,
        app: Data<&Arc<App>>,
        /// The site's `site_id`.
        site_id: Path<PathId>,
        body: Body<LockReason>,
    ) -> Result<SiteAnswer, Failure<{ ONE_SITE | BODY }>> {
        let locked = app.store.lock_site(known(&site_id)?, body.0, admin.actor(), now()).await?;
        Ok(SiteAnswer::new(&app, locked.map_err(|_| Problem::no_such_site())?))
    }

    /// Unlock a site
    ///
    /// The very next heartbeat is told so. Unlocking a site that is not
    /// locked changes nothing.
    #[oai(path = "/:site_id/unlock", method = "post", operation_id = "unlock_site")]
    async fn unlock(
        &self,
        admin: Sysadmin,
        app: Data<&Arc<App>>,
        /// The site's `site_id`.
        site_id: Path<PathId>,
    ) -> Result<SiteAnswer, Failure<ONE_SITE>> {
        let unlocked = app.store.unlock_site(known(&site_id)?, admin.actor(), now()).await?;
        Ok(SiteAnswer::new(&app, unlocked.map_err(|_| Problem::no_such_site())?))
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
        admin: Sysadmin,
        app: Data<&Arc<App>>,
        /// The site's `site_id`.
        site_id: Path<PathId>,
        body: Body<Rotation>,
    ) -> Result<Json<RotatedDocument>, Failure<{ ONE_SITE | BODY }>> {
        let key = fresh_key()?;
        let site_id = known(&site_id)?;
        let rotated =
            app.store.rotate_key(site_id, key.hash(), body.0.overlap_hours, admin.actor(), now()).await?;
        let old_key_valid_until = rotated.map_err(|_| Problem::no_such_site())?;
        Ok(Json(RotatedDocument {
            secret_key: key.expose().to_owned(),
            old_key_valid_until: Nullable(old_key_valid_until.map(Time)),
        }))
    }

    /// Delete a site
    ///
    /// Its key stops working at once. To stop a site for a while, lock it or
    /// set `is_active` to false.
    #[oai(path = "/:site_id", method = "delete", operation_id = "delete_site")]
    async fn delete(
        &self,
        admin: Sysadmin,
        app: Data<&Arc<App>>,
        /// The site's `site_id`.
        site_id: Path<PathId>,
    ) -> Result<DeleteAnswer, Failure<ONE_SITE>> {
        let deleted = app.store.delete_site(known(&site_id)?, admin.actor(), now()).await?;
        deleted.map_err(|_| Problem::no_such_site())?;
        Ok(DeleteAnswer::Deleted)
    }
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
    let operation = Operation::Register { site_id, new, key: once.secret_key(site_id).hash() };
    let applied = app.store.apply_batch(vec![operation], true, Some(once.once.clone()), by, now).await?;
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
    let mut bits = [0; 32];
    aws_lc_rs::rand::fill(&mut bits).map_err(|_| Problem::internal("no random bytes"))?;
    Ok(SecretKey::from_random_bits(bits))
}

/// The site that a path names.
fn known(site_id: &PathId) -> Result<SiteId, Problem> {
    site_id.0.ok_or_else(|| {
        let error = FieldError { field: "site_id".to_owned(), message: "must be a UUID".to_owned() };
        Problem { errors: vec![error], ..Problem::malformed("the path does not hold a site_id") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_takes_lists_and_star_and_compares_strongly() {
        let allows = |text: &str, revision| text.parse::<Revisions>().map(|r| r.0.allows(revision));
        assert_eq!(allows("*", 7), Ok(true));
        assert_eq!(allows("\"7\"", 7), Ok(true));
        assert_eq!(allows("\"6\", \"7\"", 7), Ok(true));
        assert_eq!(allows("\"6\"", 7), Ok(false));
        assert_eq!(allows("W/\"7\"", 7), Ok(false));
        assert_eq!(allows("\"other\"", 7), Ok(false));
        assert!(allows("7", 7).is_err());
    }
}

//! One change of all sites that a filter lets through.
//!
//! Who sends it says how many sites that should be. A dry run tells how many
//! they are; where the number has changed since, nothing is done. That is what
//! stands between a mistyped filter and a thousand closed restaurants.

use std::sync::Arc;

use poem::http::{HeaderMap, header};
use poem::web::Data;
use poem_openapi::param::Header;
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object, OpenApi};

use super::app::App;
use super::authority::Authority;
use super::batch::BATCH_WITHOUT_CODE;
use super::batch::required_tags;
use super::field_errors::FieldErrors;
use super::fields::{Body, Fields, Json, Readable};
use super::idempotency::{IdempotencyKey, OnceRequest};
use super::moment::bound;
use super::problem::{Failure, Problem, failure};
use super::scope;
use super::sites::{OneOf, SiteDocument, TagList};
use super::tag::Group;
use super::wire::{Given, Time};
use crate::clock::now;
use crate::domain::filter::FoldedText;
use crate::domain::{
    Calendar, Moment, NewLock, Operation, Refused, Scope, Site, SiteChange, SiteFilter, Tags,
};
use crate::store::{Bulk, BulkRefused, Expected};

/// Most sites that one request changes: some seconds of writing, in which
/// heartbeats wait.
const MAX_SITES: u64 = 100_000;
/// The greatest number that can be expected: one that every JSON library can
/// hold.
pub(super) const MAX_EXPECTED: u64 = 9_007_199_254_740_991;
/// What is said where nobody says how many sites are meant.
const NO_EXPECTATION: &str =
    "must say how many sites are meant: send the same with dry_run true, which tells it as matched";
const FAILURES: u16 = failure::SYSADMIN | failure::MALFORMED | failure::BODY | failure::CONFLICT;
const ROUTE: &str = "/api/sites/bulk";

/// What to do to each site.
#[derive(Debug, Clone, Copy, Default, Enum)]
#[oai(rename = "BulkOperation", rename_all = "snake_case")]
pub enum BulkOperationDocument {
    /// Change it: the fields of `PUT /api/sites/{site_id}`.
    #[default]
    Update,
    /// Lock it: the fields of `POST /api/sites/{site_id}/lock`.
    Lock,
    /// Unlock it.
    Unlock,
    /// Give it tags beside those that it has: `tags`.
    Tag,
    /// Take tags from it: `tags`.
    Untag,
    /// Delete it.
    Delete,
}

/// Which sites: those of which all that is said holds, as `GET /api/sites` has
/// it.
#[derive(Default, Object)]
#[oai(rename = "SiteFilter", skip_serializing_if_is_none)]
pub struct FilterDocument {
    /// In this status, or in one of several: `silent,never_seen`.
    status: Option<String>,
    /// With this text in name, owner, e-mail address, site_id, tags or notes.
    q: Option<String>,
    /// Of exactly this owner, without regard to case; empty: without one.
    owner: Option<String>,
    /// With this tag, or with all of several: `rome,vip`.
    tag: Option<String>,
    /// Whose `license_expires_at` is before this time
    /// (`2030-12-31T00:00:00Z`); a day (`2030-12-31`), in the configured zone:
    /// whose last day is before it.
    expires_before: Option<String>,
    /// Whose `license_expires_at` is after this time; a day: whose last day is
    /// after it.
    expires_after: Option<String>,
    /// Whose last heartbeat came before this time, or before this day began.
    seen_before: Option<String>,
    /// Whose last heartbeat reported exactly this version.
    version: Option<String>,
    /// The last change of which has come so far, or one of several:
    /// `pending,answered`.
    delivery: Option<String>,
}

/// Which sites, as it is said: what a day means, the calendar tells.
struct SaidFilter {
    said: SiteFilter,
    expires_before: Option<Moment>,
    expires_after: Option<Moment>,
    seen_before: Option<Moment>,
}

impl SaidFilter {
    fn is_empty(&self) -> bool {
        let bounds = [self.expires_before, self.expires_after, self.seen_before];
        self.said.is_empty() && bounds.iter().all(Option::is_none)
    }

    /// With the instants that its days mean.
    ///
    /// # Errors
    /// Names the days that the zone skipped.
    fn resolved(self, calendar: &Calendar) -> Result<SiteFilter, Problem> {
        let mut errors = FieldErrors::default();
        let (end, start) = (|day| calendar.end_of(day), |day| calendar.start_of(day));
        let filter = SiteFilter {
            expires_before: bound(self.expires_before, "filter.expires_before", end, &mut errors),
            expires_after: bound(self.expires_after, "filter.expires_after", end, &mut errors),
            seen_before: bound(self.seen_before, "filter.seen_before", start, &mut errors),
            ..self.said
        };
        if errors.is_empty() { Ok(filter) } else { Err(Problem::invalid(errors)) }
    }
}

impl Readable for SaidFilter {
    type Document = FilterDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        let (expires_before, expires_after, seen_before) = (
            fields.optional("expires_before"),
            fields.optional("expires_after"),
            fields.optional("seen_before"),
        );
        let said = SiteFilter {
            statuses: fields.optional("status").map(|OneOf(statuses)| statuses).unwrap_or_default(),
            text: fields.optional("q").filter(|text: &FoldedText| !text.is_empty()),
            owner: fields.optional("owner"),
            tags: fields.optional("tag").map_or_else(Tags::default, |TagList(tags)| tags),
            version: fields.optional("version"),
            deliveries: fields.optional("delivery").map(|OneOf(states)| states).unwrap_or_default(),
            ..SiteFilter::default()
        };
        Some(Self { said, expires_before, expires_after, seen_before })
    }
}

/// A change of many sites, with the fields that `op` takes; no others.
#[derive(Default, Object)]
#[oai(rename = "Bulk", skip_serializing_if_is_none, example)]
pub struct BulkDocument {
    /// Which sites. At least one thing must be said of them.
    filter: FilterDocument,
    /// What to do to each.
    op: BulkOperationDocument,
    /// With `update`: its name, 1 to 200 characters.
    name: Option<String>,
    /// With `update`: its owner, 0 to 200 characters.
    owner_name: Option<String>,
    /// With `update`: whom to write to, at most 254 characters.
    contact_email: Option<String>,
    /// With `update`: when its licence expires.
    license_expires_at: Option<Time>,
    /// With `update`: whether it may be licensed at all.
    is_active: Option<bool>,
    /// With `update`: days to add, 1 to 3660, to the later of now and today's
    /// expiry. Not together with `license_expires_at`.
    extend_days: Option<u16>,
    /// With `lock`: what its people are told, 1 to 500 characters.
    reason: Option<String>,
    /// With `tag` and `untag`: which, 1 to 20, each of 1 to 40 of the characters
    /// `a-z 0-9 . _ : -`.
    tags: Option<Vec<String>>,
    /// How many sites the filter must let through; where it is another number,
    /// nothing is changed. May be left out of a dry run, which tells it as
    /// `matched`.
    expect: Option<u64>,
    /// true: tell what it would come to, and change nothing. false when left
    /// out.
    dry_run: Option<bool>,
}

impl Example for BulkDocument {
    fn example() -> Self {
        Self {
            filter: FilterDocument {
                status: Some("expired,silent".to_owned()),
                owner: Some("Mario Rossi".to_owned()),
                ..Default::default()
            },
            op: BulkOperationDocument::Update,
            extend_days: Some(30),
            dry_run: Some(true),
            ..Default::default()
        }
    }
}

/// A change of many sites, checked.
struct ManyChanged {
    filter: SaidFilter,
    operation: Operation,
    expected: Expected,
}

impl Readable for ManyChanged {
    type Document = BulkDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        let filter: Option<SaidFilter> = fields.required_object("filter");
        if filter.as_ref().is_some_and(SaidFilter::is_empty) {
            fields.refuse(
                "filter",
                "must say something of the sites that are meant: an empty one would mean all",
            );
        }
        let is_said = fields.has("expect");
        let expect = fields.optional_integer("expect", 0..=MAX_EXPECTED);
        let expected = match (fields.optional_bool("dry_run").unwrap_or(false), expect) {
            (true, expect) => Expected::DryRun(expect),
            (false, Some(expect)) => Expected::Sites(expect),
            (false, None) => {
                if !is_said {
                    fields.refuse("expect", NO_EXPECTATION);
                }
                Expected::DryRun(None)
            }
        };
        let operation = read_operation(fields);
        Some(Self { filter: filter?, operation: operation?, expected })
    }
}

fn read_operation(fields: &mut Fields) -> Option<Operation> {
    let op: String = fields.required("op")?;
    match op.as_str() {
        "update" => SiteChange::read(fields).map(Operation::Update),
        "lock" => NewLock::read(fields).map(Operation::Lock),
        "unlock" => Some(Operation::Unlock),
        "tag" => required_tags(fields).map(Operation::Tag),
        "untag" => required_tags(fields).map(Operation::Untag),
        "delete" => Some(Operation::Delete),
        _ => {
            fields.refuse("op", "must be one of update, lock, unlock, tag, untag, delete");
            // Which of the others belong to it cannot be told.
            fields.ignore_all();
            None
        }
    }
}

/// What a change of many sites came to.
#[derive(Object)]
#[oai(rename = "BulkResult")]
pub struct BulkResultDocument {
    /// How many sites the filter lets through.
    matched: u64,
    /// How many of them were changed; in a dry run, would be. The others were
    /// as they should be.
    changed: u64,
    /// The first of those that the filter lets through, at most 20, in the
    /// order of their ids: as they are left, or, when they are deleted and in a
    /// dry run, as they were.
    first: Vec<SiteDocument>,
}

/// The route `/api/sites/bulk`.
pub struct BulkApi;

#[OpenApi(prefix_path = "/api/sites", tag = "Group::Sites")]
impl BulkApi {
    /// Change all sites that a filter lets through
    ///
    /// Up to 100,000 sites in one transaction: all of them, or none when one
    /// cannot be changed so. Each changed site has its own entry in the audit
    /// trail.
    ///
    /// First send it with `dry_run`: the answer says how many sites are meant
    /// and shows the first. Then send it without, and with that number as
    /// `expect`. Where the filter lets another number of sites through by then,
    /// nothing is changed, and the 409 has the number as `matched`.
    ///
    /// With an `Idempotency-Key` the same request, sent again within a day by
    /// the same admin, is not done again: the answer has the numbers of the
    /// first time, and the sites as they are now.
    ///
    /// More than 10 sites ask a login that has a second factor for a code of the
    /// last 10 minutes.
    /// A token for programs needs the scope `admin` to delete sites.
    ///
    /// `If-Match` names the revision of one site, so it is refused here (400).
    #[oai(path = "/bulk", method = "post", operation_id = "bulk_sites")]
    async fn bulk(
        &self,
        admin: Authority<scope::Operate>,
        app: Data<&Arc<App>>,
        /// A random value, such as a UUID, of 16 to 128 characters: the same
        /// request again is not done again.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Header<Given<IdempotencyKey>>,
        headers: &HeaderMap,
        body: Body<ManyChanged>,
    ) -> Result<Json<BulkResultDocument>, Failure<FAILURES>> {
        if headers.contains_key(header::IF_MATCH) {
            return Err(Problem::malformed(
                "a change of many sites takes no If-Match, which names the revision of one: say how many sites \
                 are meant by expect",
            )
            .into());
        }
        let Body(ManyChanged { filter, operation, expected }, bytes) = body;
        if matches!(operation, Operation::Delete) {
            admin.require(Scope::Admin)?;
        }
        // More sites than are expected are not changed.
        if matches!(expected, Expected::Sites(sites) if sites > BATCH_WITHOUT_CODE as u64) {
            admin.with_recent_code(&app).await?;
        }
        let by = admin.actor();
        let once = OnceRequest::read(idempotency_key.0, &by, ROUTE, &bytes)?;
        let now = now();
        let filter = filter.resolved(&app.store.rules().calendar(None))?;
        let wanted = Bulk { filter, operation, most: MAX_SITES };
        let done = app.store.bulk(wanted, expected, once.map(|once| once.once), by, now).await?;
        let done = done.map_err(|refused| Failure::from(problem_of(refused)))?;
        let document = |site: Site| SiteDocument::new(site, app.store.rules(), now);
        Ok(Json(BulkResultDocument {
            matched: done.matched,
            changed: done.changed,
            first: done.first.into_iter().map(document).collect(),
        }))
    }
}

fn problem_of(refused: BulkRefused) -> Problem {
    match refused {
        BulkRefused::Unexpected { matched } => Problem {
            matched: Some(u32::try_from(matched).unwrap_or(u32::MAX)),
            ..Problem::conflict(&format!(
                "nothing was changed: the filter lets {matched} sites through, and another number was expected: \
                 look at them, and send it again with what you expect then",
            ))
        },
        BulkRefused::TooMany { matched } => Problem::invalid_field(
            "filter",
            format!(
                "lets {matched} sites through, and at most {MAX_SITES} are changed at once: say more of them"
            ),
        ),
        BulkRefused::NotAll { refused, first, why } => not_all(refused, &first, why),
        BulkRefused::OtherBody => Problem::other_request(),
    }
}

/// What is wrong with the first site, and of how many that is so.
fn not_all(refused: u64, first: &Site, why: Refused) -> Problem {
    let problem = Problem::from(why);
    let named = problem.errors.named().first();
    let said =
        named.map_or_else(|| problem.detail.clone(), |error| format!("{} {}", error.field, error.message));
    let detail = format!(
        "nothing was changed: {refused} of the sites cannot be changed so; the first is {}, {}: {said}",
        first.name, first.site_id
    );
    Problem { detail, ..problem }
}

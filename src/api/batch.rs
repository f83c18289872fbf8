//! Many changes of sites in one request.

use std::collections::HashMap;
use std::sync::Arc;

use poem::http::{HeaderMap, StatusCode, header};
use poem::web::Data;
use poem_openapi::param::Header;
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object, OpenApi};
use serde_json::Value;
use uuid::Uuid;

use super::app::App;
use super::authority::Authority;
use super::field_errors::{FieldError, FieldErrors};
use super::fields::{Body, Fields, Json, Readable};
use super::idempotency::{IdempotencyKey, OnceRequest};
use super::problem::{Failure, Problem, failure};
use super::scope;
use super::sites::{SiteDocument, fresh_key};
use super::tag::Group;
use super::wire::{Day, Given, Nullable, Time};
use crate::clock::now;
use crate::domain::codes::CodesError;
use crate::domain::{
    Effect, NewLock, NewSite, Operation, Refused, Scope, SecretKey, SiteChange, SiteId, SiteOperation, Tags,
    Timestamp,
};
use crate::store::{Applied, BatchRefused, Done};

/// Most items of a batch.
pub const MAX_ITEMS: usize = 1000;
/// Most items of a batch that asks for no code of the second factor.
pub(super) const BATCH_WITHOUT_CODE: usize = 10;
/// Errors of items that are named; past it each bad item names its first.
const MAX_NAMED_ERRORS: usize = 1000;
const FAILURES: u16 = failure::SYSADMIN | failure::MALFORMED | failure::BODY;
const ROUTE: &str = "/api/sites/batch";

/// What to do to a site.
#[derive(Debug, Clone, Copy, Default, Enum)]
#[oai(rename = "BatchOperation", rename_all = "snake_case")]
pub enum OperationDocument {
    /// Register it: the fields of `POST /api/sites`.
    #[default]
    Register,
    /// Change it: `site_id` and the fields of `PUT /api/sites/{site_id}`.
    Update,
    /// Lock it: `site_id` and the fields of `POST /api/sites/{site_id}/lock`.
    Lock,
    /// Unlock it: `site_id`.
    Unlock,
    /// Give it tags beside those that it has: `site_id`, `tags`.
    Tag,
    /// Take tags from it: `site_id`, `tags`.
    Untag,
    /// Delete it: `site_id`.
    Delete,
}

/// One operation, with the fields that the route of its own takes; no others.
#[derive(Default, Object)]
#[oai(rename = "BatchItem", skip_serializing_if_is_none)]
pub struct ItemDocument {
    /// What to do.
    op: OperationDocument,
    /// Which site; not with `register`.
    site_id: Option<Uuid>,
    /// With `register` and `update`: its name, 1 to 200 characters.
    name: Option<String>,
    /// With `register` and `update`: its owner, 0 to 200 characters.
    owner_name: Option<String>,
    /// With `register` and `update`: whom to write to, at most 254 characters.
    contact_email: Option<String>,
    /// With `register` and `update`: when its licence expires.
    license_expires_at: Option<Time>,
    /// With `register` and `update`: the last day of its licence, in its time
    /// zone. Not together with `license_expires_at`.
    license_expires_on: Option<Day>,
    /// With `register` and `update`: its tags, at most 20; with `tag` and
    /// `untag`: which, at least one.
    tags: Option<Vec<String>>,
    /// With `register` and `update`: its notes, 0 to 2000 characters.
    notes: Option<String>,
    /// With `register` and `update`: its features, at most 50.
    features: Option<Vec<String>>,
    /// With `register` and `update`: its time zone; null: as configured.
    time_zone: Option<Nullable<String>>,
    /// With `register` and `update`: its days of grace, 0 to 90; null: as
    /// configured.
    grace_days: Option<Nullable<u8>>,
    /// With `register` and `update`: how many hours its leases last, 1 to 8760;
    /// null: as configured.
    offline_hours: Option<Nullable<u16>>,
    /// With `register` and `update`: whether its licence may end in the past.
    allow_past: Option<bool>,
    /// With `update`: whether it may be licensed at all.
    is_active: Option<bool>,
    /// With `update`: days to add, 1 to 3660, to the later of now and today's
    /// expiry. Not together with `license_expires_at` or
    /// `license_expires_on`.
    extend_days: Option<u16>,
    /// With `lock`: what its people are told, 1 to 500 characters.
    reason: Option<String>,
    /// With `lock`: when it begins; now when left out.
    at: Option<Time>,
    /// With `lock`: the day at whose end it begins. Not together with `at`.
    at_on: Option<Day>,
    /// With `lock`: when it ends by itself.
    until: Option<Time>,
    /// With `lock`: the last day on which it holds. Not together with `until`.
    until_on: Option<Day>,
}

/// Operations to do in their order.
#[derive(Object)]
#[oai(rename = "Batch", example)]
pub struct BatchDocument {
    /// true: do all of them, or none when one cannot be done. false when left
    /// out: leave out those that cannot be done.
    all_or_nothing: Option<bool>,
    /// The operations, 1 to 1000.
    items: Vec<ItemDocument>,
}

impl Example for BatchDocument {
    fn example() -> Self {
        let item = |name: &str, email: &str| ItemDocument {
            op: OperationDocument::Register,
            name: Some(name.to_owned()),
            owner_name: Some("Mario Rossi".to_owned()),
            contact_email: Some(email.to_owned()),
            license_expires_at: Some(Time(super::example::example_expiry())),
            ..Default::default()
        };
        let items =
            vec![item("Trattoria Da Mario", "mario@example.com"), item("Bar Centrale", "bar@example.com")];
        Self { all_or_nothing: Some(true), items }
    }
}

/// A batch, read. A bad item does not make the batch a bad one.
pub(super) struct Batch {
    all_or_nothing: bool,
    items: Vec<Result<Item, FieldErrors>>,
}

/// An operation, checked.
enum Item {
    /// A registration: the server makes the id and the key.
    Register(NewSite),
    /// Any other.
    Change(SiteOperation),
}

impl Item {
    /// Whether it deletes a site.
    fn deletes(&self) -> bool {
        matches!(self, Self::Change(SiteOperation { operation: Operation::Delete, .. }))
    }
}

impl Readable for Batch {
    type Document = BatchDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        let all_or_nothing = fields.optional_bool("all_or_nothing").unwrap_or(false);
        let items = fields.required_array("items", 1..=MAX_ITEMS)?;
        let mut named = 0;
        let items = items.into_iter().map(|item| {
            let read = match item {
                Value::Object(item) => fields.read_inner(item).map_err(|problem| problem.errors),
                _ => Err(FieldErrors::one("item", "must be an object")),
            };
            read.map_err(|errors| {
                let errors = if named < MAX_NAMED_ERRORS { errors } else { errors.first_named() };
                named += errors.count_named();
                errors
            })
        });
        Some(Self { all_or_nothing, items: items.collect() })
    }
}

impl Readable for Item {
    type Document = ItemDocument;

    fn read(fields: &mut Fields) -> Option<Self> {
        let op: String = fields.required("op")?;
        match op.as_str() {
            "register" => NewSite::read(fields).map(Self::Register),
            "update" => {
                let site_id = fields.required("site_id");
                let change = SiteChange::read(fields);
                Some(Self::Change(Operation::Update(change?).on(site_id?)))
            }
            "lock" => {
                let site_id = fields.required("site_id");
                let lock = NewLock::read(fields);
                Some(Self::Change(Operation::Lock(lock?).on(site_id?)))
            }
            "unlock" => fields.required("site_id").map(|site_id| Self::Change(Operation::Unlock.on(site_id))),
            "tag" | "untag" => {
                let site_id = fields.required("site_id");
                let tags = required_tags(fields)?;
                let operation = if op == "tag" { Operation::Tag(tags) } else { Operation::Untag(tags) };
                Some(Self::Change(operation.on(site_id?)))
            }
            "delete" => fields.required("site_id").map(|site_id| Self::Change(Operation::Delete.on(site_id))),
            _ => {
                fields.refuse("op", "must be one of register, update, lock, unlock, tag, untag, delete");
                // Which of the others belong to it cannot be told.
                fields.ignore_all();
                None
            }
        }
    }
}

/// The tags that an operation gives or takes.
pub(super) fn required_tags(fields: &mut Fields) -> Option<Tags> {
    let words = fields.required_array("tags", 1..=Tags::MOST)?;
    let words: Option<Vec<&str>> = words.iter().map(Value::as_str).collect();
    let tags = words.ok_or(CodesError::Malformed).and_then(Tags::of);
    tags.map_err(|error| fields.refuse("tags", error)).ok()
}

/// What became of an item.
#[derive(Object)]
#[oai(rename = "BatchResult", skip_serializing_if_is_none)]
pub struct ResultDocument {
    /// Its place among the items, from 0.
    index: usize,
    /// The status that the route of its own would have answered: 200, 201 or
    /// 204 done; 404, 409 or 422 not done.
    status: u16,
    /// The site, when the status is 200 or 201 and it has not been deleted
    /// since.
    site: Option<SiteDocument>,
    /// The `X-Site-Key` of a site just registered. Shown this once: only its
    /// hash is kept.
    secret_key: Option<String>,
    /// Why it was not done.
    detail: Option<String>,
    /// The bad fields, at most 20 by name, then, as `…`, how many more. When
    /// 1000 of a batch have been named, each bad item names its first.
    errors: Option<Vec<FieldError>>,
}

/// What became of a batch.
#[derive(Object)]
#[oai(rename = "BatchResults")]
pub struct ResultsDocument {
    /// How many items were done.
    done: usize,
    /// How many were not.
    refused: usize,
    /// What became of each, in their order.
    results: Vec<ResultDocument>,
}

/// The route `/api/sites/batch`.
pub struct BatchApi;

#[OpenApi(prefix_path = "/api/sites", tag = "Group::Sites")]
impl BatchApi {
    /// Change many sites at once
    ///
    /// Up to 1000 operations in one transaction, each as the route of its own
    /// would do it, and each with its own entry in the audit trail. The body
    /// may have 64 KiB unless configured otherwise (`limits.body_bytes`):
    /// that is room for some 400 registrations, or for 700 extensions.
    ///
    /// Without `all_or_nothing` what cannot be done is left out, and its
    /// result says why. With it, one bad item means that nothing is changed:
    /// the answer is 422, and `errors` names bad items as `items[3]`.
    ///
    /// With an `Idempotency-Key` a batch that is sent again within a day, by
    /// the same admin and with the same body, is not done again: the answer
    /// is that of the first time, its keys included, with the sites as they
    /// are now.
    ///
    /// A token for programs needs the scope `admin` for a batch that deletes
    /// sites.
    ///
    /// `If-Match` names the revision of one site, so it is refused here (400):
    /// to change a site only as you know it, use the routes of its own.
    #[oai(path = "/batch", method = "post", operation_id = "batch_sites")]
    async fn batch(
        &self,
        admin: Authority<scope::Operate>,
        app: Data<&Arc<App>>,
        /// A random value, such as a UUID, of 16 to 128 characters: the same
        /// request again is not done again.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Header<Given<IdempotencyKey>>,
        headers: &HeaderMap,
        body: Body<Batch>,
    ) -> Result<Json<ResultsDocument>, Failure<FAILURES>> {
        if headers.contains_key(header::IF_MATCH) {
            return Err(Problem::malformed(
                "a batch takes no If-Match, which names the revision of one site: change sites one by one, \
                 by /api/sites/{site_id}, or leave it out",
            )
            .into());
        }
        let Body(batch, bytes) = body;
        if batch.items.iter().flatten().any(Item::deletes) {
            admin.require(Scope::Admin)?;
        }
        let by = admin.actor();
        let once = OnceRequest::read(idempotency_key.0, &by, ROUTE, &bytes)?;
        let mut keys = HashMap::new();
        if batch.items.len() > BATCH_WITHOUT_CODE {
            admin.with_recent_code(&app).await?;
        }
        let mut operations = Vec::with_capacity(batch.items.len());
        let mut bad = Vec::with_capacity(batch.items.len());
        for item in batch.items {
            match item {
                Ok(item) => {
                    operations.push(operation(item, once.as_ref(), &mut keys)?);
                    bad.push(None);
                }
                Err(errors) => bad.push(Some(errors)),
            }
        }
        if batch.all_or_nothing && bad.iter().any(Option::is_some) {
            return Err(nothing_done(bad).into());
        }
        let request = once.as_ref().map(|once| once.once.clone());
        let now = now();
        let applied = app.store.apply_batch(operations, batch.all_or_nothing, request, by, now).await?;
        match applied {
            Ok(applied) => Ok(Json(answer(&app, applied, bad, &keys, once.as_ref(), now)?)),
            Err(BatchRefused::OtherBody) => Err(Problem::other_request().into()),
            Err(BatchRefused::NotWhole(refused)) => {
                // Nothing was bad, so places here are places there.
                for (place, refusal) in refused {
                    if let Some(errors) = bad.get_mut(place) {
                        *errors = Some(errors_of(refusal));
                    }
                }
                Err(nothing_done(bad).into())
            }
        }
    }
}

fn operation(
    item: Item,
    once: Option<&OnceRequest>,
    keys: &mut HashMap<SiteId, SecretKey>,
) -> Result<SiteOperation, Problem> {
    Ok(match item {
        Item::Register(new) => {
            let site_id = SiteId::new(Uuid::new_v4());
            let secret_key = match once {
                Some(once) => once.secret_key(site_id),
                None => fresh_key()?,
            };
            let key = secret_key.hash();
            keys.insert(site_id, secret_key);
            Operation::Register { new, key }.on(site_id)
        }
        Item::Change(operation) => operation,
    })
}

fn answer(
    app: &App,
    applied: Applied,
    bad: Vec<Option<FieldErrors>>,
    keys: &HashMap<SiteId, SecretKey>,
    once: Option<&OnceRequest>,
    now: Timestamp,
) -> Result<ResultsDocument, Problem> {
    let key_of = |site_id: SiteId| match (applied.repeated, once) {
        (Some(salt), Some(once)) => Some(once.secret_key_of(&salt, site_id)),
        _ => keys.get(&site_id).cloned(),
    };
    let mut outcomes = applied.results.into_iter();
    let mut results = Vec::with_capacity(bad.len());
    for (index, errors) in bad.into_iter().enumerate() {
        let empty =
            ResultDocument { index, status: 204, site: None, secret_key: None, detail: None, errors: None };
        let result = match errors {
            Some(errors) => ResultDocument {
                status: StatusCode::UNPROCESSABLE_ENTITY.as_u16(),
                detail: Some("some fields are not valid".to_owned()),
                errors: errors.listed(),
                ..empty
            },
            None => match outcomes.next() {
                Some(Ok(Done { effect, site })) => {
                    // A key that was rotated since is no key any more.
                    let key = site.as_ref().filter(|_| effect == Effect::Registered).and_then(|site| {
                        key_of(site.site_id).filter(|key| site.key_matching(&key.hash(), now).is_some())
                    });
                    ResultDocument {
                        status: match effect {
                            Effect::Registered => 201,
                            Effect::Changed => 200,
                            Effect::Deleted => 204,
                        },
                        site: site
                            .filter(|_| effect != Effect::Deleted)
                            .map(|site| SiteDocument::new(site, app.store.rules(), now)),
                        secret_key: key.map(|key| key.expose().to_owned()),
                        ..empty
                    }
                }
                Some(Err(refusal)) => {
                    let Problem { status, detail, errors, .. } = refusal.into();
                    let errors = errors.listed();
                    let named = errors.as_ref().and_then(|errors| errors.first());
                    let detail = named.map_or(detail, |error| error.message.clone());
                    ResultDocument { status: status.as_u16(), detail: Some(detail), errors, ..empty }
                }
                None => return Err(Problem::internal("the store gave fewer results than operations")),
            },
        };
        results.push(result);
    }
    let done = results.iter().filter(|result| result.status < 400).count();
    Ok(ResultsDocument { done, refused: results.len() - done, results })
}

/// 422 that names every bad item.
fn nothing_done(bad: Vec<Option<FieldErrors>>) -> Problem {
    let mut named = FieldErrors::default();
    for (index, errors) in bad.into_iter().enumerate() {
        named.take_over(errors.unwrap_or_default(), |field| match field {
            "item" => format!("items[{index}]"),
            field => format!("items[{index}].{field}"),
        });
    }
    Problem {
        detail: "nothing was changed: all_or_nothing was asked for, and some items cannot be done".to_owned(),
        ..Problem::invalid(named)
    }
}

/// What is wrong with an item that was refused, field by field.
fn errors_of(refusal: Refused) -> FieldErrors {
    let Problem { errors, detail, .. } = refusal.into();
    if errors.is_empty() { FieldErrors::one("site_id", detail) } else { errors }
}

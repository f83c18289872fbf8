//! The audit trail: who changed what.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use poem::web::Data;
use poem_openapi::param::Query;
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::ToJSON as _;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use serde_json::json;
use uuid::Uuid;

use super::app::App;
use super::authority::Authority;
use super::fields::Json;
use super::moment::bound;
use super::page::{Cursor, PageLimit, next_link};
use super::pattern::PRINTABLE;
use super::problem::{Failure, Problem, failure};
use super::query::QueryFaults;
use super::scope;
use super::tag::Group;
use super::wire::{Given, Nullable, Parameter, Time};
use crate::domain::audit::FieldValue;
use crate::domain::chain::{ChainFault, ChainHead, ChainReport, ForgottenRun};
use crate::domain::{Action, ActorKind, AuditEntry, FieldChange, Moment, SiteId, Username};
use crate::store::AuditFilter;

/// What vouches for the name of who acted.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename = "ActorKind", rename_all = "snake_case")]
pub enum ActorKindDocument {
    /// An admin's password or access token, or a token for programs.
    Admin,
    /// A user of the host, on the control socket.
    System,
    /// Nothing: a login that failed.
    Stranger,
    /// A site's own key; the name is that of the site.
    Site,
}

impl From<ActorKind> for ActorKindDocument {
    fn from(kind: ActorKind) -> Self {
        match kind {
            ActorKind::Admin => Self::Admin,
            ActorKind::System => Self::System,
            ActorKind::Stranger => Self::Stranger,
            ActorKind::Site => Self::Site,
        }
    }
}

/// One field before and after a change.
#[derive(Object)]
#[oai(rename = "FieldChange")]
pub struct FieldChangeDocument {
    /// Name of the field.
    field: String,
    /// Its value before; null: it had none.
    before: Nullable<String>,
    /// Its value after; null: it has none.
    after: Nullable<String>,
}

impl From<FieldChange> for FieldChangeDocument {
    fn from(change: FieldChange) -> Self {
        let told = |value: Option<FieldValue>| Nullable(value.map(|value| value.to_string()));
        Self {
            field: change.field.as_str().to_owned(),
            before: told(change.before),
            after: told(change.after),
        }
    }
}

/// An entry of the audit trail.
#[derive(Object)]
#[oai(rename = "AuditEntry")]
pub struct AuditEntryDocument {
    /// Number in order of time, from 1; failed logins have numbers of their
    /// own.
    id: u64,
    /// When.
    at: Time,
    /// Who: name of the admin or of the host's user; null for a failed login
    /// that named no admin.
    actor: Nullable<String>,
    /// What vouches for the name.
    actor_kind: ActorKindDocument,
    /// What the admin's token is called, where a program acted with one; else
    /// null.
    token: Nullable<String>,
    /// Address that the request came from; null: the control socket.
    ip: Nullable<String>,
    /// What: `site_registered`, `site_updated`, `site_locked`,
    /// `site_unlocked`, `site_key_rotated`, `site_deleted`, `admin_created`,
    /// `admin_password_changed`, `admin_deleted`,
    /// `certificate_renewal_requested`, `signing_key_rotated`, `backup_taken`,
    /// `login_succeeded` (with its `means` among the changes), `logged_out`,
    /// `sessions_ended`, `otp_enabled`, `otp_disabled`, `otp_reset`,
    /// `otp_paused`, `login_failed`, `token_created`, `token_ended`,
    /// `lease_key_rotated`, `site_watched` or `change_acknowledged`.
    action: String,
    /// Which site; null when it was none.
    site_id: Nullable<Uuid>,
    /// What that site is called; of one that was deleted, what it was called
    /// then. Null when it was none, or its deletion is more than 100,000
    /// entries newer.
    site_name: Nullable<String>,
    /// Which admin; null when it was none.
    admin: Nullable<String>,
    /// The fields that changed. Never a secret.
    changes: Vec<FieldChangeDocument>,
}

impl AuditEntryDocument {
    fn new(entry: AuditEntry, site_names: &HashMap<SiteId, String>) -> Self {
        Self {
            id: entry.id,
            at: Time(entry.at),
            actor: Nullable(Some(entry.actor.name).filter(|name| !name.is_empty())),
            actor_kind: entry.actor.kind.into(),
            token: Nullable(entry.actor.token),
            ip: Nullable(entry.actor.ip.map(|ip| ip.to_string())),
            action: entry.action.as_str().to_owned(),
            site_id: Nullable(entry.site_id.map(|site_id| Uuid::from_u128(site_id.as_u128()))),
            site_name: Nullable(entry.site_id.and_then(|site_id| site_names.get(&site_id).cloned())),
            admin: Nullable(entry.admin),
            changes: entry.changes.into_iter().map(FieldChangeDocument::from).collect(),
        }
    }
}

/// The `site_id` parameter.
struct SiteParameter(SiteId);

impl FromStr for SiteParameter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| "must be a UUID")
    }
}

impl Parameter for SiteParameter {
    fn schema() -> MetaSchema {
        MetaSchema::new_with_format("string", "uuid")
    }
}

/// A parameter that takes one of the names that a type of the domain has.
macro_rules! named_parameter {
    ($(#[$doc:meta])* $parameter:ident($named:ident)) => {
        $(#[$doc])*
        struct $parameter($named);

        impl FromStr for $parameter {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let words = || format!("must be one of {}", $named::ALL.map($named::as_str).join(", "));
                $named::named(text).map(Self).ok_or_else(words)
            }
        }

        impl Parameter for $parameter {
            fn schema() -> MetaSchema {
                let enum_items = $named::ALL.into_iter().map(|known| json!(known.as_str())).collect();
                MetaSchema { enum_items, ..MetaSchema::new("string") }
            }
        }
    };
}

named_parameter!(
    /// The `action` parameter.
    ActionFilter(Action)
);
named_parameter!(
    /// The `actor_kind` parameter.
    ActorKindFilter(ActorKind)
);

impl Parameter for Username {
    fn schema() -> MetaSchema {
        MetaSchema {
            min_length: Some(1),
            max_length: Some(Self::MAX),
            pattern: Some(PRINTABLE.to_owned()),
            ..MetaSchema::new("string")
        }
    }
}

/// A page of the audit trail.
#[derive(ApiResponse)]
enum AuditAnswer {
    /// The entries, newest first.
    #[oai(status = 200)]
    Page(
        Json<Vec<AuditEntryDocument>>,
        /// How many entries the filter lets through, on all pages.
        #[oai(header = "X-Total-Count")]
        u64,
        /// Where the next page is (`rel="next"`, RFC 8288); only while there
        /// is more.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

/// The newest entry of the audit trail, and its hash: note it elsewhere, to
/// tell later whether anything before it was rewritten.
#[derive(Object)]
#[oai(rename = "AuditHead")]
pub struct AuditHeadDocument {
    /// Number of the newest entry; 0 before the first.
    number: u64,
    /// Its hash in the chain, in hexadecimal digits.
    hash: String,
    /// Both as one text, `number:hash`, as `expect` takes it.
    head: String,
}

impl From<ChainHead> for AuditHeadDocument {
    fn from(head: ChainHead) -> Self {
        Self { number: head.number, hash: head.hash.to_string(), head: head.to_string() }
    }
}

/// Entries that were forgotten because of their age.
#[derive(Object)]
#[oai(rename = "ForgottenEntries")]
pub struct ForgottenDocument {
    /// Number of the first.
    first: u64,
    /// Number of the last.
    last: u64,
    /// Hash of the last: the entry after it goes on from there.
    hash: String,
}

/// The first entry that is not what was recorded.
#[derive(Object)]
#[oai(rename = "AuditFault")]
pub struct AuditFaultDocument {
    /// Its number.
    number: u64,
    /// What is wrong with it: `changed` (or put in another's place, or one
    /// before it was changed and hashed again), `removed`, `added` or
    /// `unreadable`.
    kind: String,
}

/// How the audit trail stands.
#[derive(Object)]
#[oai(rename = "AuditVerification")]
pub struct AuditVerificationDocument {
    /// Whether the trail is whole and, where a head was expected, the same up
    /// to there.
    good: bool,
    /// How many entries were held against the chain.
    entries: u64,
    /// The head; where there is a fault, the last good entry before it.
    head: AuditHeadDocument,
    /// The first fault; null: there is none.
    fault: Nullable<AuditFaultDocument>,
    /// What became of the head that was expected: `met`; `differs` (that entry
    /// or one before it is another); `cut_off` (the trail ends before it);
    /// `forgotten` (it was forgotten because of its age, so that nothing can
    /// be said). Null: none was expected, or the fault comes before it.
    expected: Nullable<String>,
    /// Up to which entry the chain was made when an older version was
    /// upgraded: it tells nothing of what was before. 0: there is none.
    chained_at_upgrade: u64,
    /// What was forgotten because of its age.
    forgotten: Vec<ForgottenDocument>,
}

impl AuditVerificationDocument {
    /// As it is answered.
    pub fn json(&self) -> serde_json::Value {
        self.to_json().unwrap_or_default()
    }
}

impl From<ChainReport> for AuditVerificationDocument {
    fn from(report: ChainReport) -> Self {
        let fault = |fault: ChainFault| AuditFaultDocument {
            number: fault.number,
            kind: fault.kind.as_str().to_owned(),
        };
        let forgotten = |run: &ForgottenRun| ForgottenDocument {
            first: run.first,
            last: run.last,
            hash: run.hash.to_string(),
        };
        Self {
            good: report.is_good(),
            entries: report.entries,
            head: report.head.into(),
            fault: Nullable(report.fault.map(fault)),
            expected: Nullable(report.expectation.map(|became| became.as_str().to_owned())),
            chained_at_upgrade: report.chain.upgraded,
            forgotten: report.chain.runs().iter().map(forgotten).collect(),
        }
    }
}

impl Parameter for ChainHead {
    fn schema() -> MetaSchema {
        MetaSchema { pattern: Some("^[0-9]{1,20}:[0-9A-Fa-f]{64}$".to_owned()), ..MetaSchema::new("string") }
    }
}

/// The routes under `/api/audit`.
pub struct AuditApi;

#[OpenApi(prefix_path = "/api", tag = "Group::Audit")]
impl AuditApi {
    /// Who changed what
    ///
    /// Every change made by an admin, every login and every backup taken,
    /// newest first, a page at a time: follow the `Link` header with
    /// `rel="next"` while there is one. Kept for two years unless configured
    /// otherwise.
    ///
    /// Failed logins are kept apart, the newest 10,000 of the last 30 days and
    /// at most 600 an hour, and are shown where `actor_kind` is `stranger` or
    /// `action` is `login_failed`. The name that was typed is kept only where
    /// it is an admin's.
    #[oai(path = "/audit", method = "get", operation_id = "list_audit")]
    async fn list(
        &self,
        _admin: Authority<scope::Read>,
        app: Data<&Arc<App>>,
        /// Only entries on this site.
        site_id: Query<Given<SiteParameter>>,
        /// Only entries in which this admin acted or was acted on, without
        /// regard to case.
        admin: Query<Given<Username>>,
        /// Only entries of this action.
        action: Query<Given<ActionFilter>>,
        /// Only entries of such actors.
        actor_kind: Query<Given<ActorKindFilter>>,
        /// Only entries from this time on: RFC 3339 with any offset, or a day,
        /// from its begin in `licence.time_zone`.
        since: Query<Given<Moment>>,
        /// Only entries before this time: RFC 3339 with any offset, or a day,
        /// to its end in `licence.time_zone`.
        until: Query<Given<Moment>>,
        /// Most entries on the page, 1 to 1000.
        limit: Query<Given<PageLimit>>,
        /// Continue after the entry with this `id`.
        after: Query<Given<Cursor>>,
        faults: QueryFaults,
    ) -> Result<AuditAnswer, Failure<{ failure::SYSADMIN }>> {
        let QueryFaults(mut errors) = faults;
        let calendar = app.store.rules().calendar(None);
        let since = since.0.take("since", &mut errors);
        let until = until.0.take("until", &mut errors);
        let filter = AuditFilter {
            site_id: site_id.0.take("site_id", &mut errors).map(|site_id| site_id.0),
            admin: admin.0.take("admin", &mut errors).map(|admin| admin.as_str().to_owned()),
            action: action.0.take("action", &mut errors).map(|action| action.0),
            actor_kind: actor_kind.0.take("actor_kind", &mut errors).map(|kind| kind.0),
            since: bound(since, "since", |day| calendar.start_of(day), &mut errors),
            until: bound(until, "until", |day| calendar.end_of(day), &mut errors),
        };
        let limit = limit.0.take("limit", &mut errors).unwrap_or_default();
        let after = after.0.take("after", &mut errors).map(|after| after.0);
        if !errors.is_empty() {
            return Err(Problem::invalid(errors).into());
        }
        let page = app.store.audit(filter.clone(), after, limit.0).await?;
        let mut query = Vec::new();
        query.extend(filter.site_id.map(|site_id| ("site_id", site_id.to_string())));
        query.extend(filter.admin.map(|admin| ("admin", admin)));
        query.extend(filter.action.map(|action| ("action", action.as_str().to_owned())));
        query.extend(filter.actor_kind.map(|kind| ("actor_kind", kind.as_str().to_owned())));
        query.extend(filter.since.map(|since| ("since", since.to_string())));
        query.extend(filter.until.map(|until| ("until", until.to_string())));
        let link = page.next.map(|after| next_link("/api/audit", query, limit, after));
        let names = page.site_names;
        let entries = page.entries.into_iter().map(|entry| AuditEntryDocument::new(entry, &names)).collect();
        Ok(AuditAnswer::Page(Json(entries), page.total, link))
    }

    /// The head of the audit trail
    ///
    /// Each entry has a hash over what it tells and over the hash of the entry
    /// before it. Who notes the newest one elsewhere can have the trail held
    /// against it later.
    #[oai(path = "/audit/head", method = "get", operation_id = "audit_head")]
    async fn head(
        &self,
        _admin: Authority<scope::Read>,
        app: Data<&Arc<App>>,
    ) -> Result<Json<AuditHeadDocument>, Failure<{ failure::UNAUTHORIZED | failure::UNAVAILABLE }>> {
        Ok(Json(app.store.audit_head().await.map_err(Problem::from)?.into()))
    }

    /// Was the audit trail rewritten
    ///
    /// Holds every entry against the chain of hashes, and names the first that
    /// was changed, removed, added or cannot be read. Without a head that was
    /// noted elsewhere it cannot tell whether somebody who can write to the
    /// database has made the whole chain again, or cut off its newest entries.
    #[oai(path = "/audit/verify", method = "get", operation_id = "verify_audit")]
    async fn verify(
        &self,
        _admin: Authority<scope::Read>,
        app: Data<&Arc<App>>,
        /// A head that was noted before, as `number:hash`.
        expect: Query<Given<ChainHead>>,
        faults: QueryFaults,
    ) -> Result<Json<AuditVerificationDocument>, Failure<{ failure::SYSADMIN }>> {
        let QueryFaults(mut errors) = faults;
        let expected = expect.0.take("expect", &mut errors);
        if !errors.is_empty() {
            return Err(Problem::invalid(errors).into());
        }
        Ok(Json(app.store.verify_audit(expected).await?.into()))
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::Action;

    #[test]
    fn the_description_lists_every_action() {
        let specification = crate::api::specification::json();
        for action in Action::ALL {
            assert!(specification.contains(&format!("`{}`", action.as_str())), "{action:?}");
        }
    }
}

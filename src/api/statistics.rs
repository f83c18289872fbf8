//! How sites have been heard, and how all of them stand.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use super::app::App;
use super::authority::Authority;
use super::fields::Json;
use super::problem::{Failure, Problem, failure};
use super::scope;
use super::sites::known;
use super::tag::Group;
use super::wire::{Day, Nullable, PathId, Time};
use crate::clock::now;
use crate::domain::{self, Date, Frequencies, Statistics, Timestamp};

/// A day of a site.
#[derive(Object)]
#[oai(rename = "SiteDay")]
struct SiteDayDocument {
    /// The day, in the site's zone.
    date: Day,
    /// How many heartbeats came.
    heartbeats: u32,
    /// When the first did; null where none came.
    first_at: Nullable<Time>,
    /// When the last did; null where none came.
    last_at: Nullable<Time>,
    /// From where: different addresses, at most 8.
    addresses: Vec<String>,
    /// How many more came; one that went and came again counts again.
    more_addresses: u32,
    /// The versions that were reported: different ones, at most 8.
    versions: Vec<String>,
    /// How many more were; one that went and came again counts again.
    more_versions: u32,
}

impl SiteDayDocument {
    fn of(date: Date, day: Option<domain::Day>) -> Self {
        let times = day.as_ref().map(|day| (Time(day.first_at), Time(day.last_at)));
        let (heartbeats, addresses, versions) =
            day.map(|day| (day.heartbeats, day.addresses, day.versions)).unwrap_or_default();
        Self {
            date: Day(date),
            heartbeats,
            first_at: Nullable(times.map(|(first, _)| first)),
            last_at: Nullable(times.map(|(_, last)| last)),
            addresses: addresses.values.iter().map(ToString::to_string).collect(),
            more_addresses: addresses.more,
            versions: versions.values.iter().map(|version| version.as_str().to_owned()).collect(),
            more_versions: versions.more,
        }
    }
}

/// The last 90 days of a site.
#[derive(Object)]
#[oai(rename = "SiteHistory")]
struct SiteHistoryDocument {
    /// The site.
    site_id: Uuid,
    /// The zone whose days they are.
    time_zone: String,
    /// The days, the oldest first, and the last today's; days without a
    /// heartbeat too. They begin with the first on which one was counted.
    days: Vec<SiteDayDocument>,
}

/// How many sites there are in each status.
#[derive(Object)]
#[oai(rename = "StatusCounts")]
struct StatusCountsDocument {
    /// Switched off by the sysadmin.
    inactive: u64,
    /// Locked by the sysadmin.
    locked: u64,
    /// The licence has expired, and the grace after it is over.
    expired: u64,
    /// No heartbeat ever came.
    never_seen: u64,
    /// No heartbeat for longer than `silent_after_hours`.
    silent: u64,
    /// All is well.
    online: u64,
}

/// A value, and how many sites have it.
#[derive(Object)]
#[oai(rename = "ValueCount")]
struct ValueCountDocument {
    /// The value.
    value: String,
    /// How many sites have it.
    sites: u64,
}

/// How many sites there are of each value.
#[derive(Object)]
#[oai(rename = "Frequencies")]
struct FrequenciesDocument {
    /// The 50 most frequent values, the most frequent first.
    values: Vec<ValueCountDocument>,
    /// How often any other value was counted.
    other: u64,
    /// How many sites have none.
    none: u64,
}

impl From<Frequencies> for FrequenciesDocument {
    fn from(counted: Frequencies) -> Self {
        let value = |(value, sites)| ValueCountDocument { value, sites };
        Self {
            values: counted.values.into_iter().map(value).collect(),
            other: counted.other,
            none: counted.none,
        }
    }
}

/// How many sites are licensed for no longer than this, their grace included.
#[derive(Object)]
#[oai(rename = "ExpiringCounts")]
struct ExpiringCountsDocument {
    /// 7 days.
    within_7_days: u64,
    /// 14 days, and so those of 7 too.
    within_14_days: u64,
    /// 30 days.
    within_30_days: u64,
    /// 90 days.
    within_90_days: u64,
}

/// How many heartbeats came on a day.
#[derive(Object)]
#[oai(rename = "HeartbeatsOfDay")]
struct HeartbeatsOfDayDocument {
    /// The day, as it was at the site.
    date: Day,
    /// How many came, of all sites.
    heartbeats: u64,
}

/// How the sites stand as a whole.
#[derive(Object)]
#[oai(rename = "Statistics")]
struct StatisticsDocument {
    /// As of when.
    at: Time,
    /// How many sites there are.
    sites: u64,
    /// By status.
    by_status: StatusCountsDocument,
    /// By the version that the last heartbeat reported.
    by_version: FrequenciesDocument,
    /// By owner, without regard to case.
    by_owner: FrequenciesDocument,
    /// By tag. A site counts for each tag that it has.
    by_tag: FrequenciesDocument,
    /// Licences that end soon.
    expiring: ExpiringCountsDocument,
    /// Heartbeats of the last 90 days, the oldest first, of sites that have
    /// been deleted too. They begin with the first day on which one was
    /// counted.
    heartbeats: Vec<HeartbeatsOfDayDocument>,
}

impl StatisticsDocument {
    fn of(counted: Statistics, at: Timestamp) -> Self {
        let [inactive, locked, expired, never_seen, silent, online] = counted.by_status;
        let [within_7_days, within_14_days, within_30_days, within_90_days] = counted.expiring;
        let of_day = |(date, heartbeats)| HeartbeatsOfDayDocument { date: Day(date), heartbeats };
        Self {
            at: Time(at),
            sites: counted.sites,
            by_status: StatusCountsDocument { inactive, locked, expired, never_seen, silent, online },
            by_version: counted.by_version.into(),
            by_owner: counted.by_owner.into(),
            by_tag: counted.by_tag.into(),
            expiring: ExpiringCountsDocument {
                within_7_days,
                within_14_days,
                within_30_days,
                within_90_days,
            },
            heartbeats: counted.heartbeats.into_iter().map(of_day).collect(),
        }
    }
}

/// The routes `/api/statistics` and `/api/sites/{site_id}/history`.
pub struct StatisticsApi;

#[OpenApi(prefix_path = "/api", tag = "Group::Sites")]
impl StatisticsApi {
    /// Count the sites
    ///
    /// By status, version, owner and tag, with the licences that end soon and
    /// the heartbeats of the last 90 days. Every site is looked at. Of more than
    /// 100,000 different versions, owners or tags, those that come up last are
    /// counted under `other`.
    #[oai(path = "/statistics", method = "get", operation_id = "statistics")]
    async fn statistics(
        &self,
        _asker: Authority<scope::Read>,
        app: Data<&Arc<App>>,
    ) -> Result<Json<StatisticsDocument>, Failure<{ failure::SYSADMIN }>> {
        let now = now();
        Ok(Json(StatisticsDocument::of(app.store.statistics(now).await?, now)))
    }

    /// Show on which days a site was heard
    ///
    /// The last 90 days in its zone, each with how many heartbeats came, when
    /// the first and the last did, from which addresses, and which versions they
    /// reported. Where those of all days would take more than 3 KB, the oldest
    /// days tell only how many there were.
    #[oai(path = "/sites/:site_id/history", method = "get", operation_id = "site_history")]
    async fn history(
        &self,
        _asker: Authority<scope::Read>,
        app: Data<&Arc<App>>,
        /// The site's `site_id`.
        site_id: Path<PathId>,
    ) -> Result<
        Json<SiteHistoryDocument>,
        Failure<{ failure::SYSADMIN | failure::MALFORMED | failure::NOT_FOUND }>,
    > {
        let site_id = known(&site_id)?;
        let history = app.store.site_history(site_id, now()).await?.ok_or_else(Problem::no_such_site)?;
        Ok(Json(SiteHistoryDocument {
            site_id: Uuid::from_u128(site_id.as_u128()),
            time_zone: history.time_zone.unwrap_or_else(|| "UTC".to_owned()),
            days: history.days.into_iter().map(|(date, day)| SiteDayDocument::of(date, day)).collect(),
        }))
    }
}

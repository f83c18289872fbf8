//! Which days sites were heard on.
//!
//! The day that it is lies in the row that each heartbeat rewrites. When it has
//! ended, the next heartbeat of the site writes it into the site's history, and
//! adds it to the days of all sites: two writes more for a site and day, and
//! none for any other heartbeat.

use std::net::IpAddr;
use std::sync::Arc;

use super::codec::{self, HistoryRow, LastSeen, Row as _};
use super::error::{Unavailable, unreadable};
use super::handle::Store;
use super::sites;
use super::tables::{Tables, Transaction, WriteTables};
use crate::domain::history::DAYS;
use crate::domain::{AppVersion, Date, Day, History, Rules, SiteId, Timestamp, Today};

/// Greatest size of the days of a site, in bytes: where they would have more,
/// the oldest lose the names of addresses and versions.
const MOST_BYTES: usize = 3 << 10;

/// The days of a site.
#[derive(Debug)]
pub struct SiteHistory {
    /// The name of the zone whose days they are; `None`: the host knows neither
    /// the site's nor the configured one, and they are those of UTC.
    pub time_zone: Option<String>,
    /// The last 90, in their order, those without a heartbeat too. They begin
    /// with the first on which one was counted.
    pub days: Vec<(Date, Option<Day>)>,
}

impl Store {
    /// The last 90 days of a site; `None`: there is no such site.
    pub async fn site_history(
        &self,
        site_id: SiteId,
        now: Timestamp,
    ) -> Result<Option<SiteHistory>, Unavailable> {
        let rules = Arc::clone(&self.rules);
        self.read(move |tables| {
            let Some(site) = sites::of_id(tables, site_id)? else { return Ok(None) };
            let zone = site.time_zone.as_ref();
            let today = site.seen.as_ref().and_then(|seen| seen.day());
            let date = rules.day_at(zone, now).map(|(date, _)| date);
            // Of a site whose zone was changed today it may still be the day
            // after the one that it is now.
            let lasting = site.seen.as_ref().and_then(|seen| seen.today.as_ref());
            let lasting = lasting.filter(|today| today.lasts(now)).map(|today| today.date);
            let history = of_number(tables, site.id)?;
            let days = date.max(lasting).map_or_else(Vec::new, |last| history.up_to(last, today));
            let own = zone.and_then(|zone| rules.known_zone(zone));
            let known = own.or_else(|| rules.known_zone(&rules.time_zone));
            Ok(Some(SiteHistory { time_zone: known.map(|zone| zone.to_string()), days }))
        })
        .await
    }
}

fn of_number(tables: &Tables<'_, impl Transaction>, id: u64) -> Result<History, Unavailable> {
    match tables.history.get(id)? {
        Some(row) => row.into_history().map_err(|error| unreadable(HistoryRow::TABLE, error)),
        None => Ok(History::default()),
    }
}

/// Counts a heartbeat of a site after the `last` one, which comes from `ip` and
/// reports `version`, and gives the day that it is. Where the day of the last one has ended, it is written down.
pub(super) fn count(
    tables: &mut WriteTables<'_>,
    id: u64,
    last: Option<LastSeen>,
    (ip, version): (IpAddr, &AppVersion),
    rules: &Rules,
    now: Timestamp,
) -> Result<Option<Today>, Unavailable> {
    if let Some(LastSeen { at, ip: last_ip, other_version, today: Some(today), .. }) = last {
        if today.lasts(now) {
            return Ok(Some(today.and((last_ip, ip), (other_version, version))));
        }
        let day = today.finished(at, last_ip, other_version.unwrap_or_else(|| version.clone()));
        add_to_all(tables, &day)?;
        add(tables, id, day)?;
    }
    let row = tables.sites.get(id)?;
    let zone = row.map(|row| row.time_zone()).transpose();
    let zone = zone.map_err(|error| unreadable("sites", error))?.flatten();
    Ok(rules.day_at(zone.as_ref(), now).map(|day| Today::begun(day, now)))
}

/// Adds a day to the history of a site.
fn add(tables: &mut WriteTables<'_>, id: u64, day: Day) -> Result<(), Unavailable> {
    let mut history = of_number(tables, id).unwrap_or_else(|error| {
        // `sitewarden check` tells of it as well. A site's heartbeats must not
        // fail for it.
        tracing::error!(site = id, %error, "the history of a site cannot be read and begins again");
        History::default()
    });
    history.add(day);
    let mut row = HistoryRow::from_history(&history);
    while codec::encode(&row)?.len() > MOST_BYTES && history.forget_names() {
        row = HistoryRow::from_history(&history);
    }
    tables.history.put(id, &row)
}

/// Adds a day of a site to those of all.
fn add_to_all(tables: &mut WriteTables<'_>, day: &Day) -> Result<(), Unavailable> {
    // A clock that stands before 1970 is wrong.
    let Ok(number) = u64::try_from(day.date.number()) else { return Ok(()) };
    let before = tables.heartbeat_days.get(number)?.unwrap_or(0);
    tables.heartbeat_days.put(number, &before.saturating_add(u64::from(day.heartbeats)))?;
    // As in the history of a site, so that a clock that was far ahead does not
    // take the others away for good.
    let most = u64::try_from(DAYS).unwrap_or(u64::MAX);
    while tables.heartbeat_days.len()? > most {
        let first = tables.heartbeat_days.range(..)?.next().transpose()?.map_or(number, |(first, _)| first);
        let last = tables.heartbeat_days.last()?.map_or(number, |(last, _)| last);
        let farthest = if first.abs_diff(number) >= last.abs_diff(number) { first } else { last };
        tables.heartbeat_days.remove(farthest)?;
    }
    Ok(())
}

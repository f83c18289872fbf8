//! The records of the days of a site: the one that its last heartbeat was on,
//! and those before it.
//!
//! Addresses and versions are the same on most days, so that the history has
//! each once and the days refer to them. Times and dates are told by how far
//! they are from the day before: a usual day has some 15 bytes.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::bytes::{DecodeError, text, time};
use crate::domain::{AppVersion, Date, Day, History, Several, Timestamp, Today};

/// Seconds from one day's first heartbeat to the next day's, as a rule.
const A_DAY_LATER: i64 = 86_400;

/// The day of the last heartbeat, as a part of its record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TodayRow {
    /// Counted from 1970-01-01.
    pub(super) date: i32,
    pub(super) ends_at: i64,
    pub(super) heartbeats: u32,
    /// Seconds from its first heartbeat to the last.
    pub(super) lasted: i64,
    /// As a rule there are none.
    pub(super) others: Option<OthersRow>,
}

/// From where other heartbeats of the day came than the last, and what they
/// reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct OthersRow {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) more_addresses: u32,
    pub(super) versions: Vec<String>,
    pub(super) more_versions: u32,
}

impl TodayRow {
    /// Of a day whose last heartbeat came `at`.
    pub(super) fn from_today(today: &Today, at: Timestamp) -> Self {
        let (addresses, versions) = (&today.addresses, &today.versions);
        let none = addresses.values.is_empty()
            && addresses.more == 0
            && versions.values.is_empty()
            && versions.more == 0;
        let others = || OthersRow {
            addresses: addresses.values.clone(),
            more_addresses: addresses.more,
            versions: versions.values.iter().map(|version| version.as_str().to_owned()).collect(),
            more_versions: versions.more,
        };
        Self {
            date: today.date.number(),
            ends_at: today.ends_at.unix(),
            heartbeats: today.heartbeats,
            lasted: at.seconds_since(today.first_at),
            others: (!none).then(others),
        }
    }

    pub(super) fn date(&self) -> Result<Date, DecodeError> {
        Date::numbered(self.date).ok_or(DecodeError::Field("date"))
    }

    /// Of the record of a heartbeat that came `at`.
    pub(super) fn into_today(self, at: i64) -> Result<Today, DecodeError> {
        let first_at = at.checked_sub(self.lasted).ok_or(DecodeError::Field("first_at"))?;
        let mut today = Today {
            date: self.date()?,
            ends_at: time("ends_at", self.ends_at)?,
            heartbeats: self.heartbeats,
            first_at: time("first_at", first_at)?,
            addresses: Several::default(),
            versions: Several::default(),
        };
        if let Some(others) = self.others {
            today.addresses = Several { values: others.addresses, more: others.more_addresses };
            today.versions = Several { values: versions(&others.versions)?, more: others.more_versions };
        }
        Ok(today)
    }
}

fn versions(texts: &[String]) -> Result<Vec<AppVersion>, DecodeError> {
    texts.iter().map(|version| text("version", version)).collect()
}

/// The days of a site that have ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct HistoryRow {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) versions: Vec<String>,
    pub(super) days: Vec<DayRow>,
}

/// A day, after the one before it; the first after 1970-01-01.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct DayRow {
    /// How many dates lie between, and how far the times are from a day later.
    pub(super) skipped: i32,
    pub(super) drift: i64,
    pub(super) lasted: i64,
    pub(super) heartbeats: u32,
    /// By their places in the history's.
    pub(super) addresses: Vec<u16>,
    pub(super) versions: Vec<u16>,
    /// How many more of each there were.
    pub(super) more: Option<(u32, u32)>,
}

impl HistoryRow {
    pub(in crate::store) fn from_history(history: &History) -> Self {
        let mut row = Self { addresses: Vec::new(), versions: Vec::new(), days: Vec::new() };
        let (mut date, mut first_at) = (0, 0);
        for day in history.days() {
            let (this_date, this_first) = (day.date.number(), day.first_at.unix());
            let versions = day.versions.values.iter().map(AppVersion::as_str);
            let more = (day.addresses.more, day.versions.more);
            row.days.push(DayRow {
                skipped: this_date.saturating_sub(date).saturating_sub(1),
                drift: this_first.saturating_sub(first_at).saturating_sub(A_DAY_LATER),
                lasted: day.last_at.seconds_since(day.first_at),
                heartbeats: day.heartbeats,
                addresses: places(&mut row.addresses, day.addresses.values.iter().copied()),
                versions: places(&mut row.versions, versions.map(str::to_owned)),
                more: Some(more).filter(|more| *more != (0, 0)),
            });
            (date, first_at) = (this_date, this_first);
        }
        row
    }

    pub(in crate::store) fn into_history(self) -> Result<History, DecodeError> {
        let texts = versions(&self.versions)?;
        let (mut date, mut first_at) = (0_i32, 0_i64);
        let mut days = Vec::with_capacity(self.days.len());
        for day in self.days {
            date = date.checked_add(day.skipped).and_then(|date| date.checked_add(1)).unwrap_or(i32::MAX);
            first_at = first_at
                .checked_add(day.drift)
                .and_then(|first_at| first_at.checked_add(A_DAY_LATER))
                .unwrap_or(i64::MAX);
            let last_at = first_at.checked_add(day.lasted).unwrap_or(i64::MAX);
            let more = day.more.unwrap_or_default();
            days.push(Day {
                date: Date::numbered(date).ok_or(DecodeError::Field("date"))?,
                heartbeats: day.heartbeats,
                first_at: time("first_at", first_at)?,
                last_at: time("last_at", last_at)?,
                addresses: Several { values: named(&self.addresses, &day.addresses)?, more: more.0 },
                versions: Several { values: named(&texts, &day.versions)?, more: more.1 },
            });
        }
        History::of(days).ok_or(DecodeError::Field("days"))
    }
}

/// Where the values stand among those that are known, which get those that are
/// new.
fn places<T: PartialEq>(known: &mut Vec<T>, values: impl Iterator<Item = T>) -> Vec<u16> {
    values
        .filter_map(|value| {
            let place = known.iter().position(|known| *known == value).unwrap_or_else(|| {
                known.push(value);
                known.len() - 1
            });
            // 90 days of 8 values each are fewer.
            u16::try_from(place).ok()
        })
        .collect()
}

fn named<T: Clone>(known: &[T], places: &[u16]) -> Result<Vec<T>, DecodeError> {
    let named = |&place: &u16| known.get(usize::from(place)).cloned().ok_or(DecodeError::Field("days"));
    places.iter().map(named).collect()
}

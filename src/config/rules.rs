//! What holds for all sites that say nothing of themselves: the groups
//! `licence` and `lease`.

use jiff::tz::TimeZoneDatabase;
use serde::{Deserialize, Serialize};

use super::error::{ConfigError, Places, bad};
use crate::domain::rules::NotATimeZone;
use crate::domain::{GraceDays, OfflineHours, Rules, SilentAfterHours, TimeZoneName, Zones};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Licence {
    time_zone: String,
    grace_days: u32,
}

impl Default for Licence {
    fn default() -> Self {
        Self { time_zone: "UTC".to_owned(), grace_days: 0 }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Lease {
    offline_hours: u32,
    /// Who signs them; empty: as [`super::settings`] tells.
    pub(super) issuer: String,
}

impl Default for Lease {
    fn default() -> Self {
        Self { offline_hours: 168, issuer: String::new() }
    }
}

/// The rules that the settings make, with this host's time zones.
pub(super) fn rules(
    silent_after_hours: u32,
    licence: &Licence,
    lease: &Lease,
    places: &Places,
) -> Result<Rules, ConfigError> {
    let rules = Rules {
        silent_after: SilentAfterHours(silent_after_hours),
        zones: Zones::new(TimeZoneDatabase::from_env()),
        ..Rules::default()
    };
    let key = "licence.time_zone";
    let zone: TimeZoneName =
        licence.time_zone.parse().map_err(|error: NotATimeZone| bad(key, places, error.to_string()))?;
    let time_zone = rules.known_zone(&zone).ok_or_else(|| {
        let reason = format!(
            "is {zone}, which this host knows no time zone by: name one such as Europe/Rome, and install tzdata \
             where that is unknown too"
        );
        bad(key, places, reason)
    })?;
    let grace_days = u8::try_from(licence.grace_days).ok().and_then(GraceDays::new);
    let offline_hours = u16::try_from(lease.offline_hours).ok().and_then(OfflineHours::new);
    let within = |key, least: u16, most: u16| bad(key, places, format!("must be from {least} to {most}"));
    let (days, hours) = (GraceDays::RANGE, OfflineHours::RANGE);
    Ok(Rules {
        time_zone,
        grace_days: grace_days
            .ok_or_else(|| within("licence.grace_days", (*days.start()).into(), (*days.end()).into()))?,
        offline_hours: offline_hours
            .ok_or_else(|| within("lease.offline_hours", *hours.start(), *hours.end()))?,
        ..rules
    })
}

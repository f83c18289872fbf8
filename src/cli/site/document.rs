//! A site as the server tells of it, as far as the verbs have a use for it.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::cli::client::{Shown, read};
use crate::cli::error::CommandError;
use crate::domain::SiteId;

/// The columns of an export: those that `site import` reads come first.
pub(crate) const COLUMNS: [&str; 14] = [
    "name",
    "owner_name",
    "contact_email",
    "license_expires_at",
    "site_id",
    "status",
    "licensed",
    "is_active",
    "lock_reason",
    "created_at",
    "last_seen_at",
    "last_seen_ip",
    "last_version",
    "last_uptime_seconds",
];

/// A site.
#[derive(Debug, Deserialize)]
pub(crate) struct SiteDocument {
    #[serde(default)]
    pub(crate) name: Shown,
    #[serde(default)]
    owner_name: Shown,
    #[serde(default)]
    pub(crate) contact_email: Shown,
    #[serde(default)]
    pub(crate) license_expires_at: Shown,
    #[serde(deserialize_with = "site_id")]
    pub(crate) site_id: SiteId,
    #[serde(default)]
    pub(crate) status: Shown,
    #[serde(default)]
    licensed: Shown,
    #[serde(default)]
    is_active: Shown,
    #[serde(default)]
    lock_reason: Shown,
    #[serde(default)]
    created_at: Shown,
    #[serde(default)]
    pub(crate) last_seen_at: Shown,
    #[serde(default)]
    last_seen_ip: Shown,
    #[serde(default)]
    pub(crate) last_version: Shown,
    #[serde(default)]
    last_uptime_seconds: Shown,
}

fn site_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SiteId, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

impl SiteDocument {
    /// The documents of these sites.
    ///
    /// # Errors
    /// Where one is none.
    pub(crate) fn all(sites: &[Value]) -> Result<Vec<Self>, CommandError> {
        sites.iter().map(read).collect()
    }

    /// What stands in each of [`COLUMNS`].
    pub(crate) fn cells(&self) -> [String; COLUMNS.len()] {
        let id = self.site_id.to_string();
        [
            self.name.as_sent(),
            self.owner_name.as_sent(),
            self.contact_email.as_sent(),
            self.license_expires_at.as_sent(),
            &id,
            self.status.as_sent(),
            self.licensed.as_sent(),
            self.is_active.as_sent(),
            self.lock_reason.as_sent(),
            self.created_at.as_sent(),
            self.last_seen_at.as_sent(),
            self.last_seen_ip.as_sent(),
            self.last_version.as_sent(),
            self.last_uptime_seconds.as_sent(),
        ]
        .map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "00000000-0000-4000-8000-000000000000";

    #[test]
    fn each_column_holds_the_field_of_its_name_and_fields_of_a_newer_server_are_passed_over() {
        let mut site = json!({ "site_id": ID, "tags": ["vip"], "delivery": { "state": "pending" } });
        for column in COLUMNS.into_iter().filter(|column| *column != "site_id") {
            site[column] = json!(column);
        }
        let cells = read::<SiteDocument>(&site).unwrap().cells();
        assert_eq!(cells, COLUMNS.map(|column| if column == "site_id" { ID } else { column }.to_owned()));
    }

    #[test]
    fn what_has_no_site_id_is_no_site() {
        assert!(read::<SiteDocument>(&json!({ "name": "Bar" })).is_err());
        assert!(read::<SiteDocument>(&json!({ "site_id": "7" })).is_err());
        assert!(SiteDocument::all(&[json!({ "site_id": ID }), json!(null)]).is_err());
    }
}

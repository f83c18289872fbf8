//! A site as the server tells of it, as far as the verbs have a use for it.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::column::{field, words};
use crate::cli::client::{Shown, read};
use crate::cli::error::CommandError;
use crate::domain::SiteId;

/// The columns that `site import` reads.
pub(crate) const IMPORTED: [&str; 11] = [
    "name",
    "owner_name",
    "contact_email",
    "license_expires_at",
    "license_expires_on",
    "tags",
    "notes",
    "features",
    "time_zone",
    "grace_days",
    "offline_hours",
];

/// The columns of an export: those that `site import` reads come first.
pub(crate) const COLUMNS: [&str; 20] = [
    "name",
    "owner_name",
    "contact_email",
    "license_expires_at",
    "tags",
    "notes",
    "features",
    "time_zone",
    "grace_days",
    "offline_hours",
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
    pub(crate) contact_email: Shown,
    #[serde(deserialize_with = "site_id")]
    pub(crate) site_id: SiteId,
    #[serde(default)]
    tags: Value,
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

    /// Its tags, with blanks between; `None` where the server does not tell.
    pub(crate) fn tags(&self) -> Option<String> {
        (!self.tags.is_null()).then(|| words(&self.tags))
    }
}

/// What stands of a site in each of [`COLUMNS`]: text as it was sent.
pub(crate) fn cells(site: &Value) -> [String; COLUMNS.len()] {
    COLUMNS.map(|column| match field(site, column) {
        Value::Array(words) => {
            words.iter().map(|word| Shown::from(word).as_sent().to_owned()).collect::<Vec<_>>().join(" ")
        }
        value => Shown::from(value).as_sent().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "00000000-0000-4000-8000-000000000000";

    #[test]
    fn each_column_holds_the_field_of_its_name_and_fields_of_a_newer_server_are_passed_over() {
        let mut site = json!({ "delivery": { "state": "pending" } });
        for column in COLUMNS {
            site[column] = json!(column);
        }
        assert_eq!(cells(&site), COLUMNS.map(str::to_owned));
        let tagged = json!({ "site_id": ID, "tags": ["a", "b"], "newer": {} });
        assert_eq!((cells(&tagged)[4].as_str(), cells(&tagged)[0].as_str()), ("a b", ""));
        assert_eq!(read::<SiteDocument>(&tagged).unwrap().tags(), Some("a b".to_owned()));
    }

    #[test]
    fn what_is_exported_is_imported_but_for_what_tells_how_a_site_stands() {
        let first = IMPORTED.into_iter().filter(|column| *column != "license_expires_on");
        assert!(first.eq(COLUMNS.into_iter().take(10)));
    }

    #[test]
    fn what_has_no_site_id_is_no_site() {
        assert!(read::<SiteDocument>(&json!({ "name": "Bar" })).is_err());
        assert!(read::<SiteDocument>(&json!({ "site_id": "7" })).is_err());
        assert!(SiteDocument::all(&[json!({ "site_id": ID }), json!(null)]).is_err());
    }
}

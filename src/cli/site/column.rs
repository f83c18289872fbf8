//! The columns of a list of sites: the fields of a site as the API names them,
//! and `last_seen`, which says when in words.

use clap::ValueEnum;
use clap::builder::PossibleValue;
use serde_json::Value;

use crate::cli::client::Shown;
use crate::cli::moment::from_now;
use crate::domain::Timestamp;

macro_rules! columns {
    ($($column:ident = $name:literal, $head:literal;)*) => {
        /// A column.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Column {
            $($column,)*
        }

        impl Column {
            const ALL: &'static [Self] = &[$(Self::$column,)*];

            /// As it is asked for.
            fn name(self) -> &'static str {
                match self {
                    $(Self::$column => $name,)*
                }
            }

            /// What stands above it.
            pub(super) fn head(self) -> &'static str {
                match self {
                    $(Self::$column => $head,)*
                }
            }
        }
    };
}

columns! {
    Id = "id", "NUMBER";
    SiteId = "site_id", "SITE_ID";
    Name = "name", "NAME";
    OwnerName = "owner_name", "OWNER";
    ContactEmail = "contact_email", "E-MAIL";
    Status = "status", "STATUS";
    LicenseExpiresOn = "license_expires_on", "EXPIRES";
    LicenseExpiresAt = "license_expires_at", "EXPIRES AT";
    Licensed = "licensed", "LICENSED";
    GraceDays = "grace_days", "GRACE DAYS";
    GraceEndsAt = "grace_ends_at", "GRACE ENDS";
    IsActive = "is_active", "ACTIVE";
    IsLocked = "is_locked", "LOCKED";
    LockReason = "lock_reason", "LOCK REASON";
    LockUntil = "lock_until", "LOCKED UNTIL";
    LastSeen = "last_seen", "LAST SEEN";
    LastSeenAt = "last_seen_at", "LAST SEEN AT";
    LastSeenIp = "last_seen_ip", "ADDRESS";
    LastVersion = "last_version", "VERSION";
    LastUptimeSeconds = "last_uptime_seconds", "UPTIME";
    LastKeyUsed = "last_key_used", "KEY";
    Tags = "tags", "TAGS";
    Features = "features", "FEATURES";
    Notes = "notes", "NOTES";
    TimeZone = "time_zone", "TIME ZONE";
    OfflineHours = "offline_hours", "OFFLINE HOURS";
    Delivery = "delivery", "DELIVERY";
    CreatedAt = "created_at", "REGISTERED";
}

impl ValueEnum for Column {
    fn value_variants<'a>() -> &'a [Self] {
        Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

impl Column {
    /// What a list has unless it is told otherwise.
    pub(super) const USUAL: [Self; 5] =
        [Self::Id, Self::Name, Self::Status, Self::LicenseExpiresOn, Self::LastSeen];

    /// Whether it holds what people wrote, and may be cut.
    pub(super) fn is_text(self) -> bool {
        use Column::{ContactEmail, Features, LockReason, Name, Notes, OwnerName, Tags};
        matches!(self, Name | OwnerName | ContactEmail | LockReason | Tags | Features | Notes)
    }

    /// What stands in it of this site.
    pub(super) fn cell(self, site: &Value, now: Timestamp) -> String {
        let value = field(site, self.name());
        match self {
            Self::Id if value.is_null() => String::new(),
            Self::Id => format!("#{}", Shown::from(value)),
            Self::LastSeen => seen(site, now),
            Self::LicenseExpiresOn => expires_on(site),
            Self::Delivery => Shown::from(field(value, "state")).to_string(),
            _ => words(value),
        }
    }
}

/// A field of a document; null where it has none of this name.
pub(super) fn field<'a>(document: &'a Value, name: &str) -> &'a Value {
    document.get(name).unwrap_or(&Value::Null)
}

/// A list with blanks between, and whatever else in one line.
pub(super) fn words(value: &Value) -> String {
    match value {
        Value::Array(values) => {
            values.iter().map(|value| Shown::from(value).to_string()).collect::<Vec<_>>().join(" ")
        }
        value => Shown::from(value).to_string(),
    }
}

/// When the last heartbeat came.
fn seen(site: &Value, now: Timestamp) -> String {
    match field(site, "last_seen_at").as_str().map(str::parse) {
        None => "never".to_owned(),
        Some(Ok(time)) => from_now(time, now),
        Some(Err(_)) => words(field(site, "last_seen_at")),
    }
}

/// The last whole day of the licence; of a server that does not tell it, the
/// day on which it expires, in UTC.
fn expires_on(site: &Value) -> String {
    match field(site, "license_expires_on") {
        Value::Null => words(field(site, "license_expires_at")).chars().take(10).collect(),
        day => words(day),
    }
}

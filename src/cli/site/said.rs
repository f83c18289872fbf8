//! What `site add` and `site update` say of a site alike.

use clap::Args;
use serde_json::{Map, Value};

use crate::cli::values::{NONE, number_or_none};
use crate::domain::{GraceDays, OfflineHours};

// No doc comment: it would take the place of the verb's help.
#[derive(Debug, Args)]
pub(crate) struct Said {
    /// Where its days end, such as Europe/Rome; none: as configured
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Days for which its licence holds after its expiry, 0 to 90; none: as
    /// configured
    #[arg(long, value_name = "DAYS", value_parser = grace_days)]
    grace_days: Option<Value>,
    /// A tag to find it by; may be given up to 20 times, and takes the place
    /// of all that it has ('' alone: none)
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// What is to be remembered of it
    #[arg(long, value_name = "TEXT")]
    notes: Option<String>,
    /// What its licence switches on; may be given up to 50 times, and takes
    /// the place of all that it has ('' alone: none)
    #[arg(long = "feature", value_name = "CODE")]
    features: Vec<String>,
    /// Hours for which its leases last, 1 to 8760; none: as configured
    #[arg(long, value_name = "HOURS", value_parser = offline_hours)]
    offline_hours: Option<Value>,
    /// Allow an expiry that lies in the past, which stops the site
    #[arg(long)]
    allow_past: bool,
}

fn grace_days(text: &str) -> Result<Value, String> {
    number_or_none(text, (*GraceDays::RANGE.start()).into(), (*GraceDays::RANGE.end()).into())
}

fn offline_hours(text: &str) -> Result<Value, String> {
    number_or_none(text, *OfflineHours::RANGE.start(), *OfflineHours::RANGE.end())
}

impl Said {
    /// Puts what is said into the body of a request.
    pub(crate) fn write(&self, body: &mut Map<String, Value>) {
        let codes = |codes: &[String]| -> Option<Value> {
            let given = codes.iter().filter(|code| !code.is_empty());
            (!codes.is_empty()).then(|| given.cloned().map(Value::from).collect())
        };
        let zone = |zone: &String| if zone == NONE { Value::Null } else { Value::from(zone.as_str()) };
        let fields = [
            ("time_zone", self.time_zone.as_ref().map(zone)),
            ("grace_days", self.grace_days.clone()),
            ("tags", codes(&self.tags)),
            ("notes", self.notes.clone().map(Value::from)),
            ("features", codes(&self.features)),
            ("offline_hours", self.offline_hours.clone()),
            ("allow_past", self.allow_past.then_some(Value::Bool(true))),
        ];
        body.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
}

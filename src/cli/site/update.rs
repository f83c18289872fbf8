//! `sitewarden site update`

use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::bulk::Work;
use super::chosen::{Chosen, path, same_site};
use super::filter::WhereFilter;
use super::said::Said;
use crate::cli::client::{Shown, Target, needed};
use crate::cli::error::CommandError;
use crate::cli::screen::Ended;
use crate::cli::values::write_moment;
use crate::domain::Moment;
use crate::domain::licence::MAX_EXTEND_DAYS;

/// Change sites, or extend their licences
#[derive(Debug, Args)]
pub(crate) struct Update {
    #[command(flatten)]
    sites: Chosen<WhereFilter>,
    /// New name
    #[arg(long)]
    name: Option<String>,
    /// New owner
    #[arg(long)]
    owner: Option<String>,
    /// New address
    #[arg(long)]
    email: Option<String>,
    /// New last day of its licence, such as 2030-12-31, or a time at which it
    /// expires, such as 2030-12-31T00:00:00Z
    #[arg(long, value_name = "DATE|TIME", conflicts_with = "extend_days")]
    expires: Option<Moment>,
    /// Add days to the later of now and today's expiry
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_EXTEND_DAYS)))]
    extend_days: Option<u16>,
    /// Switch the site on or off
    #[arg(long, value_name = "BOOL")]
    active: Option<bool>,
    #[command(flatten)]
    said: Box<Said>,
}

#[derive(Deserialize)]
struct Updated {
    #[serde(deserialize_with = "needed")]
    license_expires_at: Shown,
}

impl Update {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let body = self.body();
        if body.as_object().is_none_or(Map::is_empty) {
            let words = "nothing to change: give --expires, --extend-days or another of what --help names";
            return Err(CommandError::Usage(words.to_owned()));
        }
        let client = target.client()?;
        let work = Work { op: "update", fields: body.clone(), question: "Change {}?", done: "updated" };
        self.sites.each(target, &client, &work, |id| {
            let answer = client.put(&path(id, ""), &body)?;
            let Updated { license_expires_at } = same_site(&answer, id)?;
            Ok((answer.body, format!("updated {id}: expires {license_expires_at}\n")))
        })
    }

    fn body(&self) -> Value {
        let fields = [
            ("name", self.name.clone().map(Value::from)),
            ("owner_name", self.owner.clone().map(Value::from)),
            ("contact_email", self.email.clone().map(Value::from)),
            ("extend_days", self.extend_days.map(Value::from)),
            ("is_active", self.active.map(Value::from)),
        ];
        let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut body = given.collect::<Map<_, _>>();
        write_moment(&mut body, self.expires, "license_expires_at", "license_expires_on");
        self.said.write(&mut body);
        Value::Object(body)
    }
}

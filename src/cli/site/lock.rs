//! `sitewarden site lock`

use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::bulk::Work;
use super::chosen::{Chosen, path, same_site};
use crate::cli::client::{Shown, Target};
use crate::cli::error::CommandError;
use crate::cli::screen::Ended;
use crate::cli::values::write_moment;
use crate::domain::Moment;

/// Lock sites: their next heartbeat says so, with the reason
#[derive(Debug, Args)]
pub(crate) struct Lock {
    #[command(flatten)]
    sites: Chosen,
    /// What the people at the sites are told
    #[arg(long)]
    reason: String,
    /// When it begins: at the end of a day, such as 2030-12-14, or at a time;
    /// left out: now
    #[arg(long, value_name = "DATE|TIME")]
    at: Option<Moment>,
    /// When it ends by itself: at the end of a day or at a time; left out:
    /// when somebody unlocks
    #[arg(long, value_name = "DATE|TIME")]
    until: Option<Moment>,
}

/// What has become of the lock, as the server tells of it.
#[derive(Deserialize)]
struct Locked {
    #[serde(default)]
    lock_until: Shown,
    #[serde(default)]
    scheduled_lock: Option<Scheduled>,
}

#[derive(Deserialize)]
struct Scheduled {
    #[serde(default)]
    at: Shown,
    #[serde(default)]
    until: Shown,
}

impl Lock {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let client = target.client()?;
        let mut body = Map::new();
        body.insert("reason".to_owned(), self.reason.as_str().into());
        write_moment(&mut body, self.at, "at", "at_on");
        write_moment(&mut body, self.until, "until", "until_on");
        let body = Value::Object(body);
        let work = Work { op: "lock", fields: body.clone(), question: "Lock {}?", done: "locked" };
        self.sites.each(target, &client, &work, |id| {
            let answer = client.post(&path(id, "/lock"), Some(&body))?;
            let Locked { lock_until, scheduled_lock } = same_site(&answer, id)?;
            let (begin, until) = match scheduled_lock {
                Some(Scheduled { at, until }) => (format!("will be locked at {at}: {id}"), until),
                None => (format!("locked {id}"), lock_until),
            };
            let end = if until.as_sent().is_empty() { String::new() } else { format!(", until {until}") };
            Ok((answer.body, format!("{begin}{end}\n")))
        })
    }
}

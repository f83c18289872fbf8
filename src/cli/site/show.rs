//! `sitewarden site show`
//!
//! In words, for a person who wants to know how a site stands; `--json` has the
//! fields as they are.

use clap::Args;
use serde_json::{Map, Value};

use super::chosen::{Named, path, same_site};
use super::column::{field, words};
use crate::cli::client::Target;
use crate::cli::error::CommandError;
use crate::cli::moment::{from_now, length};
use crate::cli::printable;
use crate::cli::screen::Ended;
use crate::clock::now;
use crate::domain::Timestamp;

/// Show sites in full
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    sites: Named,
}

impl Show {
    pub(crate) fn run(&self, target: &Target) -> Result<Ended, CommandError> {
        let client = target.client()?;
        self.sites.each(target, &client, |id| {
            let answer = client.get(&path(id, ""))?;
            let words = record(&same_site::<Map<String, Value>>(&answer, id)?, now());
            Ok((answer.body, words))
        })
    }
}

/// The fields that lines in words tell of; others, as a newer server has them,
/// follow as they are.
const TOLD: [&str; 31] = [
    "id",
    "site_id",
    "name",
    "owner_name",
    "contact_email",
    "is_active",
    "is_locked",
    "lock_reason",
    "locked_at",
    "lock_until",
    "scheduled_lock",
    "license_expires_at",
    "license_expires_on",
    "grace_days",
    "grace_ends_at",
    "created_at",
    "last_seen_at",
    "last_seen_ip",
    "last_version",
    "last_uptime_seconds",
    "last_key_used",
    "old_key_valid_until",
    "licensed",
    "status",
    "tags",
    "notes",
    "features",
    "time_zone",
    "offline_hours",
    "delivery",
    "secret_key",
];

/// A line for each thing that there is to say.
fn record(site: &Map<String, Value>, now: Timestamp) -> String {
    let document = Value::from(site.clone());
    let site = Site { document: &document, now };
    let mut lines: Vec<(String, String)> = [
        ("name", site.text("name")),
        ("number", format!("#{}", site.text("id"))),
        ("site_id", site.text("site_id")),
        ("owner", site.text("owner_name")),
        ("e-mail", site.text("contact_email")),
        ("status", site.status()),
        ("licence", site.licence()),
        ("grace", site.grace()),
        ("lock", site.lock()),
        ("last heartbeat", site.heartbeat()),
        ("last change", site.delivery()),
        ("key", site.key()),
        ("tags", site.text("tags")),
        ("features", site.text("features")),
        ("time zone", site.or_configured("time_zone", "")),
        ("offline", site.or_configured("offline_hours", " h")),
        ("registered", site.time("created_at")),
    ]
    .into_iter()
    .filter(|(_, words)| !words.is_empty())
    .map(|(name, words)| (name.to_owned(), words))
    .collect();
    let notes = field(&document, "notes").as_str().unwrap_or_default();
    for (place, line) in notes.lines().enumerate() {
        let head = if place == 0 { "notes" } else { "" };
        lines.push((head.to_owned(), line.to_owned()));
    }
    let further = document.as_object().into_iter().flatten();
    let further = further.filter(|(name, _)| !TOLD.contains(&name.as_str()));
    lines.extend(further.map(|(name, value)| (name.clone(), words(value))));
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, words): &(String, String)| {
        let line = format!("{:<width$}  {}", printable::line(name), printable::line(words));
        format!("{}\n", line.trim_end())
    };
    lines.iter().map(line).collect()
}

/// A site, seen from now.
struct Site<'a> {
    document: &'a Value,
    now: Timestamp,
}

impl Site<'_> {
    fn text(&self, name: &str) -> String {
        words(field(self.document, name))
    }

    fn is(&self, name: &str) -> bool {
        field(self.document, name) == &Value::Bool(true)
    }

    /// A time with how far it is away; nothing for null.
    fn time(&self, name: &str) -> String {
        self.time_in(self.document, name)
    }

    fn time_in(&self, document: &Value, name: &str) -> String {
        let text = words(field(document, name));
        match text.parse() {
            Ok(time) => format!("{text}, {}", from_now(time, self.now)),
            Err(_) => text,
        }
    }

    fn or_configured(&self, name: &str, unit: &str) -> String {
        match self.document.get(name) {
            None => String::new(),
            Some(Value::Null) => "as configured".to_owned(),
            Some(value) => format!("{}{unit}", words(value)),
        }
    }

    fn status(&self) -> String {
        match self.text("status").as_str() {
            "inactive" => "inactive: switched off".to_owned(),
            "never_seen" => "never seen: no heartbeat ever came".to_owned(),
            "silent" => "silent: no heartbeat for too long".to_owned(),
            status => status.to_owned(),
        }
    }

    fn licence(&self) -> String {
        let holds = if self.is("licensed") { "licensed" } else { "not licensed" };
        let day = match self.text("license_expires_on").as_str() {
            "" => String::new(),
            day => format!(" to the end of {day}"),
        };
        format!("{holds}; agreed{day} until {}", self.time("license_expires_at"))
    }

    fn grace(&self) -> String {
        match (self.or_configured("grace_days", " days").as_str(), self.time("grace_ends_at").as_str()) {
            (days, "") => days.to_owned(),
            (days, end) => format!("{days}; over {end}"),
        }
    }

    fn lock(&self) -> String {
        let scheduled = field(self.document, "scheduled_lock");
        let until = |end: String| if end.is_empty() { String::new() } else { format!(" until {end}") };
        if self.is("is_locked") {
            let since = match self.time("locked_at").as_str() {
                "" => String::new(),
                since => format!(" since {since}"),
            };
            return format!("locked{since}{}: {}", until(self.time("lock_until")), self.text("lock_reason"));
        }
        if scheduled.is_object() {
            let (at, end) = (self.time_in(scheduled, "at"), self.time_in(scheduled, "until"));
            return format!("to come at {at}{}: {}", until(end), words(field(scheduled, "reason")));
        }
        "none".to_owned()
    }

    fn heartbeat(&self) -> String {
        let seen = self.time("last_seen_at");
        if seen.is_empty() {
            return "never".to_owned();
        }
        let up = field(self.document, "last_uptime_seconds").as_i64().map(length).unwrap_or_default();
        format!(
            "{seen}, from {}, version {}, up for {up}",
            self.text("last_seen_ip"),
            self.text("last_version")
        )
    }

    fn delivery(&self) -> String {
        let delivery = field(self.document, "delivery");
        if !delivery.is_object() {
            return String::new();
        }
        let changed = self.time_in(delivery, "changed_at");
        let (answered, acknowledged) =
            (self.time_in(delivery, "answered_at"), self.time_in(delivery, "acknowledged_at"));
        let made = if changed.is_empty() { String::new() } else { format!(", made {changed}") };
        match words(field(delivery, "state")).as_str() {
            "pending" => format!("not told yet: no heartbeat came since{made}"),
            "answered" => format!("told {answered}{made}"),
            "acknowledged" => format!("applied by the site, as it said {acknowledged}{made}"),
            state => format!("{state}{made}"),
        }
    }

    fn key(&self) -> String {
        let used = match self.text("last_key_used").as_str() {
            "" => String::new(),
            key => format!("the last heartbeat used the {key} one"),
        };
        let old = match self.time("old_key_valid_until").as_str() {
            "" => String::new(),
            until => format!("the one before works until {until}"),
        };
        [used, old].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(document: Value) -> String {
        record(document.as_object().unwrap(), "2030-01-15T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_site_is_told_in_words_and_what_is_new_as_it_is() {
        let text = shown(json!({
            "id": 7, "name": "Da Mario", "status": "silent", "licensed": true,
            "license_expires_at": "2030-12-31T23:00:00Z", "license_expires_on": "2030-12-31",
            "grace_days": 14, "grace_ends_at": "2031-01-14T23:00:00Z", "is_locked": false,
            "scheduled_lock": { "reason": "unpaid", "at": "2030-01-16T12:00:00Z", "until": null },
            "last_seen_at": "2030-01-14T12:00:00Z", "last_seen_ip": "192.0.2.1", "last_version": "2.4",
            "last_uptime_seconds": 90, "tags": ["south", "vip"], "notes": "pays late\n\u{1b}[31mask Anna",
            "delivery": { "state": "pending", "changed_at": "2030-01-15T11:00:00Z" }, "newer": [1, "x"],
        }));
        assert_eq!(
            text,
            "name            Da Mario\n\
             number          #7\n\
             status          silent: no heartbeat for too long\n\
             licence         licensed; agreed to the end of 2030-12-31 until 2030-12-31T23:00:00Z, in 350 d\n\
             grace           14 days; over 2031-01-14T23:00:00Z, in 364 d\n\
             lock            to come at 2030-01-16T12:00:00Z, in 24 h: unpaid\n\
             last heartbeat  2030-01-14T12:00:00Z, 24 h ago, from 192.0.2.1, version 2.4, up for 1 min\n\
             last change     not told yet: no heartbeat came since, made 2030-01-15T11:00:00Z, 1 h ago\n\
             tags            south vip\n\
             notes           pays late\n\
             \x20                [31mask Anna\n\
             newer           1 x\n"
        );
    }

    #[test]
    fn a_lock_is_told_with_its_window() {
        let text = shown(json!({
            "is_locked": true, "lock_reason": "unpaid", "locked_at": "2030-01-15T11:00:00Z",
            "lock_until": "2030-01-20T12:00:00Z", "last_seen_at": null,
        }));
        assert!(
            text.contains(
                "locked since 2030-01-15T11:00:00Z, 1 h ago until 2030-01-20T12:00:00Z, in 5 d: unpaid\n"
            ),
            "{text}"
        );
        assert!(text.contains("last heartbeat  never\n"), "{text}");
    }
}

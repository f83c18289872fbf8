//! `sitewarden statistics`

use serde::Deserialize;
use serde_json::Value;

use super::bars::bars;
use super::client::{Shown, Target};
use super::error::CommandError;
use super::screen::{Ended, print_as_it_is, print_json};
use super::table::Table;

/// The days whose heartbeats have lines of their own.
const LINES: usize = 7;

#[derive(Deserialize)]
struct StatisticsDocument {
    sites: u64,
    by_status: serde_json::Map<String, Value>,
    by_version: FrequenciesDocument,
    by_owner: FrequenciesDocument,
    by_tag: FrequenciesDocument,
    expiring: serde_json::Map<String, Value>,
    heartbeats: Vec<DayDocument>,
}

#[derive(Deserialize)]
struct FrequenciesDocument {
    values: Vec<ValueDocument>,
    other: u64,
    none: u64,
}

#[derive(Deserialize)]
struct ValueDocument {
    value: Shown,
    sites: Shown,
}

#[derive(Deserialize)]
struct DayDocument {
    date: Shown,
    heartbeats: u64,
}

/// Counts the sites and shows how many there are of what.
pub(super) fn run(target: &Target) -> Ended {
    show(target).unwrap_or_else(|error| error.tell())
}

fn show(target: &Target) -> Result<Ended, CommandError> {
    let answer = target.client()?.get("/api/statistics")?;
    let statistics: StatisticsDocument = answer.read()?;
    if target.json {
        return Ok(print_json(&answer.body));
    }
    Ok(print_as_it_is(&words(&statistics)))
}

fn words(statistics: &StatisticsDocument) -> String {
    let counts = |head, counts: &serde_json::Map<String, Value>| {
        let mut table = Table::new([head, "SITES"]);
        for (name, count) in counts {
            table.row([name.replace('_', " "), Shown::from(count).to_string()]);
        }
        table
    };
    let mut status = counts("STATUS", &statistics.by_status);
    status.row(["all".to_owned(), statistics.sites.to_string()]);
    let mut parts = vec![status.text(), counts("LICENCE ENDS", &statistics.expiring).text()];
    for (head, frequencies) in
        [("VERSION", &statistics.by_version), ("OWNER", &statistics.by_owner), ("TAG", &statistics.by_tag)]
    {
        parts.push(frequent(head, frequencies));
    }
    if let Some(last) = statistics.heartbeats.last() {
        let mut table = Table::new(["DAY", "HEARTBEATS"]);
        let before = statistics.heartbeats.len().saturating_sub(LINES);
        for day in statistics.heartbeats.iter().skip(before) {
            table.row([day.date.to_string(), day.heartbeats.to_string()]);
        }
        let heartbeats: Vec<u64> = statistics.heartbeats.iter().map(|day| day.heartbeats).collect();
        parts.push(format!("{}\n{}\n90 days to {}\n", table.text(), bars(&heartbeats), last.date));
    }
    parts.join("\n")
}

fn frequent(head: &'static str, frequencies: &FrequenciesDocument) -> String {
    let mut table = Table::new([head, "SITES"]).cutting(vec![0]);
    for ValueDocument { value, sites } in &frequencies.values {
        table.row([value.to_string(), sites.to_string()]);
    }
    if frequencies.other > 0 {
        table.row(["(others)".to_owned(), frequencies.other.to_string()]);
    }
    table.row(["(none)".to_owned(), frequencies.none.to_string()]);
    table.text()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_counted_is_told_in_tables() {
        let frequencies = json!({ "values": [{ "value": "2.4.1", "sites": 2 }], "other": 1, "none": 3 });
        let statistics = serde_json::from_value(json!({
            "sites": 6, "by_status": { "online": 2, "never_seen": 4 }, "expiring": { "within_7_days": 1 },
            "by_version": frequencies, "by_owner": { "values": [], "other": 0, "none": 6 },
            "by_tag": { "values": [], "other": 0, "none": 6 },
            "heartbeats": [{ "date": "2030-01-01", "heartbeats": 8 }],
        }));
        assert_eq!(
            words(&statistics.unwrap()),
            format!(
                "STATUS      SITES\nonline      2\nnever seen  4\nall         6\n\n\
                 LICENCE ENDS   SITES\nwithin 7 days  1\n\n\
                 VERSION   SITES\n2.4.1     2\n(others)  1\n(none)    3\n\n\
                 OWNER   SITES\n(none)  6\n\nTAG     SITES\n(none)  6\n\n\
                 DAY         HEARTBEATS\n2030-01-01  8\n\n{}█\n90 days to 2030-01-01\n",
                " ".repeat(89)
            )
        );
    }
}

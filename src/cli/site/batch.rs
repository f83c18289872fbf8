//! Many changes, sent in parts that the server takes, with their progress.

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cli::client::{Client, Problem, Shown};
use crate::cli::error::CommandError;
use crate::cli::progress;

/// Bytes of items in one request: well within the 64 KiB that a server takes
/// unless configured otherwise.
const PART_BYTES: usize = 48 << 10;
/// Items in one request: few enough that progress is seen.
const PART_ITEMS: usize = 100;

/// What became of an item.
#[derive(Deserialize)]
pub(crate) struct ItemResult {
    /// The site as it is now, as the server says; `None`: it was not done.
    pub(crate) site: Option<Value>,
    /// The key of a site that was registered.
    #[serde(default)]
    pub(crate) secret_key: Shown,
    #[serde(flatten)]
    problem: Problem,
}

impl ItemResult {
    /// Why it was not done.
    pub(crate) fn reason(&self) -> String {
        self.problem.reason().unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct Results {
    results: Vec<ItemResult>,
}

/// Sends `items` part by part and hands each part's results, with the place
/// of its first item, to `on_part`. A part whose answer was lost is sent once
/// more: its `Idempotency-Key` keeps it from being done twice.
///
/// # Errors
/// The first failure; the parts before it are done.
pub(crate) fn send(
    client: &Client,
    items: &[Value],
    what: &str,
    mut on_part: impl FnMut(usize, &[ItemResult]) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let mut sent = 0;
    for part in parts(items) {
        progress::show_bar(what, sent, items.len());
        let body = json!({ "items": part });
        let key = Uuid::new_v4().to_string();
        let call = || client.post_once("/api/sites/batch", &body, &key);
        let answer = match call() {
            Err(CommandError::Client(_)) => call(),
            answer => answer,
        };
        progress::clear_bar();
        on_part(sent, &answer?.read::<Results>()?.results)?;
        sent += part.len();
    }
    Ok(())
}

fn parts(items: &[Value]) -> Vec<&[Value]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (place, item) in items.iter().enumerate() {
        let length = item.to_string().len() + 1;
        if place > start && (bytes + length > PART_BYTES || place - start == PART_ITEMS) {
            parts.extend(items.get(start..place));
            (start, bytes) = (place, 0);
        }
        bytes += length;
    }
    parts.extend(items.get(start..).filter(|rest| !rest.is_empty()));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_bounded_in_items_and_bytes_and_hold_every_item() {
        let small = vec![json!(1); 2 * PART_ITEMS + 1];
        assert_eq!(parts(&small).iter().map(|part| part.len()).collect::<Vec<_>>(), [100, 100, 1]);
        let large = vec![json!("x".repeat(PART_BYTES / 2)); 3];
        assert_eq!(parts(&large).iter().map(|part| part.len()).collect::<Vec<_>>(), [1, 1, 1]);
        assert!(parts(&[]).is_empty());
    }
}

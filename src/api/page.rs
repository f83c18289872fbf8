//! Lists a page at a time: how many, from where, and where to go on.

use std::str::FromStr;

use poem_openapi::registry::MetaSchema;
use serde_json::json;

use super::wire::Parameter;

/// Most records on one page.
const MAX_PAGE: u16 = 1000;
/// Records on a page when the caller does not say.
const DEFAULT_PAGE: usize = 100;

/// The `limit` parameter.
#[derive(Debug, Clone, Copy)]
pub struct PageLimit(pub usize);

impl Default for PageLimit {
    fn default() -> Self {
        Self(DEFAULT_PAGE)
    }
}

impl FromStr for PageLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(limit @ 1..=MAX_PAGE) => Ok(Self(limit.into())),
            _ => Err(format!("must be a whole number from 1 to {MAX_PAGE}")),
        }
    }
}

impl Parameter for PageLimit {
    fn schema() -> MetaSchema {
        MetaSchema {
            minimum: Some(1.0),
            maximum: Some(MAX_PAGE.into()),
            default: Some(json!(DEFAULT_PAGE)),
            ..MetaSchema::new_with_format("integer", "int32")
        }
    }
}

/// The `after` parameter.
#[derive(Debug, Clone, Copy)]
pub struct Cursor(pub u64);

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // One beyond the greatest id there can be leads to an empty page.
        is_number
            .then(|| Self(text.parse().unwrap_or(u64::MAX)))
            .ok_or("must be the id of the last record of the page before")
    }
}

impl Parameter for Cursor {
    fn schema() -> MetaSchema {
        MetaSchema { minimum: Some(0.0), ..MetaSchema::new("integer") }
    }
}

/// The `Link` header (RFC 8288) to the page after the record with id `after`,
/// with the same filter.
pub fn next_link(path: &str, mut query: Vec<(&str, String)>, limit: PageLimit, after: u64) -> String {
    query.push(("limit", limit.0.to_string()));
    query.push(("after", after.to_string()));
    format!("<{path}?{}>; rel=\"next\"", serde_urlencoded::to_string(query).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_any_whole_number() {
        let read = |text: &str| text.parse().ok().map(|Cursor(after)| after);
        assert_eq!(read("7"), Some(7));
        assert_eq!(read("18446744073709551616"), Some(u64::MAX));
        for bad in ["", "-1", "+1", "1.0", "one"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_next_page_keeps_the_filter() {
        let query = vec![("status", "never_seen".to_owned()), ("q", "a b&c".to_owned())];
        assert_eq!(
            next_link("/api/sites", query, PageLimit(10), 3),
            "</api/sites?status=never_seen&q=a+b%26c&limit=10&after=3>; rel=\"next\""
        );
    }
}

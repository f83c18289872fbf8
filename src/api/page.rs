//! Lists a page at a time: how many, from where, and where to go on.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem_openapi::registry::MetaSchema;
use serde_json::json;

use super::wire::Parameter;
use crate::domain::{Position, SiteOrder, SortField, SortKey, Timestamp};

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

/// The `after` parameter of a list that has several orders, before it is known
/// which one is asked for.
#[derive(Debug, Clone)]
pub struct SiteCursor(String);

/// Most characters of a cursor: a name of 200 characters that are as long as
/// they can be, and what stands around it.
const MAX_CURSOR: usize = 4096;
/// What is said of a cursor that no page gave.
const NO_CURSOR: &str =
    "must be what the Link header of the page before says: leave it out to begin at the first page";
/// What is said of a cursor that another list gave.
const OTHER_ORDER: &str =
    "belongs to a list in another order: keep sort as it was, or leave after out to begin at the first page";

impl FromStr for SiteCursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if (1..=MAX_CURSOR).contains(&text.len()) { Ok(Self(text.to_owned())) } else { Err(NO_CURSOR) }
    }
}

impl Parameter for SiteCursor {
    fn schema() -> MetaSchema {
        MetaSchema { min_length: Some(1), max_length: Some(MAX_CURSOR), ..MetaSchema::new("string") }
    }
}

impl SiteCursor {
    /// The cursor to the page after `position`. In the order of numbers, as they
    /// were given, it is the number; in any other it means nothing to anybody
    /// else.
    pub fn of(position: &Position) -> Self {
        if position.order == SiteOrder::default() {
            return Self(position.id.to_string());
        }
        let key = match &position.key {
            SortKey::Number | SortKey::Never => String::new(),
            SortKey::Text(text) => text.clone(),
            SortKey::Time(time) => time.unix().to_string(),
        };
        Self(URL_SAFE_NO_PAD.encode(format!("{}\n{}\n{key}", position.order, position.id)))
    }

    /// The position in `order` that it names.
    ///
    /// # Errors
    /// What is to be said of it, when it names none or one in another order.
    pub fn read(&self, order: SiteOrder) -> Result<Position, &'static str> {
        if let Ok(Cursor(id)) = self.0.parse() {
            let is_that_order = order == SiteOrder::default();
            return if is_that_order { Ok(Position::of_number(id, order)) } else { Err(OTHER_ORDER) };
        }
        let bytes = URL_SAFE_NO_PAD.decode(&self.0).map_err(|_| NO_CURSOR)?;
        let text = String::from_utf8(bytes).map_err(|_| NO_CURSOR)?;
        let mut parts = text.splitn(3, '\n');
        let mut part = || parts.next().ok_or(NO_CURSOR);
        let (of, id, key) = (part()?, part()?, part()?);
        let of: SiteOrder = of.parse().map_err(|_| NO_CURSOR)?;
        if of != order {
            return Err(OTHER_ORDER);
        }
        let time = || key.parse().ok().and_then(Timestamp::from_unix).map(SortKey::Time);
        let key = match order.field {
            SortField::Id => key.is_empty().then_some(SortKey::Number),
            SortField::Name | SortField::OwnerName => Some(SortKey::Text(key.to_owned())),
            SortField::LastSeenAt if key.is_empty() => Some(SortKey::Never),
            SortField::LicenseExpiresAt | SortField::LastSeenAt => time(),
        };
        Ok(Position { order, key: key.ok_or(NO_CURSOR)?, id: id.parse().map_err(|_| NO_CURSOR)? })
    }
}

impl std::fmt::Display for SiteCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The `Link` header (RFC 8288) to the page after the record with the cursor
/// `after`, with the same filter.
pub fn next_link(
    path: &str,
    mut query: Vec<(&str, String)>,
    limit: PageLimit,
    after: impl ToString,
) -> String {
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
    fn a_place_is_read_as_it_was_written_and_in_no_other_order() {
        let time = || SortKey::Time(Timestamp::from_unix(-5).unwrap());
        let text = |text: &str| SortKey::Text(text.to_owned());
        let positions = [
            ("id", SortKey::Number),
            ("-id", SortKey::Number),
            ("name", text("löwe\nund bär")),
            ("-name", text("")),
            ("owner_name", text("")),
            ("license_expires_at", time()),
            ("last_seen_at", time()),
            ("-last_seen_at", SortKey::Never),
        ];
        for (order, key) in &positions {
            let position = Position { order: order.parse().unwrap(), key: key.clone(), id: 7 };
            let cursor: SiteCursor = SiteCursor::of(&position).to_string().parse().unwrap();
            for (other, _) in &positions {
                let read = cursor.read(other.parse().unwrap());
                let expected = if other == order { Ok(position.clone()) } else { Err(OTHER_ORDER) };
                assert_eq!(read, expected, "{cursor} of {order} for {other}");
            }
        }
        assert_eq!(SiteCursor::of(&Position::of_number(7, SiteOrder::default())).to_string(), "7");
    }

    #[test]
    fn what_no_page_gave_is_no_cursor() {
        let given = |text: &str| URL_SAFE_NO_PAD.encode(text);
        for bad in [
            "x y".to_owned(),
            "-1".to_owned(),
            given("name"),
            given("name\n7"),
            given("status\n7\n"),
            given("name\n-7\nx"),
            given("last_seen_at\n7\nsoon"),
            given("license_expires_at\n7\n"),
            URL_SAFE_NO_PAD.encode([0xff, 0xfe]),
        ] {
            let orders = ["name", "last_seen_at", "license_expires_at"].map(|order| order.parse().unwrap());
            let refused = |order| bad.parse::<SiteCursor>().unwrap().read(order).is_err();
            assert!(orders.into_iter().all(refused), "{bad}");
        }
        assert!("".parse::<SiteCursor>().is_err() && "x".repeat(4097).parse::<SiteCursor>().is_err());
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

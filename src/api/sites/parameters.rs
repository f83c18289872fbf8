//! What stands beside a body in requests about sites: filters, and the
//! revision that a change expects.

use std::str::FromStr;

use poem_openapi::registry::MetaSchema;
use serde_json::json;

use crate::api::etag::Tags;
use crate::api::wire::Parameter;
use crate::domain::SiteStatus;
use crate::domain::site::RevisionCheck;
use crate::domain::text::composed;

/// Most characters that are searched for.
const MAX_SEARCH: usize = 200;

/// The `status` parameter.
pub(super) struct StatusFilter(pub(super) SiteStatus);

impl FromStr for StatusFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = SiteStatus::ALL.into_iter().find(|status| status.as_str() == text);
        known
            .map(Self)
            .ok_or_else(|| format!("must be one of {}", SiteStatus::ALL.map(SiteStatus::as_str).join(", ")))
    }
}

impl Parameter for StatusFilter {
    fn schema() -> MetaSchema {
        let enum_items = SiteStatus::ALL.into_iter().map(|status| json!(status.as_str())).collect();
        MetaSchema { enum_items, ..MetaSchema::new("string") }
    }
}

/// The `q` parameter.
pub(super) struct SearchText(pub(super) String);

impl FromStr for SearchText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match composed(text.trim()) {
            text if text.chars().count() <= MAX_SEARCH => Ok(Self(text.into_owned())),
            _ => Err(format!("must be at most {MAX_SEARCH} characters")),
        }
    }
}

impl Parameter for SearchText {
    fn schema() -> MetaSchema {
        MetaSchema { max_length: Some(MAX_SEARCH), ..MetaSchema::new("string") }
    }
}

/// What is said of an `If-Match` that is none.
const NO_TAG: &str = "must be an ETag in double quotes, or *";

/// The `If-Match` header.
pub(super) struct Revisions(pub(super) RevisionCheck);

impl FromStr for Revisions {
    type Err = &'static str;

    /// Parses a list of entity tags or `*` (RFC 9110, section 13.1.1). A tag
    /// that is none of ours matches nothing; weak ones never match.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Tags::read(text).ok_or(NO_TAG)? {
            Tags::Any => Ok(Self(RevisionCheck::Any)),
            Tags::These(tags) => {
                let strong = tags.iter().filter(|tag| !tag.is_weak);
                let revisions = strong.filter_map(|tag| tag.opaque.parse().ok());
                Ok(Self(RevisionCheck::OneOf(revisions.collect())))
            }
        }
    }
}

impl Parameter for Revisions {
    fn schema() -> MetaSchema {
        let pattern = Some(r#"^(\*|[, \t]*(W/)?"[^"]*"([ \t]*,[, \t]*(W/)?"[^"]*")*[, \t]*)$"#.to_owned());
        MetaSchema { pattern, ..MetaSchema::new("string") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_takes_lists_and_star_and_compares_strongly() {
        let allows = |text: &str, revision| text.parse::<Revisions>().map(|r| r.0.allows(revision));
        assert_eq!(allows("*", 7), Ok(true));
        assert_eq!(allows("\"7\"", 7), Ok(true));
        assert_eq!(allows("\"6\", \"7\"", 7), Ok(true));
        assert_eq!(allows("\"6\"", 7), Ok(false));
        assert_eq!(allows("W/\"7\"", 7), Ok(false));
        assert_eq!(allows("\"other\"", 7), Ok(false));
        assert_eq!(allows("\",6\" ,W/\"\",\"7\"", 7), Ok(true));
        assert_eq!(allows(",, \"6\",,\"7\" ,", 7), Ok(true));
        for bad in ["", ",", "7", "\"7", "\"7\" \"8\"", "\"7\"8"] {
            assert_eq!(allows(bad, 7), Err(NO_TAG), "{bad}");
        }
    }
}

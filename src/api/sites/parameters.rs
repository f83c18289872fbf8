//! What stands beside a body in requests about sites: filters, and the
//! revision that a change expects.

use std::str::FromStr;

use poem_openapi::registry::MetaSchema;
use serde_json::json;

use crate::api::etag;
use crate::api::wire::Parameter;
use crate::domain::codes::{CodesError, MAX_LENGTH};
use crate::domain::filter::FoldedText;
use crate::domain::site::RevisionCheck;
use crate::domain::{
    AppVersion, DeliveryState, SiteFilter, SiteOrder, SiteStatus, SortField, Tags, Timestamp,
};

/// A word of a list that is known.
trait Word: Copy + Send + Sync + 'static {
    const ALL: &'static [Self];

    fn word(self) -> &'static str;
}

impl Word for SiteStatus {
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Word for DeliveryState {
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// One or several known words, with commas between them.
pub(in crate::api) struct OneOf<W>(pub(in crate::api) Vec<W>);

impl<W: Word> FromStr for OneOf<W> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = |word: &str| W::ALL.iter().find(|known| known.word() == word.trim()).copied();
        let words: Option<Vec<W>> = text.split(',').map(known).collect();
        words.map(Self).ok_or_else(|| {
            let names: Vec<&str> = W::ALL.iter().map(|known| known.word()).collect();
            format!("must be one of {}, or several with commas between them", names.join(", "))
        })
    }
}

impl<W: Word> Parameter for OneOf<W> {
    fn schema() -> MetaSchema {
        let names: Vec<&str> = W::ALL.iter().map(|known| known.word()).collect();
        let one = format!("({})", names.join("|"));
        MetaSchema { pattern: Some(format!("^ *{one} *(, *{one} *)*$")), ..MetaSchema::new("string") }
    }
}

impl Parameter for FoldedText {
    fn schema() -> MetaSchema {
        MetaSchema { max_length: Some(Self::MAX), ..MetaSchema::new("string") }
    }
}

/// Tags, with commas between them.
pub(in crate::api) struct TagList(pub(in crate::api) Tags);

impl FromStr for TagList {
    type Err = CodesError;

    fn from_str(text: &str) -> Result<Self, CodesError> {
        Tags::of(text.split(',')).map(Self)
    }
}

impl Parameter for TagList {
    fn schema() -> MetaSchema {
        let tag = format!("[a-z0-9._:-]{{1,{MAX_LENGTH}}}");
        let pattern = Some(format!("^ *{tag} *(, *{tag} *){{0,{}}}$", Tags::MOST - 1));
        MetaSchema { pattern, ..MetaSchema::new("string") }
    }
}

impl Parameter for AppVersion {
    fn schema() -> MetaSchema {
        MetaSchema { min_length: Some(Self::MIN), max_length: Some(Self::MAX), ..MetaSchema::new("string") }
    }
}

impl Parameter for SiteOrder {
    fn schema() -> MetaSchema {
        let names = SortField::ALL.map(SortField::as_str);
        let turned = names.map(|name| format!("-{name}"));
        let enum_items = names.into_iter().map(str::to_owned).chain(turned).map(|name| json!(name)).collect();
        MetaSchema { enum_items, default: Some(json!("id")), ..MetaSchema::new("string") }
    }
}

/// The filter as it stands in the query of a link.
pub(super) fn query_of(filter: &SiteFilter) -> Vec<(&'static str, String)> {
    let words = |words: Vec<&str>| Some(words.join(",")).filter(|words| !words.is_empty());
    let text = |text: &Option<FoldedText>| text.as_ref().map(|text| text.as_str().to_owned());
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let parameters = [
        ("status", words(filter.statuses.iter().map(|status| status.as_str()).collect())),
        ("q", text(&filter.text)),
        ("owner", text(&filter.owner)),
        ("tag", words(filter.tags.iter().collect())),
        ("expires_before", time(filter.expires_before)),
        ("expires_after", time(filter.expires_after)),
        ("seen_before", time(filter.seen_before)),
        ("version", filter.version.as_ref().map(|version| version.as_str().to_owned())),
        ("delivery", words(filter.deliveries.iter().map(|state| state.as_str()).collect())),
    ];
    parameters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
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
        match etag::Tags::read(text).ok_or(NO_TAG)? {
            etag::Tags::Any => Ok(Self(RevisionCheck::Any)),
            etag::Tags::These(tags) => {
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

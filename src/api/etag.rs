//! Entity tags, as conditions name them (RFC 9110, section 8.8.3).

/// What stands between the members of a list; empty members count for nothing
/// (RFC 9110, section 5.6.1.2).
const BETWEEN: [char; 3] = [',', ' ', '\t'];

/// The tags of an `If-Match` or `If-None-Match`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tags<'a> {
    /// `*`: whatever there is.
    Any,
    /// These.
    These(Vec<Tag<'a>>),
}

/// An entity tag.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// Whether it vouches for the meaning only, not for the bytes.
    pub(super) is_weak: bool,
    /// What stands between the quotes.
    pub(super) opaque: &'a str,
}

impl<'a> Tags<'a> {
    /// Reads the value of the header; `None` when it is no list of tags.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let text = text.trim();
        if text == "*" {
            return Some(Self::Any);
        }
        let mut tags = Vec::new();
        let mut rest = text.trim_start_matches(BETWEEN);
        loop {
            let strong = rest.strip_prefix("W/").unwrap_or(rest);
            // A comma may stand in a tag (section 8.8.3).
            let (opaque, after) = strong.strip_prefix('"').and_then(|inner| inner.split_once('"'))?;
            tags.push(Tag { is_weak: strong.len() != rest.len(), opaque });
            rest = after.trim_start_matches(BETWEEN);
            if rest.is_empty() {
                return Some(Self::These(tags));
            }
            if !after.trim_start().starts_with(',') {
                return None;
            }
        }
    }

    /// Whether one of them is `opaque`, weak or strong (section 8.8.3.2).
    pub(super) fn weakly_match(&self, opaque: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|tag| tag.opaque == opaque),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_stars_and_weak_tags_are_read() {
        let tag = |is_weak, opaque| Tag { is_weak, opaque };
        assert_eq!(Tags::read(" * "), Some(Tags::Any));
        assert_eq!(Tags::read("\"a\""), Some(Tags::These(vec![tag(false, "a")])));
        let list = Tags::read(",W/\"a,b\",, \"\" ,").unwrap();
        assert_eq!(list, Tags::These(vec![tag(true, "a,b"), tag(false, "")]));
        assert!(list.weakly_match("a,b") && list.weakly_match("") && !list.weakly_match("a"));
        for bad in ["", ",", "a", "\"a", "\"a\" \"b\"", "w/\"a\"", "*, \"a\""] {
            assert_eq!(Tags::read(bad), None, "{bad}");
        }
    }
}

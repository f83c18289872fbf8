//! Paths of the API with names of users in them.

/// A path segment that stands for `text` (RFC 3986, section 3.3).
pub(super) fn segment(text: &str) -> String {
    let mut segment = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

/// `path` with those of `parameters` that have a value as its query.
pub(super) fn with_query(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let given: Vec<(&str, &String)> =
        parameters.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?))).collect();
    if given.is_empty() {
        return path.to_owned();
    }
    format!("{path}?{}", serde_urlencoded::to_string(given).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_segment() {
        assert_eq!(segment("a b/../é?"), "a%20b%2F..%2F%C3%A9%3F");
        assert_eq!(with_query("/x", &[("q", Some("a&b".into())), ("status", None)]), "/x?q=a%26b");
        assert_eq!(with_query("/x", &[("q", None)]), "/x");
    }
}

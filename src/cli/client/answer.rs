//! What a server says, and what commands read of it.
//!
//! A command reads the fields that it has a use for, into a type of its own.
//! Those that it does not know are passed over, so that a newer server is
//! understood, and one that is only shown may be missing. With `--json`
//! everything that the server said is printed, unknown fields too.

use std::fmt;

use hyper::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::Value;

use crate::cli::error::{CommandError, Refusal};
use crate::cli::printable;

/// An answer, whatever its status.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The body; null when there is none, or none that is JSON.
    pub(crate) body: Value,
    pub(super) headers: HeaderMap,
}

impl Answer {
    pub(super) fn new(status: StatusCode, headers: HeaderMap, body: &[u8]) -> Self {
        Self { status, headers, body: serde_json::from_slice(body).unwrap_or_default() }
    }

    /// The body as a document.
    ///
    /// # Errors
    /// Where it is none: what answered is no sitewarden.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, CommandError> {
        read(&self.body)
    }

    /// What is wrong, where the server says so.
    pub(crate) fn problem(&self) -> Problem {
        Problem::of(&self.body)
    }

    /// How many records there are in all, of which this is a page.
    pub(crate) fn total(&self) -> Option<usize> {
        self.headers.get("X-Total-Count")?.to_str().ok()?.parse().ok()
    }

    /// The path of the next page (RFC 8288), where there is more.
    pub(crate) fn next_page(&self) -> Option<String> {
        let link = self.headers.get(header::LINK)?.to_str().ok()?;
        let (target, _) = link.strip_prefix('<')?.split_once('>')?;
        Some(target.to_owned())
    }
}

/// A document, out of what a server said.
///
/// # Errors
/// Where it is none: what answered is no sitewarden.
pub(crate) fn read<T: DeserializeOwned>(said: &Value) -> Result<T, CommandError> {
    T::deserialize(said).map_err(|_| {
        let words = "the answer is not one that this sitewarden understands: check what answers there, and its \
                     version";
        CommandError::Failed(words.to_owned())
    })
}

/// A value that is only shown: text as it is, nothing for null, numbers and
/// truths as JSON writes them. Shown, it is one line that commands no
/// terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shown(String);

impl Shown {
    /// The value as it was sent, for comparing and for files.
    pub(crate) fn as_sent(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&printable::line(&self.0))
    }
}

impl From<&Value> for Shown {
    fn from(value: &Value) -> Self {
        Self(match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            value => value.to_string(),
        })
    }
}

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(&Value::deserialize(deserializer)?))
    }
}

/// What is wrong, as a server tells it (RFC 9457).
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Problem {
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    errors: Option<Vec<FieldError>>,
}

/// What is wrong with a field of the request.
#[derive(Debug, Deserialize)]
struct FieldError {
    field: Shown,
    message: Shown,
}

impl Problem {
    /// The whole, without its fields.
    pub(crate) fn detail(self) -> Option<String> {
        self.detail
    }

    /// That of an answer; an empty one where it is no problem document.
    fn of(body: &Value) -> Self {
        Self::deserialize(body).unwrap_or_default()
    }

    /// In one line, where there are any words: the fields, or else the whole.
    pub(crate) fn reason(&self) -> Option<String> {
        let fields: Vec<String> = self
            .errors
            .iter()
            .flatten()
            .map(|error| format!("{} {}", error.field.as_sent(), error.message.as_sent()))
            .collect();
        if fields.is_empty() { self.detail.clone() } else { Some(fields.join("; ")) }
    }
}

/// The error that a refusal is.
pub(super) fn refused(status: StatusCode, body: &Value, by_token: bool) -> CommandError {
    let refusal = match status {
        StatusCode::UNAUTHORIZED => Refusal::Caller,
        StatusCode::NOT_FOUND => Refusal::Missing,
        StatusCode::SERVICE_UNAVAILABLE => Refusal::Unavailable,
        _ => Refusal::Request,
    };
    let reason = if refusal == Refusal::Caller && by_token {
        "the login has expired or is not valid any more: run sitewarden login again".to_owned()
    } else {
        Problem::of(body).reason().unwrap_or_else(|| format!("the server answered {status}"))
    };
    CommandError::Refused { reason, refusal }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(status: u16, body: &Value, by_token: bool) -> (String, Refusal) {
        match refused(StatusCode::from_u16(status).unwrap(), body, by_token) {
            CommandError::Refused { reason, refusal } => (reason, refusal),
            error => panic!("{error:?}"),
        }
    }

    #[test]
    fn a_refusal_is_told_by_its_fields_or_its_detail_or_its_status() {
        let fields =
            json!([{ "field": "name", "message": "is long" }, { "field": "q", "message": "is not" }]);
        let both = json!({ "detail": "some fields", "errors": fields });
        assert_eq!(told(422, &both, true), ("name is long; q is not".to_owned(), Refusal::Request));
        let detail = json!({ "detail": "not now", "errors": null, "instance": 7 });
        assert_eq!(told(503, &detail, true), ("not now".to_owned(), Refusal::Unavailable));
        assert_eq!(told(404, &json!("nginx"), false).0, "the server answered 404 Not Found");
        assert_eq!(told(401, &detail, false), ("not now".to_owned(), Refusal::Caller));
        assert!(told(401, &detail, true).0.contains("run sitewarden login again"));
    }

    #[test]
    fn what_is_only_shown_is_one_line_and_kept_as_it_was_sent() {
        let shown = |value: Value| read::<Shown>(&value).unwrap();
        let hostile = shown(json!("a\u{1b}[31m\nb"));
        assert_eq!((hostile.to_string(), hostile.as_sent()), ("a [31m b".to_owned(), "a\u{1b}[31m\nb"));
        for (value, text) in [(json!(null), ""), (json!(7), "7"), (json!(true), "true"), (json!(""), "")] {
            assert_eq!(shown(value).as_sent(), text);
        }
    }

    #[test]
    fn the_next_page_and_the_total_are_read_where_the_server_tells_them() {
        let mut headers = HeaderMap::new();
        headers.insert("X-Total-Count", "1500".parse().unwrap());
        headers.insert(header::LINK, "</api/sites?after=1>; rel=\"next\"".parse().unwrap());
        let answer = Answer::new(StatusCode::OK, headers, b"[]");
        assert_eq!((answer.total(), answer.next_page()), (Some(1500), Some("/api/sites?after=1".to_owned())));
        let answer = Answer::new(StatusCode::OK, HeaderMap::new(), b"not JSON");
        assert_eq!((answer.total(), answer.next_page(), answer.body), (None, None, Value::Null));
    }
}

//! What a server says, and what commands read of it.
//!
//! A command reads the fields that it has a use for, into a type of its own.
//! Those that it does not know are passed over, so that a newer server is
//! understood, and one that is only shown may be missing. With `--json`
//! everything that the server said is printed, unknown fields too.
//!
//! Other servers answer 200 as well: a captive portal, a proxy's page, another
//! service on the same name. An answer counts only with the status of the
//! operation, the mark that every answer of a sitewarden has, and the fields
//! that are needed. Rejected: to take any success for one, with which a lock
//! that nobody had heard of was reported as done.

use std::fmt;

use hyper::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde_json::Value;

use super::logins::TokenSource;
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

    /// Whether this is what a sitewarden answers where all went well: this
    /// status, the id of the request, and JSON where there is a body.
    pub(super) fn is_success(&self, expected: StatusCode) -> bool {
        self.status == expected && self.has_id() && (expected == StatusCode::NO_CONTENT || self.is_json())
    }

    fn has_id(&self) -> bool {
        self.headers.contains_key("X-Request-Id")
    }

    fn is_json(&self) -> bool {
        media_type(&self.headers) == "application/json"
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
    T::deserialize(said).map_err(|_| not_a_sitewarden())
}

/// The error for an answer that is none of a sitewarden's.
pub(super) fn not_a_sitewarden() -> CommandError {
    let words = "the answer is not that of a sitewarden, or of one that this version understands: check --url \
                 (on this host --socket), and what answers there";
    CommandError::Failed(words.to_owned())
}

/// What the body is, without its parameters; nothing where the server does not
/// say.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// A value that must be there and say something.
///
/// # Errors
/// Where it is null or empty.
pub(crate) fn needed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Shown, D::Error> {
    let shown = Shown::deserialize(deserializer)?;
    if shown.0.is_empty() { Err(D::Error::custom("nothing is said")) } else { Ok(shown) }
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
pub(super) fn refused(status: StatusCode, body: &Value, token: Option<TokenSource>) -> CommandError {
    if status.is_success() || status.is_redirection() {
        return not_a_sitewarden();
    }
    let refusal = match status {
        StatusCode::UNAUTHORIZED => Refusal::Caller,
        StatusCode::NOT_FOUND => Refusal::Missing,
        StatusCode::CONFLICT => Refusal::Conflict,
        StatusCode::SERVICE_UNAVAILABLE => Refusal::Unavailable,
        _ => Refusal::Request,
    };
    let reason = match token {
        Some(token) if refusal == Refusal::Caller => token.refused().to_owned(),
        _ => Problem::of(body).reason().unwrap_or_else(|| format!("the server answered {status}")),
    };
    CommandError::Refused { reason, refusal }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(status: u16, body: &Value, by_token: bool) -> (String, Refusal) {
        let token = by_token.then_some(TokenSource::Login);
        match refused(StatusCode::from_u16(status).unwrap(), body, token) {
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

    #[test]
    fn a_success_has_the_status_of_the_operation_the_mark_and_its_media_type() {
        let answer = |status: u16, marked: bool, media: &'static str| {
            let mut headers = HeaderMap::new();
            if marked {
                headers.insert("X-Request-Id", "1".parse().unwrap());
            }
            if !media.is_empty() {
                headers.insert(header::CONTENT_TYPE, media.parse().unwrap());
            }
            Answer::new(StatusCode::from_u16(status).unwrap(), headers, b"{}")
        };
        assert!(answer(200, true, "application/json").is_success(StatusCode::OK));
        assert!(answer(201, true, "Application/JSON; charset=utf-8").is_success(StatusCode::CREATED));
        assert!(answer(204, true, "").is_success(StatusCode::NO_CONTENT));
        for (status, marked, media) in [
            (200, true, "text/html"),
            (200, true, ""),
            (200, false, "application/json"),
            (201, true, "application/json"),
            (302, true, "application/json"),
        ] {
            assert!(!answer(status, marked, media).is_success(StatusCode::OK), "{status} {marked} {media}");
        }
        assert!(!answer(204, false, "").is_success(StatusCode::NO_CONTENT));
        assert!(!answer(200, true, "application/json").is_success(StatusCode::NO_CONTENT));
    }

    #[test]
    fn what_is_needed_must_say_something() {
        #[derive(Deserialize)]
        struct Named {
            #[serde(deserialize_with = "needed")]
            name: Shown,
        }
        for nothing in [json!({}), json!({ "name": null }), json!({ "name": "" }), json!([]), json!(null)] {
            assert!(read::<Named>(&nothing).is_err(), "{nothing}");
        }
        assert_eq!(read::<Named>(&json!({ "name": 7 })).unwrap().name.as_sent(), "7");
    }
}

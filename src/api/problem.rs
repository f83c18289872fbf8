//! Errors as clients see them, problem details (RFC 9457), and the only place
//! where what went wrong becomes a status code. A handler says with what an
//! operation may fail in the set of its [`Failure`]; the specification is made
//! of that, and a failure outside of it is caught in debug builds.
//!
//! A [`Problem`] travels inside the response, unrendered; the envelope writes
//! it out with the request's id. That way the framework's own errors, which
//! never pass through a handler, get the same form. Clients are told what
//! they can mend; the cause, where there is one, goes to the log.

use poem::http::StatusCode;
use poem::{Error, IntoResponse, Response};
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object};
use serde::Serialize;

pub use super::field_errors::{FieldError, FieldErrors};
use crate::auth::password::PasswordFault;
use crate::auth::queue::NoTurn;
use crate::auth::random::NoRandomness;
use crate::auth::retry_after::RetryAfter;
use crate::auth::token::SigningFailed;
use crate::certificate::NotRenewable;
use crate::store::{SnapshotError, Unavailable};

/// The media type of every error (RFC 9457, section 3).
pub const CONTENT_TYPE: &str = "application/problem+json";

/// How long a client should wait before it tries again what the store could
/// not take, in seconds.
const STORE_RETRY_SECONDS: u64 = 2;

/// How long a client should wait that has too much under way, in seconds.
const HOLD_RETRY_SECONDS: u64 = 1;

/// An error answer (RFC 9457).
#[derive(Debug, Serialize, Object)]
#[oai(rename = "Problem")]
pub struct ProblemDocument {
    /// Kind of problem; `about:blank` says that the status tells all.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// HTTP status code.
    pub status: u16,
    /// What was wrong this time, and what to do.
    pub detail: String,
    /// Id of this request, as in the `X-Request-Id` header and in the log.
    pub request_id: String,
    /// Of `POST /api/auth/login` alone, for OAuth2 clients (RFC 6749,
    /// section 5.2): `invalid_grant`, `unsupported_grant_type`, `invalid_request`,
    /// `temporarily_unavailable` or `server_error`.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Beside `error`: `detail` and the bad fields, in ASCII.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
    /// The bad fields; with 400 and 422 only. The first 20 by name, then, as
    /// `…`, how many more.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<FieldError>>,
    /// Of `POST /api/sites/bulk` alone, with 409: how many sites the filter
    /// lets through.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched: Option<u64>,
}

/// An error on its way out.
#[derive(Debug, Clone)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// What was wrong, for the client.
    pub detail: String,
    /// The bad fields.
    pub errors: FieldErrors,
    /// How many sites a filter lets through, where another number was expected.
    pub matched: Option<u32>,
    /// `Retry-After`, in seconds (RFC 9110, section 10.2.3).
    pub retry_after_seconds: Option<u64>,
    /// `WWW-Authenticate` (RFC 9110, section 11.6.1).
    pub challenge: Option<&'static str>,
    /// What really happened, for the log.
    pub cause: Option<Box<str>>,
}

impl Problem {
    /// A problem with this status and words.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            errors: FieldErrors::default(),
            matched: None,
            retry_after_seconds: None,
            challenge: None,
            cause: None,
        }
    }

    /// 400: the request cannot be understood.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401 for admins.
    pub fn unauthorized() -> Self {
        Self {
            challenge: Some("Bearer realm=\"sitewarden\""),
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                "log in at /api/auth/login and send the access token as Authorization: Bearer …",
            )
        }
    }

    /// 401 for a login: the same words for a wrong password, an unknown name,
    /// and a wrong or missing code.
    pub fn wrong_login() -> Self {
        Self {
            challenge: Some("Bearer realm=\"sitewarden\""),
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                "wrong username or password, or an admin with a second factor and no code that counts: send it as \
                 otp, in a form after the password and a space",
            )
        }
    }

    /// 401 for a heartbeat: the same words whatever was wrong or missing.
    pub fn unknown_site() -> Self {
        Self {
            challenge: Some("SiteKey realm=\"sitewarden\""),
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                "X-Site-ID and X-Site-Key do not name a registered site and its key",
            )
        }
    }

    /// 404 for a site id that names no site.
    pub fn no_such_site() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no site with this site_id")
    }

    /// 404 for a name that no admin has.
    pub fn no_such_admin() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no admin of this name")
    }

    /// 409: the change contradicts the present state.
    pub fn conflict(detail: &str) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 422: the `Idempotency-Key` stands for another request.
    pub fn other_request() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "this Idempotency-Key was sent before with another body: send each request with a key of its own",
        )
    }

    /// 404: nothing is served at this path.
    pub fn no_such_page() -> Self {
        Self::of_status(StatusCode::NOT_FOUND)
    }

    /// 405: the path does not take the method.
    pub fn method_not_allowed() -> Self {
        Self::of_status(StatusCode::METHOD_NOT_ALLOWED)
    }

    /// 408: the body took too long.
    pub fn slow_body() -> Self {
        Self::of_status(StatusCode::REQUEST_TIMEOUT)
    }

    /// 413: the body is too large.
    pub fn large_body() -> Self {
        Self::of_status(StatusCode::PAYLOAD_TOO_LARGE)
    }

    /// 414: the path and query are too long.
    pub fn long_target() -> Self {
        Self::of_status(StatusCode::URI_TOO_LONG)
    }

    /// 415: the body is no JSON.
    pub fn unsupported_media_type() -> Self {
        Self::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
    }

    /// 431: the head is too large.
    pub fn large_head() -> Self {
        Self::of_status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    }

    /// 412: the record changed since the client read it.
    pub fn stale() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "the site has changed since: get it again and repeat the change with its new ETag",
        )
    }

    /// 422: well-formed, but these fields are not.
    pub fn invalid(errors: FieldErrors) -> Self {
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "some fields are not valid") }
    }

    /// 422 for a single field.
    pub fn invalid_field(field: &str, message: impl Into<String>) -> Self {
        Self::invalid(FieldErrors::one(field, message))
    }

    /// 500: a bug of ours; `cause` is for the log.
    pub fn internal(cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into().into_boxed_str()),
            ..Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the server failed; its log tells more under this request_id",
            )
        }
    }

    /// The problem of a bare status, as the framework makes it.
    pub fn of_status(status: StatusCode) -> Self {
        let detail = match status {
            StatusCode::NOT_FOUND => "nothing is served at this path; /docs lists what is",
            StatusCode::METHOD_NOT_ALLOWED => {
                "this path does not take this method; the Allow header lists those it takes"
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "send the body as Content-Type: application/json",
            StatusCode::PAYLOAD_TOO_LARGE => "the request body is too large",
            StatusCode::REQUEST_TIMEOUT => "the request body took too long to arrive",
            StatusCode::URI_TOO_LONG => "the request target is too long",
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                "the request head is too large: at most 64 lines and 16 KiB in all"
            }
            status if status.is_client_error() => "the request is malformed",
            _ => return Self { status, ..Self::internal(format!("the framework answered {status}")) },
        };
        Self::new(status, detail)
    }

    /// The body.
    pub fn document(&self, request_id: String) -> ProblemDocument {
        ProblemDocument {
            kind: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            request_id,
            error: None,
            error_description: None,
            errors: self.errors.clone().listed(),
            matched: self.matched.map(u64::from),
        }
    }

    /// The body where an OAuth2 client asks for a token: it looks for two
    /// members of its own (RFC 6749, section 5.2), and takes what has none for
    /// a token.
    pub fn token_document(&self, request_id: String) -> ProblemDocument {
        let is_of_another_grant = self.errors.named().iter().any(|error| error.field == "grant_type");
        let error = match self.status {
            StatusCode::UNAUTHORIZED => "invalid_grant",
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => "temporarily_unavailable",
            status if status.is_server_error() => "server_error",
            _ if is_of_another_grant => "unsupported_grant_type",
            _ => "invalid_request",
        };
        let fields = self.errors.clone().listed().unwrap_or_default();
        let fields: Vec<String> =
            fields.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
        let words = if fields.is_empty() {
            self.detail.clone()
        } else {
            format!("{}: {}", self.detail, fields.join("; "))
        };
        // %x20-21 / %x23-5B / %x5D-7E
        let allowed = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
        let words = words.chars().map(|c| if allowed(c) { c } else { '?' }).collect();
        ProblemDocument {
            error: Some(error.to_owned()),
            error_description: Some(words),
            ..self.document(request_id)
        }
    }

    /// 503: one backup is taken at a time.
    pub fn another_backup() -> Self {
        Self::busy("another backup is being taken", None)
    }

    /// 429: the client has too much under way.
    pub fn holds_too_much() -> Self {
        Self {
            retry_after_seconds: Some(HOLD_RETRY_SECONDS),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many bytes of requests and of answers not taken are under way: take the answers, and send fewer requests at once",
            )
        }
    }

    /// 503: all clients together have too much under way.
    pub fn all_hold_too_much() -> Self {
        Self::busy("too many requests are under way", None)
    }

    /// 505: a version of HTTP that is not spoken here.
    pub fn unknown_version() -> Self {
        Self::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "send the request as HTTP/1.1 or HTTP/2")
    }

    fn busy(detail: &str, cause: Option<String>) -> Self {
        Self {
            retry_after_seconds: Some(STORE_RETRY_SECONDS),
            cause: cause.map(String::into_boxed_str),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        match error {
            Unavailable::Record { .. } | Unavailable::Panicked => Self::internal(error.to_string()),
            Unavailable::QueueFull | Unavailable::Closed => {
                Self::busy("the store cannot take this now; nothing was changed", Some(error.to_string()))
            }
            // A commit whose fsync failed may yet turn out to have happened.
            Unavailable::Storage(_) => Self::busy(
                "the store has a fault; a change may or may not have been made: look before you repeat it",
                Some(error.to_string()),
            ),
        }
    }
}

impl From<SnapshotError> for Problem {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Source(error) => error.into(),
            SnapshotError::Panicked => Self::internal(error.to_string()),
            error => Self::busy("the backup cannot be made now", Some(error.to_string())),
        }
    }
}

impl From<crate::auth::lease_key::SigningFailed> for Problem {
    fn from(error: crate::auth::lease_key::SigningFailed) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<NotRenewable> for Problem {
    fn from(refused: NotRenewable) -> Self {
        Self::conflict(&refused.to_string())
    }
}

impl From<RetryAfter> for Problem {
    fn from(refused: RetryAfter) -> Self {
        let seconds = refused.seconds();
        Self {
            retry_after_seconds: Some(seconds),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, format!("too many requests; try again in {seconds} s"))
        }
    }
}

impl From<NoTurn> for Problem {
    fn from(refused: NoTurn) -> Self {
        match refused {
            // No fault of ours: a stranger must not fill the log with errors.
            NoTurn::Full => PasswordFault::Busy.into(),
            NoTurn::NetworkFull => RetryAfter::a_second().into(),
        }
    }
}

impl From<PasswordFault> for Problem {
    fn from(fault: PasswordFault) -> Self {
        match fault {
            PasswordFault::Busy => Self::busy("too many logins at once", None),
            PasswordFault::Failed => Self::internal(fault.to_string()),
        }
    }
}

impl From<SigningFailed> for Problem {
    fn from(fault: SigningFailed) -> Self {
        Self::internal(fault.to_string())
    }
}

impl From<NoRandomness> for Problem {
    fn from(fault: NoRandomness) -> Self {
        Self::internal(fault.to_string())
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        let mut error = Self::from_status(problem.status);
        error.set_data(problem);
        error
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        Error::from(self).into_response()
    }
}

/// The statuses with which an operation may fail, as a set of the constants
/// in [`failure`]; each appears in the specification.
pub struct Failure<const SET: u16>(Problem);

/// Members of the set of a [`Failure`].
pub mod failure {
    use poem::http::StatusCode;

    /// 400
    pub const MALFORMED: u16 = 1;
    /// 401
    pub const UNAUTHORIZED: u16 = 1 << 1;
    /// 404
    pub const NOT_FOUND: u16 = 1 << 2;
    /// 412
    pub const STALE: u16 = 1 << 3;
    /// 408, 413 and 415: what only a request with a body can meet
    pub const BODY: u16 = 1 << 4;
    /// 422
    pub const INVALID: u16 = 1 << 5;
    /// 429
    pub const THROTTLED: u16 = 1 << 6;
    /// 503
    pub const UNAVAILABLE: u16 = 1 << 7;
    /// 409
    pub const CONFLICT: u16 = 1 << 8;
    /// 403
    pub const FORBIDDEN: u16 = 1 << 9;

    /// What every operation of sysadmins can meet; 422: a parameter that it
    /// does not have.
    pub const SYSADMIN: u16 = UNAUTHORIZED | INVALID | UNAVAILABLE;

    /// Whether an operation that may fail with the statuses of `set` may fail
    /// with this one. 500 is a bug, of which no operation can say that it has
    /// none; 403 is what its authority says of it, in the specification too.
    pub fn holds(set: u16, status: StatusCode) -> bool {
        matches!(status, StatusCode::INTERNAL_SERVER_ERROR | StatusCode::FORBIDDEN)
            || MEANINGS.iter().any(|(member, meaning, _)| set & member != 0 && *meaning == status)
    }

    pub(super) const MEANINGS: [(u16, StatusCode, &str); 12] = [
        (MALFORMED, StatusCode::BAD_REQUEST, "The request cannot be understood."),
        (UNAUTHORIZED, StatusCode::UNAUTHORIZED, "No credentials, or wrong ones."),
        (FORBIDDEN, StatusCode::FORBIDDEN, "Not for whoever asks."),
        (NOT_FOUND, StatusCode::NOT_FOUND, "There is no such record."),
        (BODY, StatusCode::REQUEST_TIMEOUT, "The body took too long to arrive."),
        (CONFLICT, StatusCode::CONFLICT, "The change contradicts the present state."),
        (STALE, StatusCode::PRECONDITION_FAILED, "The record has changed since its ETag was read."),
        (BODY, StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than allowed (64 KiB by default)."),
        (BODY, StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is of another media type."),
        (
            INVALID,
            StatusCode::UNPROCESSABLE_ENTITY,
            "Understood, but not valid: `errors` names the bad fields.",
        ),
        (
            THROTTLED,
            StatusCode::TOO_MANY_REQUESTS,
            "Too many requests; `Retry-After` tells the seconds to wait.",
        ),
        (
            UNAVAILABLE,
            StatusCode::SERVICE_UNAVAILABLE,
            "The server cannot do this now; `Retry-After` tells the seconds to wait.",
        ),
    ];
}

impl<const SET: u16, P: Into<Problem>> From<P> for Failure<SET> {
    fn from(problem: P) -> Self {
        let problem = problem.into();
        debug_assert!(failure::holds(SET, problem.status), "{problem:?} is not in the specification");
        Self(problem)
    }
}

impl<const SET: u16> From<Failure<SET>> for Error {
    fn from(failure: Failure<SET>) -> Self {
        failure.0.into()
    }
}

impl<const SET: u16> ApiResponse for Failure<SET> {
    fn meta() -> MetaResponses {
        let responses = failure::MEANINGS
            .iter()
            .filter(|(member, ..)| SET & member != 0)
            .map(|(_, status, description)| MetaResponse {
                description,
                status: Some(status.as_u16()),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: CONTENT_TYPE,
                    schema: ProblemDocument::schema_ref(),
                }],
                headers: headers_of(*status),
            })
            .collect();
        MetaResponses { responses }
    }

    fn register(registry: &mut Registry) {
        ProblemDocument::register(registry);
    }
}

fn headers_of(status: StatusCode) -> Vec<MetaHeader> {
    let header = |name: &str, ty: &'static str, description: &str| MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: true,
        deprecated: false,
        schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new(ty))),
    };
    match status {
        StatusCode::UNAUTHORIZED => {
            vec![header("WWW-Authenticate", "string", "The scheme to authenticate with.")]
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            vec![header("Retry-After", "integer", "Seconds to wait before trying again.")]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_fails_with_what_its_specification_names_or_with_a_bug() {
        const SET: u16 = failure::NOT_FOUND | failure::BODY;
        for (status, held) in [
            (StatusCode::NOT_FOUND, true),
            (StatusCode::REQUEST_TIMEOUT, true),
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, true),
            (StatusCode::INTERNAL_SERVER_ERROR, true),
            (StatusCode::CONFLICT, false),
            (StatusCode::OK, false),
        ] {
            assert_eq!(failure::holds(SET, status), held, "{status}");
        }
        let named: Vec<_> =
            Failure::<SET>::meta().responses.into_iter().filter_map(|one| one.status).collect();
        assert_eq!(named, [404, 408, 413, 415]);
    }

    #[test]
    #[should_panic(expected = "is not in the specification")]
    fn a_status_that_an_operation_does_not_declare_is_seen_in_tests() {
        let _ = Failure::<{ failure::NOT_FOUND }>::from(Problem::conflict("a contradiction"));
    }

    #[test]
    fn who_finds_no_place_in_line_is_told_when_to_come_again() {
        for (refused, status, seconds) in [
            (NoTurn::Full, StatusCode::SERVICE_UNAVAILABLE, STORE_RETRY_SECONDS),
            (NoTurn::NetworkFull, StatusCode::TOO_MANY_REQUESTS, 1),
        ] {
            let problem = Problem::from(refused);
            assert_eq!((problem.status, problem.retry_after_seconds), (status, Some(seconds)));
            assert_eq!(problem.cause, None, "a stranger can bring it about: no error in the log");
        }
    }
}

//! What a heartbeat is answered with, and what it may ask for in its headers.

use std::str::FromStr;

use poem::http::{HeaderValue, header};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::{ToJSON, Type};

use super::heartbeat::VerdictDocument;
use super::wire::Parameter;
use crate::auth::lease_key::MEDIA_TYPE;
use crate::domain::Verdict;
use crate::domain::lease::{Nonce, NotANonce};

/// The revision of a verdict, in requests and answers.
pub(super) const REVISION: &str = "X-Verdict-Revision";

/// The `X-Lease-Nonce` header.
pub(super) struct NonceText(pub(super) Nonce);

impl FromStr for NonceText {
    type Err = NotANonce;

    fn from_str(text: &str) -> Result<Self, NotANonce> {
        text.parse().map(Self)
    }
}

impl Parameter for NonceText {
    fn schema() -> MetaSchema {
        MetaSchema {
            min_length: Some(Nonce::MIN),
            max_length: Some(Nonce::MAX),
            pattern: Some("^[!-~]*$".to_owned()),
            ..MetaSchema::new("string")
        }
    }
}

/// The `X-Verdict-Revision` header of a request.
pub(super) struct Applied(pub(super) u64);

impl FromStr for Applied {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_number);
        number.map(Self).ok_or("must be the number of an X-Verdict-Revision that was answered")
    }
}

impl Parameter for Applied {
    fn schema() -> MetaSchema {
        MetaSchema::new_with_format("integer", "uint64")
    }
}

/// The answer to a heartbeat that was recorded.
pub(super) struct HeartbeatAnswer {
    /// What the site may do, or a lease that says so.
    pub(super) body: AnswerBody,
    /// The number of the last change of what the site may do.
    pub(super) revision: u64,
    /// Seconds until the site is to call again.
    pub(super) wait_seconds: i64,
}

/// In which form it is told.
pub(super) enum AnswerBody {
    /// The 4 fields.
    Verdict(Verdict),
    /// A signed lease.
    Lease(String),
}

impl IntoResponse for HeartbeatAnswer {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            AnswerBody::Verdict(verdict) => Response::builder()
                .content_type("application/json")
                .body(VerdictDocument::from(verdict).to_json_string()),
            AnswerBody::Lease(lease) => Response::builder().content_type(MEDIA_TYPE).body(lease),
        };
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
        headers.insert("x-verdict-revision", self.revision.into());
        headers.insert(header::RETRY_AFTER, self.wait_seconds.into());
        response
    }
}

impl ApiResponse for HeartbeatAnswer {
    fn meta() -> MetaResponses {
        let header = |name: &str, description: &str| MetaHeader {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            required: true,
            deprecated: false,
            schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("integer", "uint64"))),
        };
        MetaResponses {
            responses: vec![MetaResponse {
                description: "What the site may do; as a signed lease for who asks for one.",
                status: Some(200),
                status_range: None,
                content: vec![
                    MetaMediaType { content_type: "application/json", schema: VerdictDocument::schema_ref() },
                    MetaMediaType {
                        content_type: MEDIA_TYPE,
                        schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
                    },
                ],
                headers: vec![
                    header(
                        REVISION,
                        "Number of the last change of what the site may do; send it back when you have applied it.",
                    ),
                    header(
                        "Retry-After",
                        "Seconds until the next heartbeat: 5.5 to 6.5 hours, less while the site is watched.",
                    ),
                ],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        VerdictDocument::register(registry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_digits_alone() {
        let read = |text: &str| text.parse::<Applied>().map(|applied| applied.0).ok();
        assert_eq!((read("0"), read("7"), read("18446744073709551615")), (Some(0), Some(7), Some(u64::MAX)));
        for bad in ["", "+7", "-1", " 7", "7.0", "seven", "18446744073709551616"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}

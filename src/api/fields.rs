//! Request bodies, read field by field.
//!
//! poem-openapi's own parsing stops at the first bad field and speaks in its
//! own words. Here a body is read into domain types by a [`Fields`], which
//! notes every fault, so that the client hears of all of them at once. The
//! schema in the specification comes from a document type beside it; a test
//! holds the two together.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use poem::http::header;
use poem::{Error, IntoResponse, Request, RequestBody, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{
    MetaMediaType, MetaRequest, MetaResponse, MetaResponses, MetaSchemaRef, Registry,
};
use poem_openapi::types::{ToJSON, Type};
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions};
use serde_json::{Map, Value};

use super::app::App;
use super::field_errors::FieldErrors;
use super::object::Object;
use super::problem::Problem;
use crate::domain::codes::Codes;
use crate::domain::{Moment, TimeZoneName, Zones};

/// A request body of some shape.
pub trait Readable: Sized + Send {
    /// Its schema.
    type Document: Type;
    /// The fields to read, where all others are ignored; `None`: unknown
    /// fields are refused, since a typo must not pass for success.
    const IGNORES_ALL_BUT: Option<&'static [&'static str]> = None;

    /// Takes its fields. May return `None` only when `fields` has noted why.
    fn read(fields: &mut Fields) -> Option<Self>;
}

/// The fields of a JSON object that have not been taken yet, and the faults
/// found so far.
pub struct Fields {
    given: Map<String, Value>,
    errors: FieldErrors,
    /// The time zones that the host knows; `None`: that is not known here.
    zones: Option<Zones>,
}

/// What is said of a zone that the host does not know.
pub(super) const UNKNOWN_ZONE: &str = "is no time zone that the server's host knows: give one such as \
    Europe/Rome, with a time in place of a day, or install tzdata there";

impl Fields {
    /// Notes that `field` is bad.
    pub fn refuse(&mut self, field: &str, message: impl Display) {
        self.errors.push(field, message.to_string());
    }

    /// Whether the field was given.
    pub fn has(&self, field: &str) -> bool {
        self.given.contains_key(field)
    }

    /// A text that must be there.
    pub fn required<T: FromStr<Err: Display>>(&mut self, field: &str) -> Option<T> {
        if !self.has(field) {
            self.refuse(field, "is required");
        }
        self.optional(field)
    }

    /// A text that may be missing.
    pub fn optional<T: FromStr<Err: Display>>(&mut self, field: &str) -> Option<T> {
        let parsed = match self.given.shift_remove(field)? {
            Value::String(text) => text.parse().map_err(|error: T::Err| error.to_string()),
            _ => Err("must be a string".to_owned()),
        };
        self.noting(field, parsed)
    }

    /// A truth value that may be missing.
    pub fn optional_bool(&mut self, field: &str) -> Option<bool> {
        let parsed = match self.given.shift_remove(field)? {
            Value::Bool(value) => Ok(value),
            _ => Err("must be true or false".to_owned()),
        };
        self.noting(field, parsed)
    }

    /// A whole number that may be missing.
    pub fn optional_integer(&mut self, field: &str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let number = match self.given.shift_remove(field)? {
            Value::Number(number) => whole(&number),
            _ => None,
        };
        let parsed = number
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| format!("must be a whole number from {} to {}", bounds.start(), bounds.end()));
        self.noting(field, parsed)
    }

    /// A whole number that must be there.
    pub fn required_integer(&mut self, field: &str, bounds: RangeInclusive<u64>) -> Option<u64> {
        if !self.has(field) {
            self.refuse(field, "is required");
        }
        self.optional_integer(field, bounds)
    }

    /// A text that may be missing, or null: `Some(None)`.
    pub fn nullable<T: FromStr<Err: Display>>(&mut self, field: &str) -> Option<Option<T>> {
        if self.is_null(field) { Some(None) } else { self.optional(field).map(Some) }
    }

    /// A whole number that may be missing, or null: `Some(None)`.
    pub fn nullable_integer(&mut self, field: &str, bounds: RangeInclusive<u64>) -> Option<Option<u64>> {
        if self.is_null(field) { Some(None) } else { self.optional_integer(field, bounds).map(Some) }
    }

    /// The name of a time zone that may be missing, or null: `Some(None)`. One
    /// that the host does not know is named beside the other faults.
    pub fn nullable_zone(&mut self, field: &str) -> Option<Option<TimeZoneName>> {
        let zone: Option<Option<TimeZoneName>> = self.nullable(field);
        let unknown =
            |zones: &Zones| zone.iter().flatten().any(|name| zones.calendar(name.as_str()).zone().is_none());
        if self.zones.as_ref().is_some_and(unknown) {
            self.refuse(field, UNKNOWN_ZONE);
            return None;
        }
        zone
    }

    /// An array of short words that may be missing.
    pub fn optional_codes<const MOST: usize>(&mut self, field: &str) -> Option<Codes<MOST>> {
        let given = self.given.shift_remove(field)?;
        let texts =
            given.as_array().and_then(|array| array.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
        let parsed = texts
            .ok_or_else(|| "must be an array of strings".to_owned())
            .and_then(|texts| Codes::of(texts).map_err(|error| error.to_string()));
        self.noting(field, parsed)
    }

    /// A time, or in its place a day, in the field that is named for one:
    /// `until` and `until_on`. Not both.
    pub fn optional_moment(&mut self, time: &str, day: &str) -> Option<Moment> {
        let both = self.has(time) && self.has(day);
        let at = self.optional(time).map(Moment::At);
        let on = self.optional(day).map(Moment::EndOf);
        if both {
            self.refuse(day, format!("must not be given together with {time}"));
        }
        at.or(on)
    }

    /// Takes a null.
    fn is_null(&mut self, field: &str) -> bool {
        let is_null = self.given.get(field).is_some_and(Value::is_null);
        if is_null {
            self.given.shift_remove(field);
        }
        is_null
    }

    /// An array that must be there, with so many members.
    pub fn required_array(&mut self, field: &str, members: RangeInclusive<usize>) -> Option<Vec<Value>> {
        let parsed = match self.given.shift_remove(field) {
            None => Err("is required".to_owned()),
            Some(Value::Array(array)) if members.contains(&array.len()) => Ok(array),
            Some(Value::Array(_)) => {
                Err(format!("must have {} to {} members", members.start(), members.end()))
            }
            Some(_) => Err("must be an array".to_owned()),
        };
        self.noting(field, parsed)
    }

    /// An object that must be there; what is wrong in it is named by its path.
    pub fn required_object<T: Readable>(&mut self, field: &str) -> Option<T> {
        let members = match self.given.shift_remove(field) {
            Some(Value::Object(members)) => members,
            given => {
                let message = given.map_or("is required", |_| "must be an object");
                self.refuse(field, message);
                return None;
            }
        };
        let read = self.read_inner(members);
        read.map_err(|problem| {
            self.errors.take_over(problem.errors, |inner| format!("{field}.{inner}"));
        })
        .ok()
    }

    /// An array of texts that may be missing.
    pub fn optional_texts(&mut self, field: &str) -> Option<Vec<String>> {
        let text = |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        };
        let texts = match self.given.shift_remove(field)? {
            Value::Array(values) => values.into_iter().map(text).collect(),
            _ => None,
        };
        self.noting(field, texts.ok_or_else(|| "must be an array of strings".to_owned()))
    }

    /// Drops all fields that have not been taken.
    pub fn ignore_all(&mut self) {
        self.given.clear();
    }

    /// Drops a field that is allowed and means nothing here.
    pub fn ignore(&mut self, field: &str) {
        self.given.shift_remove(field);
    }

    fn noting<T>(&mut self, field: &str, parsed: Result<T, String>) -> Option<T> {
        parsed.map_err(|message| self.refuse(field, message)).ok()
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// 422 that names the bad fields.
    pub fn read<T: Readable>(object: impl Into<Object>) -> Result<T, Problem> {
        Self::read_knowing(object, None)
    }

    /// Reads an object that is part of this body.
    ///
    /// # Errors
    /// As of [`Fields::read`].
    pub fn read_inner<T: Readable>(&self, object: impl Into<Object>) -> Result<T, Problem> {
        Self::read_knowing(object, self.zones.clone())
    }

    fn read_knowing<T: Readable>(object: impl Into<Object>, zones: Option<Zones>) -> Result<T, Problem> {
        let Object { members: given, faults: errors } = object.into();
        let mut fields = Self { given, errors, zones };
        let body = T::read(&mut fields);
        if T::IGNORES_ALL_BUT.is_none() {
            let unknown: Vec<String> = fields.given.keys().cloned().collect();
            for field in unknown {
                fields.refuse(&field, "is not a known field");
            }
        }
        match body {
            Some(body) if fields.errors.is_empty() => Ok(body),
            _ => Err(Problem::invalid(fields.errors)),
        }
    }
}

/// JSON Schema counts `5.0` as an integer (draft 2020-12, section 4.2.3).
fn whole(number: &serde_json::Number) -> Option<u64> {
    if let Some(number) = number.as_u64() {
        return Some(number);
    }
    let float = number.as_f64()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and within 0 to 2^53")]
    let integer =
        (float.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&float)).then_some(float as u64);
    integer
}

/// The whole body, which the server has read already and bounded.
///
/// # Errors
/// 400 when it cannot be had.
pub async fn bytes_of(body: &mut RequestBody) -> Result<Bytes, Problem> {
    let broken = |_| Problem::malformed("the body cannot be read");
    body.take().map_err(broken)?.into_bytes().await.map_err(|_| Problem::malformed("the body cannot be read"))
}

/// The media type of the request body, in lower case and without parameters;
/// empty when none is given.
pub fn media_type_of(request: &Request) -> String {
    let value =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    value.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// Whether a media type is JSON (RFC 8259, or a `+json` suffix, RFC 6839).
pub fn is_json(media_type: &str) -> bool {
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// A JSON request body, and the bytes that it was read from.
pub struct Body<T>(pub T, pub Bytes);

impl<'a, T: Readable> ApiExtractor<'a> for Body<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::Document::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType {
                content_type: "application/json",
                schema: T::Document::schema_ref(),
            }],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self, Error> {
        if !is_json(&media_type_of(request)) {
            return Err(Problem::unsupported_media_type().into());
        }
        let bytes = bytes_of(body).await?;
        let object = Object::read(&bytes, T::IGNORES_ALL_BUT)?;
        let zones = request.data::<Arc<App>>().map(|app| app.store.rules().zones.clone());
        Ok(Self(Fields::read_knowing(object, zones)?, bytes))
    }
}

/// A JSON answer.
pub struct Json<T>(pub T);

impl<T: Type> Payload for Json<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: ToJSON> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        Response::builder().content_type(Self::CONTENT_TYPE).body(self.0.to_json_string())
    }
}

impl<T: ToJSON> ApiResponse for Json<T> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "Done.",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType { content_type: Self::CONTENT_TYPE, schema: T::schema_ref() }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

//! Values as they stand on the wire, for which poem-openapi has no type of
//! the right form.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type};
use serde_json::Value;

use super::field_errors::FieldErrors;
use crate::domain::{Date, SiteId, Timestamp};

macro_rules! plain_type {
    () => {
        const IS_REQUIRED: bool = true;
        type RawValueType = Self;
        type RawElementValueType = Self;

        fn as_raw_value(&self) -> Option<&Self> {
            Some(self)
        }

        fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
            Box::new(std::iter::once(self))
        }
    };
}

fn inline(schema: MetaSchema) -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(schema))
}

/// A type of the domain that stands on the wire as a string of this format.
macro_rules! string_type {
    ($(#[$doc:meta])* $name:ident($value:ident), $format:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name(pub $value);

        impl Type for $name {
            plain_type!();

            fn name() -> Cow<'static, str> {
                $format.into()
            }

            fn schema_ref() -> MetaSchemaRef {
                inline(MetaSchema::new_with_format("string", $format))
            }
        }

        impl ToJSON for $name {
            fn to_json(&self) -> Option<Value> {
                Some(Value::String(self.0.to_string()))
            }
        }

        impl ParseFromJSON for $name {
            fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
                match value {
                    Some(Value::String(text)) => text.parse().map(Self).map_err(ParseError::custom),
                    other => Err(ParseError::expected_type(other.unwrap_or_default())),
                }
            }
        }
    };
}

string_type!(
    /// RFC 3339, UTC, whole seconds.
    Time(Timestamp), "date-time"
);
string_type!(
    /// A day (RFC 3339, section 5.6, `full-date`).
    Day(Date), "date"
);

/// A field that is always there and may be null. (`Option` is left out of the
/// schema's required fields and not marked as nullable.)
#[derive(Debug, Clone)]
pub struct Nullable<T>(pub Option<T>);

impl<T: Type> Type for Nullable<T> {
    plain_type!();

    fn name() -> Cow<'static, str> {
        format!("nullable_{}", T::name()).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        let nullable = MetaSchema { nullable: true, ..MetaSchema::ANY };
        match T::schema_ref() {
            MetaSchemaRef::Inline(schema) => inline(MetaSchema { nullable: true, ..*schema }),
            reference => inline(MetaSchema { all_of: vec![reference], ..nullable }),
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: ToJSON> ToJSON for Nullable<T> {
    fn to_json(&self) -> Option<Value> {
        Some(self.0.as_ref().and_then(ToJSON::to_json).unwrap_or(Value::Null))
    }
}

impl<T: ParseFromJSON> ParseFromJSON for Nullable<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        match value {
            None | Some(Value::Null) => Ok(Self(None)),
            value => T::parse_from_json(value).map(|value| Self(Some(value))).map_err(ParseError::propagate),
        }
    }
}

/// A query parameter's value, with its schema.
pub trait Parameter: FromStr<Err: Display> + Send + Sync {
    /// Its schema.
    fn schema() -> MetaSchema;
}

/// An optional query parameter, kept as it was given so that several bad ones
/// can be named at once.
#[derive(Debug, Clone)]
pub struct Given<T>(Option<Result<T, String>>);

impl<T> Given<T> {
    /// The value; notes in `errors` that it is bad.
    pub fn take(self, field: &str, errors: &mut FieldErrors) -> Option<T> {
        self.0?.map_err(|message| errors.push(field, message)).ok()
    }
}

impl<T: Parameter> Type for Given<T> {
    const IS_REQUIRED: bool = false;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "parameter".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        inline(T::schema())
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<T: Parameter> ParseFromParameter for Given<T> {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        Ok(Self(Some(value.parse().map_err(|error: T::Err| error.to_string()))))
    }

    fn parse_from_parameters<I: IntoIterator<Item = A>, A: AsRef<str>>(values: I) -> ParseResult<Self> {
        match values.into_iter().next() {
            Some(value) => Self::parse_from_parameter(value.as_ref()),
            None => Ok(Self(None)),
        }
    }
}

/// A header that the specification calls required, and whose absence is for
/// the handler to answer.
#[derive(Debug, Clone)]
pub struct Presented(pub Option<String>);

impl Type for Presented {
    plain_type!();

    fn name() -> Cow<'static, str> {
        "header".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        inline(MetaSchema::new("string"))
    }
}

impl ParseFromParameter for Presented {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        Ok(Self(Some(value.to_owned())))
    }

    fn parse_from_parameters<I: IntoIterator<Item = A>, A: AsRef<str>>(values: I) -> ParseResult<Self> {
        Ok(Self(values.into_iter().next().map(|value| value.as_ref().to_owned())))
    }
}

/// A `site_id` in a path; `None` when it is no UUID, for the handler to
/// answer.
#[derive(Debug, Clone, Copy)]
pub struct PathId(pub Option<SiteId>);

impl Type for PathId {
    plain_type!();

    fn name() -> Cow<'static, str> {
        "site_id".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        inline(MetaSchema::new_with_format("string", "uuid"))
    }
}

impl ParseFromParameter for PathId {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        Ok(Self(value.parse().ok()))
    }
}

/// A number in a path; `None` when it is none, for the handler to answer.
#[derive(Debug, Clone, Copy)]
pub struct PathNumber(pub Option<u64>);

impl Type for PathNumber {
    plain_type!();

    fn name() -> Cow<'static, str> {
        "integer".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        inline(MetaSchema { minimum: Some(1.0), ..MetaSchema::new_with_format("integer", "int64") })
    }
}

impl ParseFromParameter for PathNumber {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        // One beyond the greatest number there can be is that of nothing.
        Ok(Self(is_number.then(|| value.parse().unwrap_or(u64::MAX))))
    }
}

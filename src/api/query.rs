//! The query of a request, held against the parameters that its route has.
//!
//! A misspelt filter that is passed over answers with all sites as if they
//! had been let through, and of a parameter that stands there twice one value
//! would be left out: both are refused, as unknown fields of a body are.

use poem::{Error, Request, RequestBody};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::field_errors::FieldErrors;
use super::object::GIVEN_TWICE;

/// What is wrong with the names of the parameters, for the handler to begin
/// its list of faults with.
#[derive(Debug, Clone, Default)]
pub(super) struct QueryFaults(pub(super) FieldErrors);

impl<'a> ApiExtractor<'a> for QueryFaults {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::PoemExtractor];

    type ParamType = ();
    type ParamRawType = ();

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self, Error> {
        Ok(request.data::<Self>().cloned().unwrap_or_default())
    }
}

/// What is wrong with the names of the parameters in `query`.
pub(super) fn faults(query: &str, known: &[String]) -> FieldErrors {
    let mut faults = FieldErrors::default();
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    let mut seen: Vec<&str> = Vec::new();
    for (name, _) in &pairs {
        if !known.contains(name) {
            faults.push(name, "is not a known parameter");
        } else if seen.contains(&name.as_str()) {
            faults.push(name, GIVEN_TWICE);
        } else {
            seen.push(name);
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(query: &str) -> Vec<String> {
        let known = ["status".to_owned(), "limit".to_owned()];
        faults(query, &known).listed().unwrap_or_default().into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn unknown_parameters_and_those_given_twice_are_named() {
        for good in ["", "&", "status=online", "status=online&limit=1", "l%69mit=1"] {
            assert_eq!(named(good), [""; 0], "{good}");
        }
        assert_eq!(named("stauts=online"), ["stauts"]);
        assert_eq!(named("status=a&limit=1&status=b&%73tatus=c&x"), ["status", "status", "x"]);
    }
}

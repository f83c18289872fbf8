//! Times and days in parameters.

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};

use super::field_errors::FieldErrors;
use super::wire::Parameter;
use crate::domain::calendar::Unresolved;
use crate::domain::{Date, Moment, Timestamp};

impl Parameter for Moment {
    fn schema() -> MetaSchema {
        let of = |format| MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", format)));
        MetaSchema { any_of: vec![of("date-time"), of("date")], ..MetaSchema::ANY }
    }
}

/// The instant that a bound means; what a day means, `of_day` tells.
pub(super) fn bound(
    moment: Option<Moment>,
    field: &str,
    of_day: impl Fn(Date) -> Result<Timestamp, Unresolved>,
    errors: &mut FieldErrors,
) -> Option<Timestamp> {
    match moment? {
        Moment::At(time) => Some(time),
        Moment::EndOf(day) => of_day(day)
            .map_err(|_| errors.push(field, "is a day that licence.time_zone skipped: give another"))
            .ok(),
    }
}

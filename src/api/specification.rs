//! The specification of the API (OpenAPI), made from the code.

mod bounds;
mod complete;
mod document;
mod examples;
mod yaml;

pub use self::document::{json, yaml};

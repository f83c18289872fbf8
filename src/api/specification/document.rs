//! The document as it is served.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::bounds::write_bounds;
use super::complete::complete;
use super::yaml::write;
use crate::api::pattern::{NEW_USERNAME, PRINTABLE, PRINTABLE_OR_EMPTY};
use crate::api::service::service;

/// The specification as JSON, as `sitewarden openapi` prints it.
pub fn json() -> &'static str {
    static JSON: LazyLock<String> = LazyLock::new(|| {
        let text = serde_json::to_string_pretty(&completed()).unwrap_or_default();
        text + "\n"
    });
    &JSON
}

/// The specification as YAML.
pub fn yaml() -> &'static str {
    static YAML: LazyLock<String> = LazyLock::new(|| write(&completed()));
    &YAML
}

/// The generated document, with what poem-openapi cannot say: which bodies
/// refuse unknown fields, and bounds and formats of single fields.
#[expect(clippy::indexing_slicing, reason = "serde_json adds what is missing; the committed copy shows it")]
fn completed() -> Value {
    let mut document: Value = serde_json::from_str(&service().spec()).unwrap_or_default();
    let schemas = &mut document["components"]["schemas"];
    write_bounds(schemas);
    for closed in [
        "Login",
        "NewSite",
        "SiteChange",
        "Lock",
        "Rotation",
        "NewAdmin",
        "NewPassword",
        "NewToken",
        "Batch",
        "BatchItem",
        "Bulk",
        "SiteFilter",
    ] {
        schemas[closed]["additionalProperties"] = json!(false);
    }
    for (schema, field) in [
        ("NewSite", "contact_email"),
        ("SiteChange", "contact_email"),
        ("Site", "contact_email"),
        ("RegisteredSite", "contact_email"),
        ("BatchItem", "contact_email"),
        ("Bulk", "contact_email"),
    ] {
        schemas[schema]["properties"][field]["format"] = json!("email");
    }
    for (schema, field) in [
        ("NewSite", "name"),
        ("SiteChange", "name"),
        ("Lock", "reason"),
        ("BatchItem", "name"),
        ("BatchItem", "reason"),
        ("Heartbeat", "version"),
        ("NewToken", "name"),
        ("NewToken", "admin"),
    ] {
        schemas[schema]["properties"][field]["pattern"] = json!(PRINTABLE);
    }
    for schema in ["NewSite", "SiteChange", "BatchItem"] {
        schemas[schema]["properties"]["owner_name"]["pattern"] = json!(PRINTABLE_OR_EMPTY);
    }
    schemas["Login"]["properties"]["username"]["pattern"] = json!(PRINTABLE);
    schemas["NewAdmin"]["properties"]["username"]["pattern"] = json!(NEW_USERNAME);
    // A time or a day, or days that are added: one of them.
    let (time, day, days) = ("license_expires_at", "license_expires_on", "extend_days");
    let both =
        |one: &str, other: &str| json!({ "properties": { one: {}, other: {} }, "required": [one, other] });
    schemas["SiteChange"]["not"] = json!({ "anyOf": [both(time, day), both(time, days), both(day, days)] });
    schemas["Lock"]["not"] = json!({ "anyOf": [both("at", "at_on"), both("until", "until_on")] });
    schemas["NewSite"]["not"] = both(time, day);
    schemas["NewToken"]["not"] = both("expires_at", "expires_on");
    for body in ["BatchItem", "NewSite", "SiteChange"] {
        for codes in ["tags", "features"] {
            schemas[body]["properties"][codes]["items"]["pattern"] = json!("^[a-z0-9._:-]{1,40}$");
        }
    }
    schemas["CreatedToken"]["properties"]["token"]["pattern"] = json!("^swt_[0-9A-Za-z]{38}$");
    schemas["RegisteredSite"]["properties"]["secret_key"]["pattern"] = json!("^swk_[A-Za-z0-9_-]{43}$");
    complete(&mut document);
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_and_every_field_is_described() {
        let document = completed();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                assert!(operation["summary"].is_string() && operation["tags"].is_array(), "{method} {path}");
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    assert!(parameter["description"].is_string(), "{method} {path}: {parameter}");
                }
            }
        }
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
                let described = schema["description"].is_string()
                    || schema["$ref"].is_string()
                    || schema["allOf"].is_array();
                assert!(described, "{name}.{field}");
            }
        }
    }
}

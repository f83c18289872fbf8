//! What the generated specification lacks.
//!
//! poem-openapi writes a document that Swagger UI takes and stricter readers
//! do not: client generators refuse it, or drop the operations whose schemas
//! they cannot follow. Here it becomes valid OpenAPI 3.0.3, in forms that they
//! understand, with an example of every answer.

use poem::http::StatusCode;
use serde_json::{Map, Value, json};

use super::examples::examples;
use crate::api::authority::{BEARER_SCHEME, LOGIN_PATH, PASSWORD_SCHEME, scope_declared};
use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;
use crate::domain::Scope;
use crate::store::Unavailable;

/// The version of OpenAPI that the document keeps to. 3.1 would say "or null"
/// better, but poem-openapi writes 3.0.
const OPENAPI_VERSION: &str = "3.0.3";

/// The request id in examples.
const EXAMPLE_REQUEST_ID: &str = "019aab6a3c7f7d20a5e3b1f0c4d29e68";

/// Completes the document.
#[expect(clippy::indexing_slicing, reason = "serde_json adds what is missing; the committed copy shows it")]
pub(super) fn complete(document: &mut Value) {
    document["openapi"] = json!(OPENAPI_VERSION);
    document["info"]["contact"] =
        json!({ "name": "The sitewarden maintainers", "email": "maintainers@sitewarden.invalid" });
    document["info"]["license"] = json!({ "name": "MIT", "url": "https://spdx.org/licenses/MIT.html" });
    // Wherever the document is read from.
    document["servers"] = json!([{ "url": "/", "description": "The server that this document is from" }]);
    declare_security(document);
    say_what_is_public(document);
    // The dialog of Swagger UI shows the ways to authorize in this order: name
    // and password first.
    if let Some(schemes) = document["components"]["securitySchemes"].as_object_mut()
        && let Some(bearer) = schemes.shift_remove("bearer")
    {
        schemes.insert("bearer".to_owned(), bearer);
    }
    leave_form_to_oauth2(document);
    order_tags(document);
    mend(document);
    fill_in_names(document);
    let schemas = &mut document["components"]["schemas"];
    for (schema, example) in examples() {
        if schemas[schema].is_object() {
            schemas[schema]["example"] = example;
        }
    }
    add_problem_examples(document);
}

/// Says of each operation that needs a scope which one, as OpenAPI has it
/// ("Security Requirement Object": scopes are OAuth2's alone), and that it
/// answers 403 to who has another.
fn declare_security(document: &mut Value) {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten();
    let operations = paths.filter_map(|(_, path)| path.as_object_mut()).flatten();
    for operation in operations.filter_map(|(_, operation)| operation.as_object_mut()) {
        let Some(security) = operation.get_mut("security") else { continue };
        let declared = security.as_array().into_iter().flatten().filter_map(Value::as_object).flatten();
        let Some(scope) = declared.filter_map(|(name, _)| scope_declared(name)).next() else { continue };
        *security = json!([{ PASSWORD_SCHEME: [scope.as_str()] }, { BEARER_SCHEME: [] }]);
        if let Some(Value::Object(responses)) = operation.get_mut("responses")
            && let Some(place) = responses.keys().position(|status| status == "401")
            && let Some(mut forbidden) = responses.get("401").cloned()
        {
            if let Some(answer) = forbidden.as_object_mut() {
                let words = format!("The token may do less than this needs, which is the scope `{scope}`.");
                answer.insert("description".to_owned(), json!(words));
            }
            responses.shift_insert(place + 1, "403".to_owned(), forbidden);
        }
    }
}

/// The scope that an operation needs, once that is declared.
fn scope_needed(operation: &Value) -> Option<Scope> {
    operation.pointer(&format!("/security/0/{PASSWORD_SCHEME}/0"))?.as_str()?.parse().ok()
}

/// Says of operations that anybody may call that they need nothing: left out,
/// it may as well have been forgotten.
fn say_what_is_public(document: &mut Value) {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten();
    let operations = paths.filter_map(|(_, path)| path.as_object_mut()).flatten();
    for operation in operations.filter_map(|(_, operation)| operation.as_object_mut()) {
        operation.entry("security").or_insert(json!([]));
    }
}

/// Shows a login by JSON only. The form is what the password flow means by its
/// token URL (RFC 6749, section 4.3.2). Of an operation whose body is required
/// and of two kinds openapi-python-client 0.29.1 makes a module that names
/// `Unset` without importing it (known to its authors under number 1451).
fn leave_form_to_oauth2(document: &mut Value) {
    let content = document.pointer_mut("/paths/~1api~1auth~1login/post/requestBody/content");
    if let Some(content) = content.and_then(Value::as_object_mut) {
        content.shift_remove("application/x-www-form-urlencoded");
    }
    if let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
        schemas.shift_remove("PasswordGrant");
    }
}

/// Fills in, where Swagger UI asks for an admin's name, the one that the
/// example of a new admin has, and the number of the first token: each example
/// works after the one before it.
fn fill_in_names(document: &mut Value) {
    let name = document.pointer("/components/schemas/NewAdmin/example/username").cloned();
    let paths = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten();
    let operations = paths.filter_map(|(_, path)| path.as_object_mut()).flatten();
    let parameters = operations.filter_map(|(_, operation)| operation.get_mut("parameters")?.as_array_mut());
    for parameter in parameters.flatten().filter_map(Value::as_object_mut) {
        if parameter.get("name") == Some(&json!("username")) {
            parameter.insert("example".to_owned(), name.clone().unwrap_or_default());
        } else if parameter.get("name") == Some(&json!("id"))
            && parameter.get("schema").and_then(|schema| schema.get("type")) == Some(&json!("integer"))
        {
            parameter.insert("example".to_owned(), json!(1));
        }
    }
}

/// Lists the groups in the order of their first operation, as the groups
/// stand in the code; poem-openapi lists them by name.
fn order_tags(document: &mut Value) {
    let mut order: Vec<Value> = Vec::new();
    for operation in operations(document) {
        for tag in operation.get("tags").and_then(Value::as_array).into_iter().flatten() {
            if !order.contains(tag) {
                order.push(tag.clone());
            }
        }
    }
    if let Some(tags) = document.get_mut("tags").and_then(Value::as_array_mut) {
        tags.sort_by_key(|tag| order.iter().position(|name| Some(name) == tag.get("name")));
    }
}

fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    let paths = document.get("paths").and_then(Value::as_object);
    paths
        .into_iter()
        .flatten()
        .filter_map(|(_, path)| path.as_object())
        .flatten()
        .map(|(_, operation)| operation)
}

/// Mends every part of the document, from the leaves up.
fn mend(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mend),
        Value::Object(object) => {
            object.values_mut().for_each(mend);
            mend_description(object);
            mend_reference(object);
            mend_integer(object);
            mend_header_names(object);
        }
        _ => {}
    }
}

/// Doc comments are wrapped at some column, and Swagger UI breaks its lines
/// where they do: joins the lines of a paragraph.
fn mend_description(object: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = object.get_mut("description") {
        let mut joined = String::with_capacity(text.len());
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            joined.push_str(line.trim_end());
            if let Some(next) = lines.peek() {
                let stands_alone = |line: &str| {
                    let line = line.trim_start();
                    line.is_empty()
                        || line.starts_with(|start: char| start.is_ascii_digit() || "-*|".contains(start))
                };
                joined.push(if line.is_empty() || stands_alone(next) { '\n' } else { ' ' });
            }
        }
        *text = joined;
    }
}

/// A reference beside which there is a description becomes `allOf` both, the
/// description as a schema of its own, in which generators see a schema
/// without a type: leaves it beside `allOf`, where it stands already.
///
/// `nullable` counts only beside a type and does not reach into a reference
/// ("Schema Object"): one that may be null becomes the one or null.
fn mend_reference(object: &mut Map<String, Value>) {
    let Some(Value::Array(parts)) = object.get_mut("allOf") else { return };
    parts.retain(|part| part.as_object().is_none_or(|part| part.keys().any(|key| key != "description")));
    if object.shift_remove("nullable") == Some(json!(true))
        && let Some(Value::Array(mut parts)) = object.shift_remove("allOf")
    {
        parts.push(json!({ "type": "string", "nullable": true, "enum": [null] }));
        object.insert("anyOf".to_owned(), Value::Array(parts));
    }
}

/// Formats of integers are `int32` and `int64` ("Data Types"); that a number
/// is not negative is said by its minimum.
fn mend_integer(object: &mut Map<String, Value>) {
    if object.get("type") != Some(&json!("integer")) {
        return;
    }
    let format = match object.get("format").and_then(Value::as_str) {
        Some("uint8" | "uint16") => "int32",
        Some("uint32" | "uint64") => "int64",
        _ => return,
    };
    object.insert("format".to_owned(), json!(format));
    object.entry("minimum").or_insert(json!(0));
}

/// poem-openapi writes the names of response headers in capitals.
fn mend_header_names(object: &mut Map<String, Value>) {
    let Some(Value::Object(headers)) = object.get_mut("headers") else { return };
    *headers =
        std::mem::take(headers).into_iter().map(|(name, header)| (header_name(&name), header)).collect();
}

/// The name as its standard writes it.
fn header_name(name: &str) -> String {
    match name {
        "ETAG" => "ETag".to_owned(),
        "WWW-Authenticate" => name.to_owned(),
        name => {
            let part = |part: &str| {
                let (first, rest) = part.split_at_checked(1).unwrap_or((part, ""));
                first.to_uppercase() + &rest.to_lowercase()
            };
            name.split('-').map(part).collect::<Vec<_>>().join("-")
        }
    }
}

/// Shows, for every error of every operation, the answer that it gives.
fn add_problem_examples(document: &mut Value) {
    let schemas = document.pointer("/components/schemas").cloned().unwrap_or_default();
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for (path, operations) in paths.into_iter().flatten() {
        for operation in operations.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let invalid = invalid_field(operation, &schemas);
            let needed = scope_needed(operation);
            let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
            for (status, response) in responses.into_iter().flatten() {
                let description =
                    response.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
                let content = response.pointer_mut("/content/application~1problem+json");
                let Some(content) = content.and_then(Value::as_object_mut) else { continue };
                let Ok(status) = status.parse::<StatusCode>() else { continue };
                let problem = match needed {
                    Some(needed) if status == StatusCode::FORBIDDEN => {
                        let lesser = if needed == Scope::Read { Scope::Backup } else { Scope::Read };
                        Problem::insufficient_scope(needed, lesser)
                    }
                    _ => example_problem(path, status, &description, invalid.clone()),
                };
                let id = EXAMPLE_REQUEST_ID.to_owned();
                let is_login = path == LOGIN_PATH;
                let document = if is_login { problem.token_document(id) } else { problem.document(id) };
                let example = serde_json::to_value(document);
                content.insert("example".to_owned(), example.unwrap_or_default());
            }
        }
    }
}

fn example_problem(path: &str, status: StatusCode, description: &str, invalid: FieldErrors) -> Problem {
    match status {
        StatusCode::BAD_REQUEST if path == "/health" => Problem::malformed("the request is malformed"),
        StatusCode::BAD_REQUEST => Problem::malformed("the body is not valid JSON (line 3, column 5)"),
        StatusCode::UNAUTHORIZED if path == "/api/auth/login" => Problem::wrong_login(),
        StatusCode::UNAUTHORIZED if path == "/api/heartbeat" => Problem::unknown_site(),
        StatusCode::UNAUTHORIZED => Problem::unauthorized(),
        StatusCode::NOT_FOUND if path.starts_with("/api/sites") => Problem::no_such_site(),
        StatusCode::NOT_FOUND if path.starts_with("/api/admins") => Problem::no_such_admin(),
        StatusCode::NOT_FOUND if path.starts_with("/api/tokens") => Problem::no_such_token(),
        StatusCode::PRECONDITION_FAILED => Problem::stale(),
        StatusCode::UNPROCESSABLE_ENTITY => Problem::invalid(invalid),
        StatusCode::TOO_MANY_REQUESTS => Problem::new(status, "too many requests; try again in 12 s"),
        StatusCode::SERVICE_UNAVAILABLE => Unavailable::QueueFull.into(),
        StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Problem::of_status(status)
        }
        status => Problem::new(status, description),
    }
}

/// A fault that the operation would name: the first field that its body needs,
/// missing; a field misspelt, where it needs none; a limit out of bounds; a
/// parameter, where it has none.
fn invalid_field(operation: &Value, schemas: &Value) -> FieldErrors {
    let reference = operation.pointer("/requestBody/content/application~1json/schema/$ref");
    let schema = reference.and_then(Value::as_str).and_then(|name| schemas.get(name.rsplit('/').next()?));
    let required = schema.and_then(|schema| schema.get("required")?.get(0)?.as_str());
    let mut parameters = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
    let is_paged = parameters.any(|parameter| parameter.get("name") == Some(&json!("limit")));
    let (field, message) = match (schema, required) {
        (_, Some(field)) => (field, "is required"),
        (Some(_), None) => ("licence_expires_at", "is not a known field"),
        (None, None) if is_paged => ("limit", "must be a whole number from 1 to 1000"),
        (None, None) => ("limit", "is not a known parameter"),
    };
    FieldErrors::one(field, message)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::specification::json as specification;

    fn document() -> Value {
        serde_json::from_str(specification()).unwrap()
    }

    /// Every object in the document.
    fn objects(value: &Value) -> Vec<&Map<String, Value>> {
        match value {
            Value::Array(items) => items.iter().flat_map(objects).collect(),
            Value::Object(object) => {
                std::iter::once(object).chain(object.values().flat_map(objects)).collect()
            }
            _ => Vec::new(),
        }
    }

    #[test]
    fn an_example_has_the_fields_of_its_schema_and_no_other() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        for (name, _) in examples() {
            assert_eq!(keys(&schemas[name]["example"]), keys(&schemas[name]["properties"]), "{name}");
        }
        for (name, schema) in schemas.iter().filter(|(_, schema)| schema["example"].is_object()) {
            let (shown, known) = (keys(&schema["example"]), keys(&schema["properties"]));
            assert!(shown.is_subset(&known), "{name}");
            for required in schema["required"].as_array().into_iter().flatten() {
                assert!(shown.contains(required.as_str().unwrap()), "{name} {required}");
            }
        }
    }

    #[test]
    fn the_groups_stand_in_the_order_of_the_work() {
        let document = document();
        let names: Vec<_> =
            document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
        assert_eq!(names.first(), Some(&"Login"));
        assert!(
            names.iter().position(|name| *name == "Sites") < names.iter().position(|name| *name == "Admins")
        );
    }

    #[test]
    fn no_schema_is_of_a_form_that_client_generators_refuse() {
        let document = document();
        for object in objects(&document) {
            if let Some(parts) = object.get("allOf").and_then(Value::as_array) {
                assert!(parts.len() == 1 && parts[0]["$ref"].is_string(), "{object:?}");
                assert!(!object.contains_key("nullable"), "{object:?}");
            }
            let format = object.get("format").and_then(Value::as_str).unwrap_or_default();
            assert!(!format.starts_with("uint"), "{object:?}");
        }
    }

    #[test]
    fn headers_are_written_as_their_standards_write_them() {
        for name in ["ETag", "Location", "WWW-Authenticate", "X-Total-Count", "X-Request-Id"] {
            assert!(specification().contains(&format!("\"{name}\": {{")), "{name}");
        }
    }

    #[test]
    fn paragraphs_are_joined_and_lists_are_kept() {
        let joined = |text: &str| {
            let mut value = json!({ "description": text });
            mend(&mut value);
            value["description"].as_str().unwrap().to_owned()
        };
        assert_eq!(joined("one\ntwo\n\nthree\nfour"), "one two\n\nthree four");
        assert_eq!(joined("these:\n\n1. one\n2. two\n- three"), "these:\n\n1. one\n2. two\n- three");
    }

    #[test]
    fn every_error_shows_the_answer_that_it_gives() {
        let document = document();
        for operation in operations(&document) {
            let responses = operation["responses"].as_object().unwrap();
            for (status, response) in responses.iter().filter(|(status, _)| status.as_str() >= "400") {
                let example = &response["content"]["application/problem+json"]["example"];
                assert_eq!(example["status"].to_string(), *status, "{operation}");
                assert!(example["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{operation}");
            }
        }
    }
}

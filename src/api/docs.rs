//! The specification, and Swagger UI over it.
//!
//! Swagger UI's files are part of the program, gzipped by `build.rs`: three
//! quarters smaller, in the program and on the wire. The page runs under a
//! content security policy without inline scripts and loads nothing from
//! another host.

use std::sync::LazyLock;

use poem::http::StatusCode;
use poem::http::header;
use poem::{IntoResponse, Request, Response};
use poem_openapi::{ExtraHeader, OpenApi, OpenApiService};
use serde_json::{Value, json};

use super::file::File;
use super::heartbeat::MAX_UPTIME_SECONDS;
use super::problem::Problem;
use super::specification;
use super::yaml;
use crate::domain::Timestamp;

/// What a page of ours may load and do. Swagger UI sets style attributes and
/// shows images from data URLs; scripts come from our own files only.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Text without control characters that is not blank: what is left after
/// trimming must not be empty. (Invisible characters, which are refused as
/// well, would make it ten times as long: a message names them.)
pub(super) const PRINTABLE: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\u0000-\\u0020\\u007f-\\u00a0\\s][^\\u0000-\\u001f\\u007f-\\u009f]*$";
/// Text without control characters.
const PRINTABLE_OR_EMPTY: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// The name of a new admin, before it is trimmed.
const NEW_USERNAME: &str = "^\\s*[A-Za-z0-9][A-Za-z0-9._@+-]*\\s*$";

const INTRODUCTION: &str = "\
The licence server for software that runs at many sites.

**The first five minutes**

1. Press **Authorize**, enter the name and password of an admin in the *password* form (leave `client_id` and \
`client_secret` empty) and press **Authorize** there.
2. Under **Sites**, open `POST /api/sites`, press **Try it out**, fill in the site and press **Execute**. Note \
`site_id` and `secret_key` from the answer: the key is shown this once.
3. Under **Heartbeat**, open `POST /api/heartbeat`, enter both as `X-Site-ID` and `X-Site-Key` and execute: this is \
what the site's local backend does every 6 hours.
4. Lock the site with `POST /api/sites/{site_id}/lock`, with a reason in the place of the placeholder, and send the \
heartbeat again: the answer says so, with your reason. `POST /api/sites/{site_id}/unlock` takes it back.

**Every day**

- Who has gone silent: `GET /api/sites` with `status` `silent`.
- Another year: `PUT /api/sites/{site_id}` with `{\"extend_days\": 365}`.
- A new key without downtime: `POST /api/sites/{site_id}/rotate-key` with an overlap; when the site shows \
`last_key_used` `newest`, its local backend has it.
- Who changed what: `GET /api/audit`.

A login lasts 15 minutes unless configured otherwise. When answers turn to 401, press **Authorize**, **Logout**, and \
log in anew.

Times are RFC 3339 in UTC with whole seconds; any offset is accepted. Errors are problem details (RFC 9457) with the \
`request_id` that the server's log has too. Every path is answered with and without a trailing slash.";

/// Swagger UI, gzipped.
const SCRIPT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz"));
/// Its style sheet, gzipped.
const STYLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz"));

const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>sitewarden</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"#;

const START: &str = "\
SwaggerUIBundle({
  dom_id: '#ui',
  url: '/openapi.json',
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
});

// Enter in a field of the Authorize dialog presses its button, as in any form.
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.isComposing || !(event.target instanceof HTMLInputElement)) return;
  const button = event.target.closest('.auth-container')?.querySelector('.auth-btn-wrapper .authorize');
  if (!button) return;
  event.preventDefault();
  button.click();
});
";

/// When the licences in examples expire.
pub fn example_expiry() -> Timestamp {
    // 2030-12-31T00:00:00Z, well within the bounds.
    Timestamp::from_unix(1_924_905_600).unwrap_or(Timestamp::MAX)
}

/// Gives the specification its words.
pub(super) fn describe<A: OpenApi>(service: OpenApiService<A, ()>) -> OpenApiService<A, ()> {
    service.description(INTRODUCTION).extra_response_header::<String, _>(
        ExtraHeader::new("X-Request-Id").description("Id of this request, as in the server's log."),
    )
}

/// The specification as JSON, as `sitewarden openapi` prints it.
pub fn specification() -> &'static str {
    static JSON: LazyLock<String> = LazyLock::new(|| {
        let text = serde_json::to_string_pretty(&completed()).unwrap_or_default();
        text + "\n"
    });
    &JSON
}

/// The specification as YAML.
fn specification_yaml() -> &'static str {
    static YAML: LazyLock<String> = LazyLock::new(|| yaml::write(&completed()));
    &YAML
}

/// The generated document, with what poem-openapi cannot say: which bodies
/// refuse unknown fields, and formats of single fields.
#[expect(clippy::indexing_slicing, reason = "serde_json adds what is missing; the committed copy shows it")]
fn completed() -> Value {
    let mut document: Value = serde_json::from_str(&super::service().spec()).unwrap_or_default();
    let schemas = &mut document["components"]["schemas"];
    for closed in [
        "Login",
        "NewSite",
        "SiteChange",
        "Lock",
        "Rotation",
        "NewAdmin",
        "NewPassword",
        "Batch",
        "BatchItem",
    ] {
        schemas[closed]["additionalProperties"] = json!(false);
    }
    for (schema, field) in [
        ("NewSite", "contact_email"),
        ("SiteChange", "contact_email"),
        ("Site", "contact_email"),
        ("RegisteredSite", "contact_email"),
        ("BatchItem", "contact_email"),
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
    ] {
        schemas[schema]["properties"][field]["pattern"] = json!(PRINTABLE);
    }
    for schema in ["NewSite", "SiteChange", "BatchItem"] {
        schemas[schema]["properties"]["owner_name"]["pattern"] = json!(PRINTABLE_OR_EMPTY);
    }
    schemas["Login"]["properties"]["username"]["pattern"] = json!(PRINTABLE);
    schemas["NewAdmin"]["properties"]["username"]["pattern"] = json!(NEW_USERNAME);
    // poem-openapi writes one less.
    schemas["Heartbeat"]["properties"]["uptime_seconds"]["maximum"] = json!(MAX_UPTIME_SECONDS);
    // From a set expiry, or from the present one by days: not both.
    schemas["SiteChange"]["not"] = json!({
        "properties": { "license_expires_at": {}, "extend_days": {} },
        "required": ["license_expires_at", "extend_days"],
    });
    schemas["RegisteredSite"]["properties"]["secret_key"]["pattern"] = json!("^swk_[A-Za-z0-9_-]{43}$");
    specification::complete(&mut document);
    document
}

/// How long a browser may go without asking: always ask, and be told that
/// nothing has changed.
const ASK: &str = "no-cache";
/// The same for files that change with the program only.
const KEEP: &str = "public, max-age=3600";

/// The page of Swagger UI.
pub(super) fn page(request: Request) -> Response {
    static PAGE_FILE: LazyLock<File> =
        LazyLock::new(|| File::new("text/html; charset=utf-8", ASK, PAGE.as_bytes()));
    PAGE_FILE.answer(&request)
}

/// A file of Swagger UI.
pub(super) fn asset(request: Request) -> Response {
    const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
    static SCRIPT_FILE: LazyLock<File> = LazyLock::new(|| File::of_gzip(JAVASCRIPT, KEEP, SCRIPT));
    static STYLE_FILE: LazyLock<File> =
        LazyLock::new(|| File::of_gzip("text/css; charset=utf-8", KEEP, STYLE));
    static START_FILE: LazyLock<File> = LazyLock::new(|| File::new(JAVASCRIPT, KEEP, START.as_bytes()));
    let file = match request.raw_path_param("asset").unwrap_or_default() {
        "swagger-ui-bundle.js" => &SCRIPT_FILE,
        "swagger-ui.css" => &STYLE_FILE,
        "start.js" => &START_FILE,
        _ => return Problem::of_status(StatusCode::NOT_FOUND).into_response(),
    };
    file.answer(&request)
}

/// From `/` to Swagger UI.
pub(super) fn to_docs() -> Response {
    Response::builder().status(StatusCode::FOUND).header(header::LOCATION, "/docs").finish()
}

/// The specification as JSON.
pub(super) fn json_file(request: Request) -> Response {
    static JSON_FILE: LazyLock<File> =
        LazyLock::new(|| File::new("application/json", ASK, specification().as_bytes()));
    JSON_FILE.answer(&request)
}

/// The specification as YAML (RFC 9512).
pub(super) fn yaml_file(request: Request) -> Response {
    static YAML_FILE: LazyLock<File> =
        LazyLock::new(|| File::new("application/yaml", ASK, specification_yaml().as_bytes()));
    YAML_FILE.answer(&request)
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

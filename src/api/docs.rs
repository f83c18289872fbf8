//! Swagger UI over the specification.
//!
//! Its files are part of the program, gzipped by `build.rs`, which makes them
//! a quarter as large, in the program and on the wire. The page runs under a
//! content security policy without inline scripts and loads nothing from
//! another host.

use std::sync::LazyLock;

use poem::http::StatusCode;
use poem::http::header;
use poem::{IntoResponse, Request, Response};

use super::file::File;
use super::problem::Problem;
use super::specification;

/// What a page of ours may load and do. Swagger UI sets style attributes and
/// shows images from data URLs; scripts come from our own files only.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

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
        _ => return Problem::no_such_page().into_response(),
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
        LazyLock::new(|| File::new("application/json", ASK, specification::json().as_bytes()));
    JSON_FILE.answer(&request)
}

/// The specification as YAML (RFC 9512).
pub(super) fn yaml_file(request: Request) -> Response {
    static YAML_FILE: LazyLock<File> =
        LazyLock::new(|| File::new("application/yaml", ASK, specification::yaml().as_bytes()));
    YAML_FILE.answer(&request)
}

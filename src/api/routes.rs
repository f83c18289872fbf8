//! Every path that is served, and what it takes.

use std::collections::HashMap;
use std::sync::Arc;

use poem::endpoint::BoxEndpoint;
use poem::http::Method;
use poem::web::Data;
use poem::{EndpointExt, IntoEndpoint, Request, Response, Route, RouteMethod};
use poem_openapi::OpenApi as _;
use poem_openapi::registry::{MetaOperation, MetaParamIn};

use super::app::App;
use super::authority::scope_of;
use super::service::{Groups, service};
use super::{docs, lease_keys};
use crate::domain::Scope;

/// Where the public halves of the keys that sign leases are (RFC 8615).
const KEY_SET: &str = "/.well-known/jwks.json";

#[poem::handler]
fn key_set(app: Data<&Arc<App>>, request: &Request) -> Response {
    lease_keys::key_set(&app, request)
}

/// All routes, without the envelope.
pub(super) fn routes(app: Arc<App>) -> BoxEndpoint<'static> {
    // Not nested at "/", which would take the front page as well.
    let service = Arc::new(service().into_endpoint());
    Route::new()
        .nest_no_strip("/api", Arc::clone(&service))
        .at("/health", service)
        .at("/", RouteMethod::new().get(poem::endpoint::make_sync(|_| docs::to_docs())))
        .at("/docs", RouteMethod::new().get(poem::endpoint::make_sync(docs::page)))
        .at("/docs/:asset", RouteMethod::new().get(poem::endpoint::make_sync(docs::asset)))
        .at("/openapi.json", RouteMethod::new().get(poem::endpoint::make_sync(docs::json_file)))
        .at(KEY_SET, RouteMethod::new().get(key_set))
        .at("/openapi.yaml", RouteMethod::new().get(poem::endpoint::make_sync(docs::yaml_file)))
        .data(app)
        .map_to_response()
        .boxed()
}

/// What a path takes with one method.
pub(super) struct Operation {
    pub(super) method: Method,
    /// The scope that it needs; `None`: anybody may do it.
    pub(super) needs: Option<Scope>,
    /// The names of the parameters that its query may have.
    pub(super) parameters: Vec<String>,
}

impl Operation {
    fn described(operation: MetaOperation) -> Self {
        let parameters =
            operation.params.into_iter().filter(|parameter| parameter.in_type == MetaParamIn::Query);
        Self {
            method: operation.method,
            needs: scope_of(&operation.security),
            parameters: parameters.map(|parameter| parameter.name).collect(),
        }
    }

    fn open_page() -> Self {
        Self { method: Method::GET, needs: None, parameters: Vec::new() }
    }
}

/// The operations of each path pattern.
pub(super) fn operations() -> HashMap<String, Vec<Operation>> {
    let mut operations: HashMap<String, Vec<Operation>> = HashMap::new();
    for path in Groups::meta().into_iter().flat_map(|api| api.paths) {
        let taken = path.operations.into_iter().map(Operation::described);
        operations.entry(path.path).or_default().extend(taken);
    }
    for path in ["/", KEY_SET, "/docs", "/docs/{asset}", "/openapi.json", "/openapi.yaml"] {
        operations.insert(path.to_owned(), vec![Operation::open_page()]);
    }
    operations
}

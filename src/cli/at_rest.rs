//! The API over the database of a server that is down.
//!
//! The same routes, rules and audit trail as behind the control socket, in
//! this process: whoever has lost every password gets back in without a
//! server. Opening the database takes its lock, so that no server can start
//! in between, and fails where one runs.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};

use crate::api::envelope::Api;
use crate::api::{App, Caller, Peer, SystemUser};
use crate::store::{FILE_NAME, OpenError, Store};

/// An open database. Closed when dropped.
pub(super) struct AtRest {
    api: Api,
    store: Store,
    user: SystemUser,
}

impl AtRest {
    /// Opens the database in `data_dir`; `None` where there is none.
    ///
    /// # Errors
    /// [`OpenError`]; the file is then as it was.
    pub(super) fn open(data_dir: &Path) -> Result<Option<Self>, OpenError> {
        let database = data_dir.join(FILE_NAME);
        if !database.exists() {
            return Ok(None);
        }
        let store = Store::open(&database)?;
        let io = |source| OpenError::Io { path: database, source };
        let app = App::at_rest(store.clone(), data_dir.to_owned())
            .map_err(|error| io(std::io::Error::other(error)))?;
        let user = SystemUser::of(rustix::process::geteuid().as_raw());
        Ok(Some(Self { api: Api::new(Arc::new(app)), store, user }))
    }

    /// Answers as a server would on its control socket.
    pub(super) async fn answer(&self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_or_else(|never| match never {}, |body| body.to_bytes());
        let mut request = poem::Request::builder().method(parts.method).uri(parts.uri).body(body);
        *request.headers_mut() = parts.headers;
        request.set_data(Peer(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        request.set_data(Caller::System(self.user.clone()));
        let (parts, body) = self.api.answer(request).await.into_parts();
        let mut response = Response::new(body.into_bytes().await.unwrap_or_default());
        *response.status_mut() = parts.status;
        *response.headers_mut() = parts.headers;
        response
    }
}

impl Drop for AtRest {
    fn drop(&mut self) {
        self.store.clone().close();
    }
}

//! What all connections share.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::Admission;
use super::budget::Budget;
use super::peer::Proxies;
use super::redirect::Redirect;
use crate::api::envelope::Api;
use crate::config::{Limits, TrustedHeader};
use crate::metrics::Throttle;

/// The limits, who answers, and the end that is to come.
pub(super) struct Door {
    pub(super) answers: Answers,
    /// `None`: plain HTTP.
    pub(super) acceptor: Option<TlsAcceptor>,
    pub(super) limits: Limits,
    pub(super) proxies: Proxies,
    /// Only proxies may connect.
    pub(super) proxies_only: bool,
    pub(super) admission: Arc<Admission>,
    pub(super) budget: Arc<Budget>,
    pub(super) stopping: CancellationToken,
    pub(super) connections: TaskTracker,
}

impl Door {
    /// A plain door beside this one, which shares its limits and its end.
    pub(super) fn beside(&self, answers: Answers) -> Self {
        Self {
            answers,
            acceptor: None,
            limits: self.limits.clone(),
            proxies: Proxies::new(Vec::new(), TrustedHeader::XForwardedFor),
            proxies_only: false,
            admission: Arc::clone(&self.admission),
            budget: Arc::clone(&self.budget),
            stopping: self.stopping.clone(),
            connections: self.connections.clone(),
        }
    }

    /// Counts clients that were turned away.
    pub(super) fn throttled(&self, by: Throttle, times: usize) {
        if let Answers::Api(api) = &self.answers {
            (0..times).for_each(|_| api.metrics().throttled(by));
        }
    }

    /// Notes that idle connections were asked to leave.
    pub(super) fn dismissed(&self, count: usize) {
        self.throttled(Throttle::Place, count);
    }
}

/// Who answers requests.
pub(super) enum Answers {
    /// The API.
    Api(Api),
    /// The plain listener beside HTTPS.
    Redirect(Redirect),
}

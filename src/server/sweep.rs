//! What is done once a minute.

use std::sync::Arc;
use std::time::Duration;

use super::forget::forget_old;
use super::token_expiry::TokenExpiry;
use crate::api::App;
use crate::auth::failed_login_trail::FAILED_LOGINS_RECORDED_PER_HOUR;
use crate::clock;

/// How often.
const SWEEP: Duration = Duration::from_secs(60);

/// Forgets what has recovered and what is old, for ever.
pub(super) async fn sweep(app: Arc<App>, audit_keep_days: Option<u32>) {
    let mut ticks = tokio::time::interval(SWEEP);
    let mut token_expiry = TokenExpiry::default();
    loop {
        ticks.tick().await;
        app.logins.sweep();
        app.heartbeats.sweep();
        let left_out = app.failed_logins.take_left_out();
        if left_out > 0 {
            tracing::warn!(
                count = left_out,
                "so many failed logins are not kept one by one: there are more than {FAILED_LOGINS_RECORDED_PER_HOUR} an hour"
            );
        }
        token_expiry.warn(&app.store, clock::now()).await;
        forget_old(&app.store, clock::now(), audit_keep_days).await;
    }
}

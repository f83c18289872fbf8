//! SIGHUP: what of the configuration can change while the server runs.

use super::files::CertificateFiles;
use crate::config::{Config, ConfigError, TlsMode};
use crate::telemetry::RunningLog;

/// How the configuration is read again, and what can be set while all runs.
pub struct Reload {
    /// Reads the configuration from where it was read at the start.
    pub load: Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>,
    /// The log.
    pub log: RunningLog,
}

impl Reload {
    /// Reads the configuration and the certificate's files again, uses what
    /// can be used, and says in the log what was and what needs a restart.
    /// `running` is what is in use, and is kept up to date.
    pub(super) async fn run(&self, running: &mut Config, files: Option<&CertificateFiles>) {
        let fresh = match (self.load)() {
            Ok(fresh) => fresh,
            Err(error) => {
                tracing::error!(%error, "the configuration was not reloaded; the one before stays in use");
                if let (Some(files), TlsMode::Files { cert, key }) = (files, &running.tls) {
                    files.reload(cert, key).await;
                }
                return;
            }
        };
        let can_reload = |key: &String| match key.as_str() {
            "log.level" => true,
            "tls.cert" | "tls.key" => files.is_some() && matches!(fresh.tls, TlsMode::Files { .. }),
            _ => false,
        };
        let (reloaded, need_restart): (Vec<_>, Vec<_>) =
            running.changed_keys(&fresh).into_iter().partition(can_reload);
        // The more talkative of both levels, so that the change is told.
        self.log.set_level(running.log.level.max(fresh.log.level));
        if need_restart.is_empty() && reloaded.is_empty() {
            tracing::info!("the configuration was reloaded; nothing in it has changed");
        } else if need_restart.is_empty() {
            tracing::info!(changed = reloaded.join(", "), "the configuration was reloaded");
        } else {
            tracing::warn!(
                changed = reloaded.join(", "),
                need_restart = need_restart.join(", "),
                "the configuration was reloaded in part: what changed besides needs a restart"
            );
        }
        self.log.set_level(fresh.log.level);
        if let (Some(files), TlsMode::Files { cert, key }) = (files, &fresh.tls) {
            files.reload(cert, key).await;
            running.tls = fresh.tls.clone();
        }
        running.log.level = fresh.log.level;
        running.adopt(&fresh, &reloaded);
    }
}

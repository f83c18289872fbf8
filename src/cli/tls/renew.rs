//! `sitewarden tls renew`

use std::time::{Duration, Instant};

use super::certificate::{self, CertificateStatus};
use crate::cli::client::Target;
use crate::cli::error::CommandError;
use crate::cli::screen::{Ended, complain};

/// How often a renewal is asked after.
const INTERVAL: Duration = Duration::from_secs(1);
/// For a renewal: what the server gives it, and a margin.
const PATIENCE: Duration = Duration::from_secs(360);

pub(crate) fn run(target: &Target) -> Result<Ended, CommandError> {
    let client = target.client()?;
    client.post("/api/tls/renew", None)?.read::<CertificateStatus>()?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        wait();
        let (said, status) = certificate::fetch(&client)?;
        if !status.renewing {
            let told = target.tell(&said, &status.text());
            return Ok(if status.has_failed() { Ended::Failed } else { told });
        }
    }
    complain("the renewal goes on; sitewarden tls status tells how it ends");
    Ok(Ended::Failed)
}

/// Until the server is asked again.
#[expect(clippy::disallowed_methods, reason = "the server has to be asked: it tells nobody by itself")]
fn wait() {
    std::thread::sleep(INTERVAL);
}

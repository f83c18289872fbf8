//! When backups are made while the database is open.

use std::time::Duration;

use super::error::StartError;
use crate::clock;
use crate::config::Config;
use crate::store::Store;
use crate::store::backups::{self, Schedule};

/// How long after an admin's change a backup is made: several share one.
const AFTER_CHANGE: Duration = Duration::from_secs(2);

/// Has backups made from now on, as configured.
///
/// # Errors
/// [`StartError::DataDir`] when their directory cannot be used.
pub(crate) fn schedule_backups(config: &Config, store: &Store) -> Result<(), StartError> {
    let Some(kept) = &config.backup else {
        return Ok(());
    };
    let directory = config.data_dir.join(backups::DIRECTORY);
    store
        .keep_backups(Schedule {
            directory: directory.clone(),
            after_change: AFTER_CHANGE,
            every: kept.every,
            keep_daily: kept.keep_daily,
            clock: clock::now,
        })
        .map_err(|source| StartError::DataDir { path: directory, source })
}

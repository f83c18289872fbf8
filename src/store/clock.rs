//! The clock, judged by what the database knows of the time.

use super::clock_watch::{ClockReport, Known};
use super::error::Unavailable;
use super::handle::Store;
use super::tables::meta;
use crate::domain::Timestamp;
use crate::domain::clock::ClockState;

impl Store {
    /// Judges the clock by `now`, its reading. To be called before anything
    /// is recorded by it, and about once a minute.
    pub async fn look_at_clock(&self, now: Timestamp) -> Result<ClockState, Unavailable> {
        if !self.clock.has_begun() {
            self.clock.begin(self.read(Known::read).await?);
        }
        let state = self.clock.look(now);
        if let Some(known) = self.clock.to_store() {
            self.set_value(meta::KNOWN_TIME, known).await.inspect_err(|_| self.clock.not_stored())?;
        }
        Ok(state)
    }

    /// How the clock stood when it was judged last; `None` before that.
    pub fn clock(&self) -> Option<ClockReport> {
        self.clock.report()
    }
}

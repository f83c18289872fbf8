//! What commits changed, and since when a backup has to follow: the writer
//! notes it, the thread that makes backups waits for it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a transaction changed, the least first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Changed {
    /// Nothing: there is nothing to commit.
    #[default]
    Nothing,
    /// Only what no backup follows, such as failed logins.
    Unfollowed,
    /// Heartbeats, and what the trail says of logins and backups, alone: a
    /// backup may follow later.
    Heartbeats,
    /// What admins decide, or the server stores for itself.
    Records,
}

/// What has changed since the last snapshot.
#[derive(Default)]
pub(super) struct Changes {
    pending: Mutex<Pending>,
    wake: Condvar,
}

#[derive(Default)]
struct Pending {
    waiting: Waiting,
    stopping: bool,
}

/// Since when changes wait for a snapshot.
#[derive(Default, Clone, Copy)]
pub(super) struct Waiting {
    /// Since when an admin's change waits.
    records: Option<Instant>,
    /// Since when a heartbeat waits.
    heartbeats: Option<Instant>,
}

impl Waiting {
    /// The earlier of two times that may be none.
    fn earliest(times: [Option<Instant>; 2]) -> Option<Instant> {
        times.into_iter().flatten().min()
    }

    fn since(self) -> Option<Instant> {
        Self::earliest([self.records, self.heartbeats])
    }

    /// When a snapshot is due.
    fn due(self, after_change: Duration, every: Duration) -> Option<Instant> {
        Self::earliest([
            self.records.map(|since| since + after_change),
            self.heartbeats.map(|since| since + every),
        ])
    }
}

impl Changes {
    /// Notes what a commit changed.
    pub(super) fn note(&self, changed: Changed) {
        let mut pending = self.lock();
        let since = match changed {
            Changed::Nothing | Changed::Unfollowed => return,
            Changed::Heartbeats => &mut pending.waiting.heartbeats,
            Changed::Records => &mut pending.waiting.records,
        };
        if since.is_none() {
            *since = Some(Instant::now());
            self.wake.notify_all();
        }
    }

    /// For how long the oldest change has waited; `None` when none waits.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.lock().waiting.since().map(|since| since.elapsed())
    }

    /// Waits until a snapshot is due, `after_change` after a change by an
    /// admin and `every` after a heartbeat but not before `not_before`, and
    /// takes what waited for it; `None` when it is time to end.
    pub(super) fn wait(
        &self,
        after_change: Duration,
        every: Duration,
        not_before: Instant,
    ) -> Option<Waiting> {
        let mut pending = self.lock();
        loop {
            let due = pending.waiting.due(after_change, every).map(|due| due.max(not_before));
            let now = Instant::now();
            if pending.stopping && due.is_none() {
                return None;
            }
            if pending.stopping || due.is_some_and(|due| due <= now) {
                return Some(std::mem::take(&mut pending.waiting));
            }
            pending = match due {
                None => self.wake.wait(pending).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let waited = self.wake.wait_timeout(pending, due - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// After a failed snapshot its changes still wait; at the end they do
    /// not, for the database itself holds them.
    pub(super) fn put_back(&self, waiting: Waiting) {
        let mut pending = self.lock();
        if !pending.stopping {
            pending.waiting.records = waiting.records.or(pending.waiting.records);
            pending.waiting.heartbeats = waiting.heartbeats.or(pending.waiting.heartbeats);
        }
    }

    /// Has [`Changes::wait`] end, with a last snapshot where one is due.
    pub(super) fn stop(&self) {
        self.lock().stopping = true;
        self.wake.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! A value that is dear to get and may be a little old.
//!
//! The count of the sites reads every site; scrapes that come more often than
//! it stands share one. They wait for each other, so that a slow count is not
//! begun twice.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// A value that is fetched again when it has stood for a while.
#[derive(Debug)]
pub struct Cached<T> {
    stands: Duration,
    value: Mutex<Option<(Instant, T)>>,
}

impl<T: Copy> Cached<T> {
    /// None yet; one that is got stands for as long as this.
    pub fn new(stands: Duration) -> Self {
        Self { stands, value: Mutex::new(None) }
    }

    /// The value as it is at `now`: the one that stands, else what `fetch`
    /// gives. `fetch` does not run while one stands.
    ///
    /// # Errors
    /// Those of `fetch`; nothing is kept then.
    pub async fn get<E>(
        &self,
        now: Instant,
        fetch: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let mut kept = self.value.lock().await;
        if let Some((since, value)) = *kept
            && now.saturating_duration_since(since) < self.stands
        {
            return Ok(value);
        }
        let value = fetch.await?;
        *kept = Some((now, value));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDS: Duration = Duration::from_secs(30);

    async fn got(kept: &Cached<u32>, now: Instant, value: u32) -> u32 {
        kept.get(now, async { Ok::<_, ()>(value) }).await.unwrap()
    }

    #[tokio::test]
    async fn a_value_stands_for_its_time_and_is_then_fetched_again() {
        let (kept, start) = (Cached::new(STANDS), Instant::now());
        assert_eq!(got(&kept, start, 1).await, 1);
        assert_eq!(got(&kept, start + STANDS - Duration::from_millis(1), 2).await, 1);
        assert_eq!(got(&kept, start + STANDS, 3).await, 3);
        assert_eq!(got(&kept, start + STANDS + STANDS / 2, 4).await, 3, "from when it was got");
        // A clock that another thread read a moment earlier.
        assert_eq!(got(&kept, start, 5).await, 3);
    }

    #[tokio::test]
    async fn a_failure_is_told_and_not_kept_and_leaves_what_stands() {
        let (kept, start) = (Cached::new(STANDS), Instant::now());
        assert_eq!(kept.get(start, async { Err::<u32, _>("closed") }).await, Err("closed"));
        assert_eq!(got(&kept, start, 1).await, 1, "it is tried again at once");
        let late = start + STANDS;
        assert_eq!(kept.get(late, async { Err::<u32, _>("closed") }).await, Err("closed"));
        assert_eq!(got(&kept, late, 2).await, 2);
    }
}

//! What is old is forgotten, but not by a clock that may be wrong: two seconds
//! at a boot years ahead would take the whole audit trail.

use crate::domain::Timestamp;
use crate::domain::time::SECONDS_PER_DAY;
use crate::store::Store;
use crate::store::strangers::STRANGER_DAYS;

/// Forgets what is old at `now`: requests of more than a day ago, failed logins
/// of more than [`STRANGER_DAYS`], and entries of the audit trail that have been
/// kept for `audit_keep_days` (`None`: for ever). Nothing while the clock is not believed.
pub(super) async fn forget_old(store: &Store, now: Timestamp, audit_keep_days: Option<u32>) {
    match store.look_at_clock(now).await {
        Ok(clock) if clock.may_forget() => {}
        Ok(_) => return,
        Err(error) => {
            tracing::warn!(%error, "the clock could not be judged, and nothing old was removed; trying again in a minute");
            return;
        }
    }
    if let Err(error) = store.forget_requests(now).await {
        tracing::warn!(%error, "requests of more than a day ago could not be forgotten; trying again in a minute");
    }
    if let Err(error) = store.forget_sessions(now).await {
        tracing::warn!(%error, "logins that have ended could not be forgotten; trying again in a minute");
    }
    let days_ago =
        |days: u32| now.checked_add_seconds(-i64::from(days) * SECONDS_PER_DAY).unwrap_or(Timestamp::MIN);
    let stranger_days = audit_keep_days.map_or(STRANGER_DAYS, |days| days.min(STRANGER_DAYS));
    if let Err(error) = store.forget_strangers(days_ago(stranger_days)).await {
        tracing::warn!(%error, "old failed logins could not be removed; trying again in a minute");
    }
    if let Some(days) = audit_keep_days
        && let Err(error) = store.prune_audit(days_ago(days)).await
    {
        tracing::warn!(%error, "old entries of the audit trail could not be removed; trying again in a minute");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Actor, ActorKind};
    use crate::store::AuditFilter;

    const NOW: i64 = 1_900_000_000;
    const DAY: i64 = SECONDS_PER_DAY;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    async fn note(store: &Store, now: i64) {
        let actor = Actor { kind: ActorKind::System, name: "root".to_owned(), token: None, ip: None };
        store.record_renewal_request(actor, at(now)).await.unwrap();
    }

    async fn entries(store: &Store) -> u64 {
        store.audit(AuditFilter::default(), None, 10).await.unwrap().total
    }

    #[tokio::test]
    async fn a_clock_years_ahead_erases_no_audit_trail_at_this_start_or_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sitewarden.redb");
        let store = Store::open(&path).unwrap();
        note(&store, NOW).await;
        forget_old(&store, at(NOW + 60), Some(730)).await;
        store.close();
        let wrong = NOW + 800 * DAY;
        for start in 1..=2 {
            let store = Store::open(&path).unwrap();
            forget_old(&store, at(wrong), Some(730)).await;
            // What is recorded meanwhile vouches for nothing.
            note(&store, wrong).await;
            forget_old(&store, at(wrong + 60), Some(730)).await;
            assert_eq!(entries(&store).await, 1 + start);
            store.close();
        }
        let store = Store::open(&path).unwrap();
        forget_old(&store, at(NOW + 120), Some(730)).await;
        assert_eq!(entries(&store).await, 3);
        // By days, as it should be.
        for day in 1..=732 {
            forget_old(&store, at(NOW + day * DAY), Some(730)).await;
        }
        assert_eq!(entries(&store).await, 2, "its own time came");
    }

    #[tokio::test]
    async fn what_a_wrong_clock_has_dated_does_not_keep_what_is_old() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("sitewarden.redb")).unwrap();
        let here = std::net::IpAddr::from([127, 0, 0, 1]);
        let strangers = AuditFilter { actor_kind: Some(ActorKind::Stranger), ..AuditFilter::default() };
        let failed = async || store.audit(strangers.clone(), None, 10).await.unwrap().total;
        forget_old(&store, at(NOW), Some(730)).await;
        // The first entries are years ahead, then the clock is put right.
        for wrong in [NOW + 3650 * DAY, NOW + 3651 * DAY] {
            forget_old(&store, at(wrong), Some(730)).await;
            note(&store, wrong).await;
            store.record_failed_login(None, here, at(wrong)).await.unwrap();
        }
        for day in 0..735 {
            forget_old(&store, at(NOW + day * DAY), Some(730)).await;
            if day < 5 {
                note(&store, NOW + day * DAY).await;
                store.record_failed_login(None, here, at(NOW + day * DAY)).await.unwrap();
            }
            match day {
                29 => assert_eq!((entries(&store).await, failed().await), (7, 7)),
                36 => assert_eq!((entries(&store).await, failed().await), (7, 2)),
                _ => {}
            }
        }
        assert_eq!(entries(&store).await, 2 + 1, "of its day 4 the 730 are not over");
    }

    #[tokio::test]
    async fn a_file_that_knows_no_time_yet_goes_by_its_newest_entry() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sitewarden.redb");
        let store = Store::open(&path).unwrap();
        note(&store, NOW).await;
        store.close();
        let store = Store::open(&path).unwrap();
        forget_old(&store, at(NOW + 800 * DAY), Some(730)).await;
        assert_eq!(entries(&store).await, 1);
    }
}

//! Failed logins, kept apart from the trail and within bounds.

use super::*;
use crate::domain::Action;
use crate::store::strangers::{MAX_STRANGERS, STRANGER_DAYS};

fn of_strangers() -> AuditFilter {
    AuditFilter { actor_kind: Some(ActorKind::Stranger), ..AuditFilter::default() }
}

#[tokio::test]
async fn a_failed_login_is_beside_the_trail_and_keeps_a_name_only_where_it_is_an_admins() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    store.record_failed_login(Some("Anna".parse().unwrap()), HERE, at(NOW)).await.unwrap();
    store.record_failed_login(None, HERE, at(NOW + 5)).await.unwrap();
    let page = store.audit(of_strangers(), None, 10).await.unwrap();
    let told: Vec<_> =
        page.entries.iter().map(|entry| (entry.id, entry.at, entry.admin.as_deref())).collect();
    assert_eq!(told, [(2, at(NOW + 5), None), (1, at(NOW), Some("Anna"))]);
    for entry in &page.entries {
        assert_eq!((entry.actor.kind, entry.actor.ip), (ActorKind::Stranger, Some(HERE)));
        assert_eq!(entry.actor.name, entry.admin.clone().unwrap_or_default());
    }
    // Nothing of it is in the trail, and the action asks for it as well.
    let total = async |filter: AuditFilter| store.audit(filter, None, 10).await.unwrap().total;
    assert_eq!(total(AuditFilter::default()).await, 0);
    let failed = AuditFilter { action: Some(Action::LoginFailed), ..AuditFilter::default() };
    assert_eq!(total(failed.clone()).await, 2);
    assert_eq!(total(AuditFilter { actor_kind: Some(ActorKind::Admin), ..failed }).await, 0);
    let registered = Some(Action::SiteRegistered);
    assert_eq!(total(AuditFilter { action: registered, ..of_strangers() }).await, 0);
    assert_eq!(total(AuditFilter { admin: Some("ANNA".to_owned()), ..of_strangers() }).await, 1);
    assert_eq!(total(AuditFilter { since: Some(at(NOW + 1)), ..of_strangers() }).await, 1);
    assert_eq!(total(AuditFilter { site_id: Some(SiteId::from_u128(1)), ..of_strangers() }).await, 0);
    let older = store.audit(of_strangers(), Some(2), 10).await.unwrap();
    assert_eq!((older.entries.len(), older.entries[0].id, older.total), (1, 1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_failed_logins_the_newest_10_000_are_kept_and_their_file_does_not_grow() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    let size = || directory.path().join(FILE_NAME).metadata().unwrap().len();
    let empty = size();
    let fail = async |count: u64| {
        let logins: Vec<_> = (0..count)
            .map(|number| {
                let store = store.clone();
                let seconds = i64::try_from(number).unwrap();
                tokio::spawn(async move { store.record_failed_login(None, HERE, at(NOW + seconds)).await })
            })
            .collect();
        for login in logins {
            login.await.unwrap().unwrap();
        }
    };
    fail(MAX_STRANGERS).await;
    let full = size();
    fail(MAX_STRANGERS + 50).await;
    let page = store.audit(of_strangers(), None, 1).await.unwrap();
    assert_eq!((page.total, page.entries[0].id), (MAX_STRANGERS, 2 * MAX_STRANGERS + 50));
    println!(
        "{MAX_STRANGERS} failed logins: file of {empty} bytes, then {full}, after as many again {}",
        size()
    );
    assert!(size() <= empty + 200 * MAX_STRANGERS, "{} bytes", size());
}

#[tokio::test]
async fn failed_logins_of_more_than_30_days_ago_are_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    let age = i64::from(STRANGER_DAYS) * 86_400;
    for seconds in [-1, 0, age] {
        store.record_failed_login(None, HERE, at(NOW + seconds)).await.unwrap();
    }
    assert_eq!(store.forget_strangers(at(NOW)).await.unwrap(), 1);
    assert_eq!(store.forget_strangers(at(NOW)).await.unwrap(), 0);
    let left = store.audit(of_strangers(), None, 10).await.unwrap();
    assert_eq!(left.entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), [3, 2]);
    // A number is not given twice, though all are gone.
    assert_eq!(store.forget_strangers(Timestamp::MAX).await.unwrap(), 2);
    store.record_failed_login(None, HERE, at(NOW)).await.unwrap();
    assert_eq!(store.audit(of_strangers(), None, 10).await.unwrap().entries[0].id, 4);
}

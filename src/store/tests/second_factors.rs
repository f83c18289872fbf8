//! Second factors and open logins: what becomes of them with their admin, and
//! in copies.

use super::*;
use crate::domain::second_factor::WRONG_BEFORE_PAUSE;
use crate::domain::session::MAX_SESSIONS;
use crate::domain::{OtpSecret, RecoveryCode, SessionId, TokenEpoch, TypedCode, Username};
use crate::store::{CodeFault, CodeOutcome, LoginClaim};

fn anna() -> Username {
    "Anna".parse().unwrap()
}

fn secret() -> OtpSecret {
    OtpSecret::from_random_bits([7; 20])
}

fn code(seconds: i64) -> TypedCode {
    secret().code_at(at(seconds)).parse().unwrap()
}

fn claim(session: u64, code: Option<TypedCode>) -> LoginClaim {
    LoginClaim {
        admin: 1,
        epoch: TokenEpoch(5),
        code,
        session: SessionId(session),
        expires_at: at(NOW + 900),
        ip: [192, 0, 2, 1].into(),
        keeps_refusal: true,
    }
}

/// A store with an admin; with a second factor, where `protected`.
async fn store(directory: &tempfile::TempDir, protected: bool) -> Store {
    let store = open_in(directory.path());
    store.create_admin(anna(), "hash".to_owned(), TokenEpoch(5), root(), at(NOW)).await.unwrap().unwrap();
    if protected {
        store.begin_second_factor(anna(), secret()).await.unwrap().unwrap();
        let recovery = vec![RecoveryCode::from_random_bits([1; 10]).hash()];
        let confirmed =
            store.confirm_second_factor(anna(), code(NOW - 60), recovery, None, root(), at(NOW - 60)).await;
        confirmed.unwrap().unwrap();
    }
    store
}

#[tokio::test]
async fn of_two_logins_at_once_with_one_code_one_gets_in() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory, true).await;
    let (one, other) = tokio::join!(
        store.log_in(claim(1, Some(code(NOW))), at(NOW)),
        store.log_in(claim(2, Some(code(NOW))), at(NOW))
    );
    let opened = [one, other].map(|outcome| matches!(outcome.unwrap(), CodeOutcome::Opened(_)));
    assert_eq!(opened.iter().filter(|opened| **opened).count(), 1);
    assert_eq!(store.sessions(1, at(NOW)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_used_and_what_was_wrong_outlives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let first = store(&directory, true).await;
    assert!(matches!(
        first.log_in(claim(1, Some(code(NOW))), at(NOW)).await.unwrap(),
        CodeOutcome::Opened(_)
    ));
    for _ in 0..WRONG_BEFORE_PAUSE {
        let wrong = first.log_in(claim(2, Some(code(NOW))), at(NOW)).await.unwrap();
        assert!(matches!(wrong, CodeOutcome::Refused(CodeFault::Code(_))), "{wrong:?}");
    }
    first.close();
    let store = open_in(directory.path());
    let paused = store.log_in(claim(3, Some(code(NOW + 30))), at(NOW + 30)).await.unwrap();
    let CodeOutcome::Refused(CodeFault::Code(refused)) = paused else { panic!("{paused:?}") };
    assert_eq!(refused, crate::domain::CodeRefused::Paused);
}

#[tokio::test]
async fn a_password_changed_between_its_check_and_the_login_opens_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory, false).await;
    store.change_password(anna(), "other".to_owned(), TokenEpoch(6), root(), at(NOW)).await.unwrap().unwrap();
    let outcome = store.log_in(claim(1, None), at(NOW)).await.unwrap();
    assert!(matches!(outcome, CodeOutcome::Refused(CodeFault::Gone)), "{outcome:?}");
}

#[tokio::test]
async fn a_changed_password_ends_logins_and_leaves_the_second_factor_and_a_deleted_admin_leaves_neither() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory, true).await;
    store.log_in(claim(1, Some(code(NOW))), at(NOW)).await.unwrap();
    store.change_password(anna(), "other".to_owned(), TokenEpoch(6), root(), at(NOW)).await.unwrap().unwrap();
    assert_eq!(store.sessions(1, at(NOW)).await.unwrap(), []);
    assert!(store.second_factor(1).await.unwrap().is_some());
    store
        .create_admin("bert".parse().unwrap(), "hash".to_owned(), TokenEpoch(1), root(), at(NOW))
        .await
        .unwrap()
        .unwrap();
    store.delete_admin(anna(), root(), at(NOW)).await.unwrap().unwrap();
    assert!(store.second_factor(1).await.unwrap().is_none());
}

#[tokio::test]
async fn the_oldest_of_too_many_logins_ends_after_those_that_are_over() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory, false).await;
    for number in 0..=MAX_SESSIONS {
        let second = i64::try_from(number).unwrap();
        store.log_in(claim(u64::try_from(number).unwrap(), None), at(NOW + second)).await.unwrap();
    }
    let open = store.sessions(1, at(NOW)).await.unwrap();
    assert_eq!(open.len(), MAX_SESSIONS);
    assert!(open.iter().all(|session| session.id != SessionId(0)));
    assert_eq!(store.forget_sessions(at(NOW + 899)).await.unwrap(), 0);
    assert_eq!(store.forget_sessions(at(NOW + 900)).await.unwrap(), MAX_SESSIONS);
}

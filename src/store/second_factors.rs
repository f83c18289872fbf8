//! Second factors, and what a code of theirs opens: a login, or what asks for
//! a code again. A code is looked at inside the transaction that uses it up or
//! counts it, so that two requests can never both log in with one.

use std::net::IpAddr;

use super::codec::{Row as _, SecondFactorRow, StrangerRow};
use super::error::{Outcome, Unavailable, unreadable};
use super::handle::Store;
use super::tables::{Tables, Transaction, WriteTables};
use super::{admins, session_rows, strangers, trail};
use crate::domain::audit::{Field, FieldValue};
use crate::domain::{
    Action, Actor, ActorKind, Admin, AdminId, CodeKind, CodeRefused, ConfirmedFactor, FieldChange, Means,
    NewAuditEntry, OtpSecret, RecoveryHash, SecondFactor, Session, SessionId, Timestamp, TokenEpoch,
    TypedCode, Username,
};

/// What the trail calls the server itself.
const SERVER: &str = "sitewarden";

/// Why a second factor was not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeginRefused {
    /// There is no admin of that name.
    NoSuchAdmin,
    /// There is one already.
    AlreadyOn,
}

/// Why a second factor was not confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfirmRefused {
    /// There is no admin of that name.
    NoSuchAdmin,
    /// None was begun.
    NotBegun,
    /// It is confirmed already.
    AlreadyOn,
    /// It is no code of the app of this moment.
    WrongCode,
}

/// Why a second factor was not taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveRefused {
    /// There is no admin of that name.
    NoSuchAdmin,
    /// There is none.
    NotOn,
}

/// A login whose password was right.
#[derive(Clone)]
pub struct LoginClaim {
    /// The admin, as it was when the password was checked.
    pub admin: AdminId,
    /// The epoch of then.
    pub epoch: TokenEpoch,
    /// What followed the password.
    pub code: Option<TypedCode>,
    /// The number that its session is to have.
    pub session: SessionId,
    /// When it is to end.
    pub expires_at: Timestamp,
    /// Where it comes from.
    pub ip: IpAddr,
    /// Whether a refusal is to be kept among those of strangers.
    pub keeps_refusal: bool,
}

/// What became of a code, or of its absence.
#[derive(Debug)]
pub enum CodeOutcome {
    /// The session, open.
    Opened(Session),
    /// Refused.
    Refused(CodeFault),
}

/// Why a login with a right password, or a step-up, was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeFault {
    /// The admin has another password by now, or is gone, or the session is.
    Gone,
    /// A code is needed, and none was sent.
    Missing,
    /// The admin has no second factor.
    NoFactor,
    /// The code did not count.
    Code(CodeRefused),
}

impl Store {
    /// The second factor of an admin, or `None`.
    pub async fn second_factor(&self, admin: AdminId) -> Result<Option<SecondFactor>, Unavailable> {
        self.read(move |tables| load(tables, admin)).await
    }

    /// The admin of this name, and whether a login needs a code; `None`: there
    /// is none.
    pub async fn admin_for_login(&self, username: Username) -> Result<Option<(Admin, bool)>, Unavailable> {
        self.read(move |tables| match admins::named(tables, &username)? {
            Some(admin) => {
                let needs_code = matches!(load(tables, admin.id)?, Some(SecondFactor::On(_)));
                Ok(Some((admin, needs_code)))
            }
            None => Ok(None),
        })
        .await
    }

    /// Begins a second factor, in the place of one that was begun and never
    /// confirmed. Logins need no code yet.
    pub async fn begin_second_factor(
        &self,
        username: Username,
        secret: OtpSecret,
    ) -> Outcome<Admin, BeginRefused> {
        self.write(move |tables| {
            let Some(admin) = admins::named(tables, &username)? else {
                return Ok(Err(BeginRefused::NoSuchAdmin));
            };
            if let Some(SecondFactor::On(_)) = load(tables, admin.id)? {
                return Ok(Err(BeginRefused::AlreadyOn));
            }
            put(tables, admin.id, &SecondFactor::Begun(secret.clone()))?;
            Ok(Ok(admin))
        })
        .await
    }

    /// Confirms a second factor that was begun: from this commit on logins
    /// need a code. Every session of the admin ends but `kept`, which has
    /// shown its code now.
    pub async fn confirm_second_factor(
        &self,
        username: Username,
        code: TypedCode,
        recovery: Vec<RecoveryHash>,
        kept: Option<SessionId>,
        by: Actor,
        now: Timestamp,
    ) -> Outcome<(), ConfirmRefused> {
        self.write(move |tables| {
            let Some(admin) = admins::named(tables, &username)? else {
                return Ok(Err(ConfirmRefused::NoSuchAdmin));
            };
            let secret = match load(tables, admin.id)? {
                Some(SecondFactor::Begun(secret)) => secret,
                Some(SecondFactor::On(_)) => return Ok(Err(ConfirmRefused::AlreadyOn)),
                None => return Ok(Err(ConfirmRefused::NotBegun)),
            };
            let Ok(factor) = SecondFactor::confirmed(&secret, &code, recovery.clone(), now) else {
                return Ok(Err(ConfirmRefused::WrongCode));
            };
            put(tables, admin.id, &SecondFactor::On(factor))?;
            session_rows::remove_all(tables, admin.id, kept)?;
            if let Some(session) =
                kept.map(|id| session_rows::load(tables, admin.id, id)).transpose()?.flatten()
            {
                session_rows::put(tables, &Session { second_factor_at: Some(now), ..session })?;
            }
            session_rows::note(tables, Action::OtpEnabled, &by, admin.username.as_str(), now)?;
            Ok(Ok(()))
        })
        .await
    }

    /// Takes a second factor off, confirmed or begun, with `action` in the
    /// trail: the admin's own doing, or a reset on the host.
    pub async fn remove_second_factor(
        &self,
        username: Username,
        action: Action,
        by: Actor,
        now: Timestamp,
    ) -> Outcome<(), RemoveRefused> {
        self.write(move |tables| {
            let Some(admin) = admins::named(tables, &username)? else {
                return Ok(Err(RemoveRefused::NoSuchAdmin));
            };
            if !tables.second_factors.has(admin.id)? {
                return Ok(Err(RemoveRefused::NotOn));
            }
            tables.second_factors.remove(admin.id)?;
            session_rows::note(tables, action, &by, admin.username.as_str(), now)?;
            Ok(Ok(()))
        })
        .await
    }

    /// Logs an admin in whose password was right: looks at the code where one
    /// is needed, opens a session, and tells the trail, or counts a wrong code
    /// and keeps the failed login, all in one commit.
    pub async fn log_in(&self, claim: LoginClaim, now: Timestamp) -> Result<CodeOutcome, Unavailable> {
        self.write_always(move |tables| {
            let refused = |tables: &mut WriteTables<'_>, name: Option<&Admin>, fault| {
                let name = name.map(|admin| admin.username.as_str().to_owned());
                let row = StrangerRow { at: now.unix(), ip: Some(claim.ip), admin: name };
                // With or without a row it takes a commit: how long the answer
                // takes must not tell that the password was right.
                if claim.keeps_refusal {
                    strangers::keep(tables, &row)?
                } else {
                    tables.commit_nothing()
                }
                Ok(CodeOutcome::Refused(fault))
            };
            let admin = admins::load(tables, claim.admin)?.filter(|admin| admin.token_epoch == claim.epoch);
            let Some(admin) = admin else {
                return refused(tables, None, CodeFault::Gone);
            };
            let means = match (load(tables, admin.id)?, &claim.code) {
                (Some(SecondFactor::On(_)), None) => {
                    return refused(tables, Some(&admin), CodeFault::Missing);
                }
                (Some(SecondFactor::On(factor)), Some(code)) => {
                    match look_at(tables, &admin, factor, code, claim.ip, now)? {
                        Ok(CodeKind::App) => Means::PasswordAndOtp,
                        Ok(CodeKind::Recovery) => Means::PasswordAndRecoveryCode,
                        Err(fault) => return refused(tables, Some(&admin), CodeFault::Code(fault)),
                    }
                }
                // A code that nobody asked for says nothing.
                (Some(SecondFactor::Begun(_)) | None, _) => Means::Password,
            };
            let session = Session {
                id: claim.session,
                admin: admin.id,
                kind: crate::domain::SessionKind::Token,
                created_at: now,
                expires_at: claim.expires_at,
                ip: claim.ip,
                means,
                second_factor_at: (means != Means::Password).then_some(now),
            };
            session_rows::open(tables, &session, now)?;
            let by = Actor {
                kind: ActorKind::Admin,
                name: admin.username.as_str().to_owned(),
                token: None,
                ip: Some(claim.ip),
            };
            let how = FieldValue::Text(means.as_str().to_owned());
            let changes = vec![FieldChange { field: Field::Means, before: None, after: Some(how) }];
            let entry = NewAuditEntry::of(Action::LoginSucceeded, &by, now);
            trail::append(tables, NewAuditEntry { admin: Some(by.name.clone()), changes, ..entry })?;
            Ok(CodeOutcome::Opened(session))
        })
        .await
    }

    /// Looks at a code that the holder of an open session sends again.
    pub async fn step_up(
        &self,
        admin: AdminId,
        session: SessionId,
        code: TypedCode,
        ip: IpAddr,
        now: Timestamp,
    ) -> Result<CodeOutcome, Unavailable> {
        self.write_always(move |tables| {
            let found = (admins::load(tables, admin)?, session_rows::load(tables, admin, session)?);
            let (Some(admin), Some(session)) = found else {
                return Ok(CodeOutcome::Refused(CodeFault::Gone));
            };
            let Some(SecondFactor::On(factor)) = load(tables, admin.id)? else {
                return Ok(CodeOutcome::Refused(CodeFault::NoFactor));
            };
            if let Err(fault) = look_at(tables, &admin, factor, &code, ip, now)? {
                return Ok(CodeOutcome::Refused(CodeFault::Code(fault)));
            }
            let session = Session { second_factor_at: Some(now), ..session };
            session_rows::put(tables, &session)?;
            Ok(CodeOutcome::Opened(session))
        })
        .await
    }
}

/// Looks at a code, and stores what comes of it. That a pause begins is in the
/// trail: somebody has the password.
fn look_at(
    tables: &mut WriteTables<'_>,
    admin: &Admin,
    mut factor: ConfirmedFactor,
    code: &TypedCode,
    ip: IpAddr,
    now: Timestamp,
) -> Result<Result<CodeKind, CodeRefused>, Unavailable> {
    let answer = factor.check(code, now);
    put(tables, admin.id, &SecondFactor::On(factor))?;
    if answer == Err(CodeRefused::Pauses) {
        let by = Actor { kind: ActorKind::System, name: SERVER.to_owned(), token: None, ip: Some(ip) };
        session_rows::note(tables, Action::OtpPaused, &by, admin.username.as_str(), now)?;
    }
    Ok(answer)
}

fn put(tables: &mut WriteTables<'_>, admin: AdminId, factor: &SecondFactor) -> Result<(), Unavailable> {
    tables.second_factors.put(admin, &SecondFactorRow::from_factor(factor))
}

fn load(tables: &Tables<'_, impl Transaction>, admin: AdminId) -> Result<Option<SecondFactor>, Unavailable> {
    tables.second_factors.get(admin)?.map(of_row).transpose()
}

fn of_row(row: SecondFactorRow) -> Result<SecondFactor, Unavailable> {
    row.into_factor().map_err(|error| unreadable(SecondFactorRow::TABLE, error))
}

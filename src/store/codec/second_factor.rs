//! The records of a second factor and of an open login.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::bytes::{DecodeError, time};
use crate::domain::second_factor::{RECOVERY_CODES, WrongCodes};
use crate::domain::{
    ConfirmedFactor, Means, OtpSecret, RecoveryHash, SecondFactor, Session, SessionId, SessionKind,
};

/// The second factor of an admin, whose number is the key of its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct SecondFactorRow {
    pub(super) secret: [u8; 20],
    /// `None`: begun, and not confirmed yet.
    pub(super) confirmed: Option<ConfirmedRow>,
}

/// What there is of it from its confirmation on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ConfirmedRow {
    pub(super) since: i64,
    pub(super) last_step: u64,
    pub(super) recovery: Vec<[u8; 32]>,
    pub(super) wrong: u32,
    pub(super) last_wrong_at: i64,
    pub(super) pauses: u32,
    pub(super) paused_until: i64,
}

impl SecondFactorRow {
    pub(in crate::store) fn from_factor(factor: &SecondFactor) -> Self {
        match factor {
            SecondFactor::Begun(secret) => Self { secret: *secret.as_bytes(), confirmed: None },
            SecondFactor::On(factor) => Self {
                secret: *factor.secret.as_bytes(),
                confirmed: Some(ConfirmedRow {
                    since: factor.since.unix(),
                    last_step: factor.last_step,
                    recovery: factor.recovery.iter().map(|hash| hash.0).collect(),
                    wrong: factor.wrong.count,
                    last_wrong_at: factor.wrong.last_at.unix(),
                    pauses: factor.wrong.pauses,
                    paused_until: factor.wrong.paused_until.unix(),
                }),
            },
        }
    }

    pub(in crate::store) fn into_factor(self) -> Result<SecondFactor, DecodeError> {
        let secret = OtpSecret::from_random_bits(self.secret);
        let Some(row) = self.confirmed else {
            return Ok(SecondFactor::Begun(secret));
        };
        if row.recovery.len() > RECOVERY_CODES {
            return Err(DecodeError::Field("recovery"));
        }
        Ok(SecondFactor::On(ConfirmedFactor {
            secret,
            since: time("since", row.since)?,
            last_step: row.last_step,
            recovery: row.recovery.into_iter().map(RecoveryHash).collect(),
            wrong: WrongCodes {
                count: row.wrong,
                last_at: time("last_wrong_at", row.last_wrong_at)?,
                pauses: row.pauses,
                paused_until: time("paused_until", row.paused_until)?,
            },
        }))
    }
}

/// An open login. Admin and id are the key of its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct SessionRow {
    pub(super) kind: u8,
    pub(super) created_at: i64,
    pub(super) expires_at: i64,
    pub(super) ip: IpAddr,
    pub(super) means: u8,
    pub(super) second_factor_at: Option<i64>,
}

impl SessionRow {
    const TOKEN: u8 = 1;

    /// The key of a session: those of an admin stand together.
    pub(in crate::store) fn key(admin: u64, id: SessionId) -> u128 {
        u128::from(admin) << 64 | u128::from(id.0)
    }

    /// The admin whom the session of this key belongs to.
    pub(in crate::store) fn admin_of(key: u128) -> u64 {
        (key >> 64) as u64
    }

    pub(in crate::store) fn from_session(session: &Session) -> Self {
        Self {
            kind: match session.kind {
                SessionKind::Token => Self::TOKEN,
            },
            created_at: session.created_at.unix(),
            expires_at: session.expires_at.unix(),
            ip: session.ip,
            means: match session.means {
                Means::Password => 1,
                Means::PasswordAndOtp => 2,
                Means::PasswordAndRecoveryCode => 3,
            },
            second_factor_at: session.second_factor_at.map(|at| at.unix()),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    pub(in crate::store) fn into_session(self, key: u128) -> Result<Session, DecodeError> {
        Ok(Session {
            id: SessionId(key as u64),
            admin: Self::admin_of(key),
            kind: match self.kind {
                Self::TOKEN => SessionKind::Token,
                _ => return Err(DecodeError::Field("kind")),
            },
            created_at: time("created_at", self.created_at)?,
            expires_at: time("expires_at", self.expires_at)?,
            ip: self.ip,
            means: match self.means {
                1 => Means::Password,
                2 => Means::PasswordAndOtp,
                3 => Means::PasswordAndRecoveryCode,
                _ => return Err(DecodeError::Field("means")),
            },
            second_factor_at: self.second_factor_at.map(|at| time("second_factor_at", at)).transpose()?,
        })
    }
}

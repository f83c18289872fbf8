//! An open login: what a token must belong to, so that it can be ended before
//! its time and be seen by whom it concerns.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::admin::AdminId;
use super::time::Timestamp;

/// Most logins of one admin that are open at once; the oldest ends when one
/// more begins.
pub const MAX_SESSIONS: usize = 200;

/// A session's number, 64 random bits. It is no secret: what proves a login is
/// the token's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub u64);

/// The text is no session's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotASessionId;

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for SessionId {
    type Err = NotASessionId;

    fn from_str(text: &str) -> Result<Self, NotASessionId> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = u64::from_str_radix(text, 16).ok().filter(|_| is_hex);
        id.map(Self).ok_or(NotASessionId)
    }
}

/// What holds a session open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// An access token.
    Token,
}

/// By what an admin logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// The password alone.
    Password,
    /// The password and a code of the authenticator app.
    PasswordAndOtp,
    /// The password and a recovery code.
    PasswordAndRecoveryCode,
}

impl Means {
    /// Every means.
    pub const ALL: [Self; 3] = [Self::Password, Self::PasswordAndOtp, Self::PasswordAndRecoveryCode];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::PasswordAndOtp => "password+totp",
            Self::PasswordAndRecoveryCode => "password+recovery_code",
        }
    }
}

/// An open login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its number.
    pub id: SessionId,
    /// Whose it is.
    pub admin: AdminId,
    /// What holds it open.
    pub kind: SessionKind,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Where the login came from.
    pub ip: IpAddr,
    /// By what.
    pub means: Means,
    /// When the second factor was last shown; `None`: it was not.
    pub second_factor_at: Option<Timestamp>,
}

impl Session {
    /// Whether it is over at `now`.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_sixteen_hexadecimal_digits() {
        for id in [SessionId(0), SessionId(0xfedc_ba98_7654_3210)] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for bad in ["", "0", "+000000000000001", "00000000000000000", "000000000000000g"] {
            assert_eq!(bad.parse::<SessionId>(), Err(NotASessionId), "{bad}");
        }
    }
}

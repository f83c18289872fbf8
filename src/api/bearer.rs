//! Bearer tokens in requests, and how they are refused (RFC 6750).

use std::net::IpAddr;

use poem::Request;
use poem::http::{StatusCode, header};

use super::problem::Problem;
use crate::domain::{Scope, Timestamp};

/// The token of an `Authorization: Bearer` header (RFC 6750, section 2.1).
pub(super) fn bearer_token(request: &Request) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Who holds a token for programs is told what is wrong with it: nobody can
/// guess one.
impl Problem {
    /// 401 for a token for programs that has a mistake in it.
    pub fn misspelt_token() -> Self {
        Self::bad_token(
            "the token is mistyped or cut off: its checksum does not fit; copy all 42 characters of it again",
        )
    }

    /// 401 for a token for programs that there is not.
    pub fn unknown_token() -> Self {
        Self::bad_token(
            "there is no such token, or it has been ended, or its admin deleted: make another one (sitewarden \
             token add, or POST /api/tokens)",
        )
    }

    /// 401 for a token for programs whose time is over.
    pub fn expired_token(end: Timestamp) -> Self {
        Self::bad_token(&format!(
            "the token expired at {end}: make another one (sitewarden token add, or POST /api/tokens)"
        ))
    }

    /// 401 for a token for programs that was sent from elsewhere.
    pub fn foreign_token(from: IpAddr) -> Self {
        Self::bad_token(&format!(
            "the token does not count from {from}, where the request came from: make one with that network, or \
             send it from where it counts"
        ))
    }

    fn bad_token(detail: &str) -> Self {
        Self {
            challenge: Some("Bearer realm=\"sitewarden\", error=\"invalid_token\""),
            ..Self::new(StatusCode::UNAUTHORIZED, detail)
        }
    }

    /// 404 for a number that no token has.
    pub fn no_such_token() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no token with this id")
    }

    /// 403 for a token for programs, of whatever scope, for what an admin does
    /// in person.
    pub fn no_program() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "no token for programs may do this: log in as the admin, or do it on the host (sitewarden admin)",
        )
    }

    /// 403: whoever asks may do less (RFC 6750, section 3.1).
    pub fn insufficient_scope(needed: Scope, has: Scope) -> Self {
        Self {
            challenge: Some(match needed {
                Scope::Read => "Bearer realm=\"sitewarden\", error=\"insufficient_scope\", scope=\"read\"",
                Scope::Operate => {
                    "Bearer realm=\"sitewarden\", error=\"insufficient_scope\", scope=\"operate\""
                }
                Scope::Backup => {
                    "Bearer realm=\"sitewarden\", error=\"insufficient_scope\", scope=\"backup\""
                }
                Scope::Admin => "Bearer realm=\"sitewarden\", error=\"insufficient_scope\", scope=\"admin\"",
            }),
            ..Self::new(
                StatusCode::FORBIDDEN,
                format!(
                    "this needs the scope {needed}, and the token has {has}: send one that has it, or log in"
                ),
            )
        }
    }
}

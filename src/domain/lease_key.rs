//! When which key signs leases.
//!
//! Local backends know the keys that they may believe. So a new key is
//! announced first, in leases that the old one signs, and signs itself when
//! every site has had the time to hear of it.

use super::time::{SECONDS_PER_DAY, Timestamp};

/// How long a key is announced before it signs, in seconds: 30 days.
pub const ANNOUNCED_SECONDS: i64 = 30 * SECONDS_PER_DAY;

/// What is stored of a key beside itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredKey {
    /// Its number, from 1; a greater one is newer.
    pub number: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it signs, until a newer one does.
    pub signs_from: Timestamp,
}

/// What a key is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It signed, and its leases may still be in use.
    Retired,
    /// It signs.
    Signing,
    /// It will sign, and is told to local backends.
    Announced,
}

impl KeyState {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retired => "retired",
            Self::Signing => "signing",
            Self::Announced => "announced",
        }
    }
}

/// What each of `keys`, in the order of their numbers, is there for at `now`.
/// Where none signs yet, because the clock was set back, the oldest does.
pub fn states(keys: &[StoredKey], now: Timestamp) -> Vec<KeyState> {
    let signing = keys.iter().rposition(|key| key.signs_from <= now).unwrap_or(0);
    let state = |place: usize| match place.cmp(&signing) {
        std::cmp::Ordering::Less => KeyState::Retired,
        std::cmp::Ordering::Equal => KeyState::Signing,
        std::cmp::Ordering::Greater => KeyState::Announced,
    };
    (0..keys.len()).map(state).collect()
}

/// The rotation was refused: a key is announced already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlreadyAnnounced;

/// What a rotation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// A fresh key is stored, which signs from this time on.
    Add(Timestamp),
    /// The announced key with this number signs from now on.
    Promote(u64),
}

/// What a rotation of `keys` does at `now`: announces a fresh key; or, when it
/// has to be at once, has the announced one sign, or a fresh one where none is.
///
/// # Errors
/// [`AlreadyAnnounced`].
pub fn rotate(keys: &[StoredKey], at_once: bool, now: Timestamp) -> Result<Rotation, AlreadyAnnounced> {
    let announced = keys.iter().zip(states(keys, now)).find(|(_, state)| *state == KeyState::Announced);
    match (announced, at_once) {
        (Some((key, _)), true) => Ok(Rotation::Promote(key.number)),
        (Some(_), false) => Err(AlreadyAnnounced),
        (None, true) => Ok(Rotation::Add(now)),
        (None, false) => {
            Ok(Rotation::Add(now.checked_add_seconds(ANNOUNCED_SECONDS).unwrap_or(Timestamp::MAX)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    fn key(number: u64, signs_from: i64) -> StoredKey {
        StoredKey { number, created_at: at(0), signs_from: at(signs_from) }
    }

    #[test]
    fn a_key_is_announced_then_signs_then_is_retired() {
        use KeyState::{Announced, Retired, Signing};
        let keys = [key(1, 100), key(2, 200), key(3, 300)];
        assert_eq!(states(&keys, at(200)), [Retired, Signing, Announced]);
        assert_eq!(states(&keys, at(299)), [Retired, Signing, Announced]);
        assert_eq!(states(&keys, at(300)), [Retired, Retired, Signing]);
        assert_eq!(states(&keys, at(50)), [Signing, Announced, Announced], "somebody has to sign");
    }

    #[test]
    fn a_rotation_announces_for_30_days_and_one_at_once_takes_what_is_announced() {
        let one = [key(1, 0)];
        assert_eq!(rotate(&one, false, at(10)), Ok(Rotation::Add(at(10 + 30 * 86_400))));
        assert_eq!(rotate(&one, true, at(10)), Ok(Rotation::Add(at(10))));
        let two = [key(1, 0), key(2, 500)];
        assert_eq!(rotate(&two, false, at(10)), Err(AlreadyAnnounced));
        assert_eq!(rotate(&two, true, at(10)), Ok(Rotation::Promote(2)));
        assert!(rotate(&two, false, at(500)).is_ok(), "it signs by now");
    }
}

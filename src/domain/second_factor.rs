//! The second factor of an admin: which codes count, and what a guesser can
//! reach.
//!
//! A code has six digits and two neighbours that count as well, so a guess is
//! right once in 333,333 times. What keeps a guesser who has the password from
//! trying on is the pause: [`WRONG_BEFORE_PAUSE`] wrong codes stop all codes of
//! the app for [`PAUSE_SECONDS`], and twice as long each time that it comes to
//! that again within [`REMEMBERED_SECONDS`]. A right code in between changes
//! nothing of it, or the admin's own logins would give the guesser room. A
//! code is looked at after a right password only: a stranger cannot bring a
//! pause about. Recovery codes have 80 bits, which nobody guesses; they work
//! during a pause, and wrong ones do not count towards it.
//!
//! Rejected: SHA-256 and eight digits, which some apps take and then ignore;
//! a pause of the same length each time, which at 20 codes an hour gives a
//! guesser more than one chance in a hundred within a week.

use super::one_time_code::{Kind, OtpSecret, RecoveryHash, TypedCode};
use super::time::Timestamp;

/// Wrong codes that bring a pause about.
pub const WRONG_BEFORE_PAUSE: u32 = 20;
/// Length of the first pause, in seconds.
pub const PAUSE_SECONDS: i64 = 3_600;
/// Length of the longest pause, in seconds.
pub const LONGEST_PAUSE_SECONDS: i64 = 86_400;
/// After so many seconds without a wrong code those of before are forgotten.
pub const FORGIVEN_SECONDS: i64 = 6 * 3_600;
/// For so many seconds after its end a pause makes the next one longer.
pub const REMEMBERED_SECONDS: i64 = 7 * 86_400;
/// For so many seconds a code that was shown opens what asks for one
/// (RFC 9470, `max_age`).
pub const STEP_UP_SECONDS: i64 = 600;
/// How many recovery codes there are.
pub const RECOVERY_CODES: usize = 10;

/// The second factor of an admin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecondFactor {
    /// The secret was shown, and no code has proved yet that an app has it.
    Begun(OtpSecret),
    /// Logins need a code.
    On(ConfirmedFactor),
}

/// A second factor that logins need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmedFactor {
    /// What the app has too.
    pub secret: OtpSecret,
    /// Since when.
    pub since: Timestamp,
    /// The newest step whose code was used: it and those before are void.
    pub last_step: u64,
    /// The recovery codes that were not used yet.
    pub recovery: Vec<RecoveryHash>,
    /// What wrong codes have led to.
    pub wrong: WrongCodes,
}

/// Wrong codes of the app, and the pauses that they led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongCodes {
    /// How many there were since the last pause or since they were forgiven.
    pub count: u32,
    /// When the last one came; the beginning of time: there was none.
    pub last_at: Timestamp,
    /// How many pauses followed each other.
    pub pauses: u32,
    /// When the last pause ends or ended; the beginning of time: there was
    /// none.
    pub paused_until: Timestamp,
}

impl Default for WrongCodes {
    fn default() -> Self {
        Self { count: 0, last_at: Timestamp::MIN, pauses: 0, paused_until: Timestamp::MIN }
    }
}

impl WrongCodes {
    /// Until when no code of the app counts; `None`: codes count.
    pub fn pause_at(&self, now: Timestamp) -> Option<Timestamp> {
        // A clock that was ahead must not keep an admin out for years.
        let longest = now.checked_add_seconds(LONGEST_PAUSE_SECONDS).unwrap_or(Timestamp::MAX);
        (self.paused_until > now).then_some(self.paused_until.min(longest))
    }

    /// Counts a wrong code; tells whether a pause begins with it.
    fn count_one(&mut self, now: Timestamp) -> bool {
        if now.seconds_since(self.last_at) >= FORGIVEN_SECONDS {
            self.count = 0;
        }
        self.count += 1;
        self.last_at = now;
        if self.count < WRONG_BEFORE_PAUSE {
            return false;
        }
        if now.seconds_since(self.paused_until) >= REMEMBERED_SECONDS {
            self.pauses = 0;
        }
        let seconds = PAUSE_SECONDS.saturating_mul(1_i64 << self.pauses.min(16)).min(LONGEST_PAUSE_SECONDS);
        self.count = 0;
        self.pauses = self.pauses.saturating_add(1);
        self.paused_until = now.checked_add_seconds(seconds).unwrap_or(Timestamp::MAX);
        true
    }
}

/// What a code was that counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeKind {
    /// One of the app.
    App,
    /// A recovery code, which is used up.
    Recovery,
}

/// Why a code did not count. Whoever sent it is told nothing of the sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeRefused {
    /// It is wrong, or was used before.
    Wrong,
    /// It is wrong, and the last before a pause.
    Pauses,
    /// No code of the app counts for now; it was not looked at.
    Paused,
}

impl SecondFactor {
    /// The factor that a first code makes of one that was begun.
    ///
    /// # Errors
    /// [`CodeRefused::Wrong`] when it is no code of the app of this moment.
    pub fn confirmed(
        secret: &OtpSecret,
        code: &TypedCode,
        recovery: Vec<RecoveryHash>,
        now: Timestamp,
    ) -> Result<ConfirmedFactor, CodeRefused> {
        let Kind::App(code) = &code.0 else {
            return Err(CodeRefused::Wrong);
        };
        let last_step = secret.step_of(code, now).ok_or(CodeRefused::Wrong)?;
        let wrong = WrongCodes::default();
        Ok(ConfirmedFactor { secret: secret.clone(), since: now, last_step, recovery, wrong })
    }
}

impl ConfirmedFactor {
    /// Looks at a code that followed a right password, or came with a token:
    /// one that counts is used up, a wrong one is counted. The factor has to
    /// be stored whatever comes out.
    ///
    /// # Errors
    /// [`CodeRefused`].
    pub fn check(&mut self, code: &TypedCode, now: Timestamp) -> Result<CodeKind, CodeRefused> {
        match &code.0 {
            Kind::Recovery(hash) => {
                // Hashes of 80 random bits: how long the comparison takes tells nothing of use.
                let place = self.recovery.iter().position(|known| known == hash).ok_or(CodeRefused::Wrong)?;
                self.recovery.remove(place);
                Ok(CodeKind::Recovery)
            }
            Kind::App(_) if self.wrong.pause_at(now).is_some() => Err(CodeRefused::Paused),
            Kind::App(code) => match self.secret.step_of(code, now) {
                Some(step) if step > self.last_step => {
                    self.last_step = step;
                    Ok(CodeKind::App)
                }
                _ if self.wrong.count_one(now) => Err(CodeRefused::Pauses),
                _ => Err(CodeRefused::Wrong),
            },
        }
    }
}

/// Whether a code that was shown at `shown` opens at `now` what asks for one.
pub fn is_recent(shown: Timestamp, now: Timestamp) -> bool {
    (0..=STEP_UP_SECONDS).contains(&now.seconds_since(shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::one_time_code::{DIGITS, RECOVERY_BYTES, RecoveryCode, SKEW_STEPS};

    /// The secret of RFC 6238, appendix B.
    const RFC_SECRET: [u8; 20] = *b"12345678901234567890";
    const NOW: i64 = 1_900_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    fn code(text: &str) -> TypedCode {
        text.parse().unwrap()
    }

    fn secret() -> OtpSecret {
        OtpSecret::from_random_bits(RFC_SECRET)
    }

    fn recovery_code(number: u8) -> RecoveryCode {
        RecoveryCode::from_random_bits([number; RECOVERY_BYTES])
    }

    fn confirmed() -> ConfirmedFactor {
        let recovery = (1..=10).map(|number| recovery_code(number).hash()).collect();
        let first = code(&secret().code_at(at(NOW - 3_600)));
        SecondFactor::confirmed(&secret(), &first, recovery, at(NOW - 3_600)).unwrap()
    }

    /// A code that counts at no time around `now`.
    fn wrong_code(now: i64) -> TypedCode {
        let around: Vec<String> = (-2..=2).map(|step| secret().code_at(at(now + step * 30))).collect();
        code(&(0..).map(|number| format!("{number:06}")).find(|text| !around.contains(text)).unwrap())
    }

    #[test]
    fn a_code_counts_one_step_before_and_after_and_not_two() {
        for (step, counts) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let typed = code(&secret().code_at(at(NOW + step * 30)));
            assert_eq!(confirmed().check(&typed, at(NOW)).is_ok(), counts, "{step}");
        }
    }

    #[test]
    fn each_step_counts_once_and_none_before_it_afterwards() {
        let mut factor = confirmed();
        let of = |step: i64| code(&secret().code_at(at(NOW + step * 30)));
        assert_eq!(factor.check(&of(0), at(NOW)), Ok(CodeKind::App));
        assert_eq!(factor.check(&of(0), at(NOW)), Err(CodeRefused::Wrong));
        assert_eq!(factor.check(&of(-1), at(NOW)), Err(CodeRefused::Wrong));
        assert_eq!(factor.check(&of(1), at(NOW)), Ok(CodeKind::App));
        assert_eq!(factor.check(&of(1), at(NOW + 30)), Err(CodeRefused::Wrong));
        assert_eq!(factor.check(&of(2), at(NOW + 30)), Ok(CodeKind::App));
    }

    #[test]
    fn the_code_that_confirms_is_used_up() {
        let mut factor = confirmed();
        let first = code(&secret().code_at(at(NOW - 3_600)));
        assert_eq!(factor.check(&first, at(NOW - 3_600)), Err(CodeRefused::Wrong));
        for typed in [wrong_code(NOW), code(&recovery_code(1).expose())] {
            assert!(SecondFactor::confirmed(&secret(), &typed, Vec::new(), at(NOW)).is_err());
        }
    }

    #[test]
    fn a_recovery_code_counts_once_however_it_is_typed() {
        let mut factor = confirmed();
        let text = recovery_code(3).expose();
        assert_eq!(text.len(), 19, "{text}");
        assert_eq!(factor.check(&code(&text), at(NOW)), Ok(CodeKind::Recovery));
        assert_eq!(factor.check(&code(&text), at(NOW)), Err(CodeRefused::Wrong));
        assert_eq!(factor.recovery.len(), RECOVERY_CODES - 1);
        let text = recovery_code(4).expose();
        assert_eq!(
            factor.check(&code(&text.to_uppercase().replace('-', " ")), at(NOW)),
            Ok(CodeKind::Recovery)
        );
        assert_eq!(factor.check(&code(&recovery_code(99).expose()), at(NOW)), Err(CodeRefused::Wrong));
        assert_eq!(factor.wrong, WrongCodes::default(), "nobody guesses 80 bits");
    }

    #[test]
    fn wrong_codes_pause_the_codes_and_a_recovery_code_still_works() {
        let mut factor = confirmed();
        for number in 1..WRONG_BEFORE_PAUSE {
            assert_eq!(factor.check(&wrong_code(NOW), at(NOW)), Err(CodeRefused::Wrong), "{number}");
        }
        let right = |now: i64| code(&secret().code_at(at(now)));
        // A right one in between forgives nothing.
        assert_eq!(factor.check(&right(NOW), at(NOW)), Ok(CodeKind::App));
        assert_eq!(factor.check(&wrong_code(NOW), at(NOW)), Err(CodeRefused::Pauses));
        let end = NOW + PAUSE_SECONDS;
        assert_eq!(factor.wrong.pause_at(at(NOW + 60)), Some(at(end)));
        assert_eq!(factor.check(&right(end - 1), at(end - 1)), Err(CodeRefused::Paused));
        assert_eq!(factor.check(&code(&recovery_code(1).expose()), at(NOW + 60)), Ok(CodeKind::Recovery));
        assert_eq!(factor.check(&right(end), at(end)), Ok(CodeKind::App));
        // The next pause is twice as long, up to a day.
        for expected in [2, 4, 8, 16, 24, 24] {
            let now = factor.wrong.paused_until.unix();
            for _ in 0..WRONG_BEFORE_PAUSE {
                let _ = factor.check(&wrong_code(now), at(now));
            }
            assert_eq!(factor.wrong.paused_until, at(now + expected * 3_600));
        }
        // After a quiet week it is an hour again.
        let now = factor.wrong.paused_until.unix() + REMEMBERED_SECONDS;
        for _ in 0..WRONG_BEFORE_PAUSE {
            let _ = factor.check(&wrong_code(now), at(now));
        }
        assert_eq!(factor.wrong.paused_until, at(now + PAUSE_SECONDS));
    }

    #[test]
    fn mistypes_are_forgiven_after_some_hours() {
        let mut factor = confirmed();
        for day in 0..100 {
            let now = NOW + day * FORGIVEN_SECONDS;
            for _ in 1..WRONG_BEFORE_PAUSE {
                assert_eq!(factor.check(&wrong_code(now), at(now)), Err(CodeRefused::Wrong));
            }
        }
    }

    #[test]
    fn a_pause_of_a_clock_that_was_years_ahead_ends_within_a_day_of_being_told() {
        let wrong = WrongCodes { paused_until: at(NOW + 1_000_000_000), ..WrongCodes::default() };
        assert_eq!(wrong.pause_at(at(NOW)), Some(at(NOW + LONGEST_PAUSE_SECONDS)));
    }

    /// Most codes that whoever has the password can have looked at in any week
    /// of ten, trying as fast as `stop_before` allows: at so many wrong ones
    /// they wait to be forgiven rather than for a pause.
    fn most_in_a_week(stop_before: u32) -> usize {
        let (mut wrong, mut now, mut tried) = (WrongCodes::default(), NOW, Vec::new());
        while now < NOW + 70 * 86_400 {
            if let Some(end) = wrong.pause_at(at(now)) {
                now = end.unix();
            }
            if wrong.count == stop_before && at(now).seconds_since(wrong.last_at) < FORGIVEN_SECONDS {
                now = wrong.last_at.unix() + FORGIVEN_SECONDS;
            }
            wrong.count_one(at(now));
            tried.push(now);
        }
        let within =
            |from: i64| tried.iter().filter(|time| (from..=from + 7 * 86_400).contains(*time)).count();
        tried.iter().map(|from| within(*from)).max().unwrap()
    }

    #[test]
    fn guessing_succeeds_less_than_once_in_five_hundred_weeks() {
        let codes_that_count = f64::from(2 * SKEW_STEPS + 1);
        let chance_of_one = codes_that_count / 10_f64.powi(i32::from(DIGITS));
        for stop_before in [WRONG_BEFORE_PAUSE, WRONG_BEFORE_PAUSE - 1, WRONG_BEFORE_PAUSE / 2] {
            let tries = most_in_a_week(stop_before);
            let chance = 1.0 - (1.0 - chance_of_one).powi(i32::try_from(tries).unwrap());
            // docs/operations.md promises it.
            assert!(chance < 0.002, "{tries} tries, {chance}");
            assert!(tries >= 100, "{tries}: the count itself must be right");
        }
    }

    #[test]
    fn a_code_opens_for_ten_minutes_what_asks_for_one() {
        for (ago, opens) in [(-1, false), (0, true), (600, true), (601, false)] {
            assert_eq!(is_recent(at(NOW - ago), at(NOW)), opens, "{ago}");
        }
    }
}

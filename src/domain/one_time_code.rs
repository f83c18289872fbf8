//! The codes of a second factor: those of an authenticator app (TOTP,
//! RFC 6238), and recovery codes for the day on which its device is lost.
//!
//! Rejected: SHA-256 and eight digits, which some apps take and then ignore.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use totp_rs::{Algorithm, Builder, Totp};

use super::time::Timestamp;

/// Seconds for which a code of the app stands (RFC 6238, section 5.2).
pub const STEP_SECONDS: u64 = 30;
/// How many steps before and after the present one count: clocks differ, and
/// typing takes time (RFC 6238, section 5.2).
pub const SKEW_STEPS: u16 = 1;
/// Digits of a code of the app (RFC 4226, section 5.3).
pub const DIGITS: u8 = 6;
/// Bytes of a secret (RFC 4226, section 4, R6).
pub const SECRET_BYTES: usize = 20;
/// Random bytes of a recovery code.
pub const RECOVERY_BYTES: usize = 10;
/// Characters of a recovery code, without what stands between them.
const RECOVERY_CHARACTERS: usize = RECOVERY_BYTES * 8 / 5;
/// Crockford's base 32: no letters that look like digits.
const RECOVERY_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// RFC 4648, section 6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What the server and the app share: 160 bits. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct OtpSecret([u8; SECRET_BYTES]);

impl OtpSecret {
    /// The secret of these random bits.
    pub fn from_random_bits(bits: [u8; SECRET_BYTES]) -> Self {
        Self(bits)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// As apps take it by hand: base 32 (RFC 4648, section 6).
    pub fn base32(&self) -> String {
        in_fives(&self.0, BASE32)
    }

    /// As apps take it from a QR code: an `otpauth` URI for `account`.
    pub fn uri(&self, account: &str) -> String {
        format!(
            "otpauth://totp/sitewarden:{}?secret={}&issuer=sitewarden&algorithm=SHA1&digits={DIGITS}&period={STEP_SECONDS}",
            percent_encoded(account),
            self.base32()
        )
    }

    /// The code of the moment `now`.
    pub fn code_at(&self, now: Timestamp) -> String {
        self.totp().generate(seconds(now)).to_string()
    }

    /// The step whose code this is, if it is one that counts at `now`.
    pub(super) fn step_of(&self, code: &str, now: Timestamp) -> Option<u64> {
        self.totp().check(code, seconds(now))
    }

    fn totp(&self) -> Totp {
        Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(DIGITS)
            .with_skew(SKEW_STEPS)
            .with_step_duration(STEP_SECONDS)
            .with_secret(self.0)
            .build_noncompliant()
    }
}

impl fmt::Debug for OtpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OtpSecret(…)")
    }
}

/// A recovery code as its owner holds it, in groups of four characters. Never
/// shown by `Debug`.
pub struct RecoveryCode(String);

impl RecoveryCode {
    /// The code of these random bits.
    pub fn from_random_bits(bits: [u8; RECOVERY_BYTES]) -> Self {
        Self(in_fives(&bits, RECOVERY_ALPHABET))
    }

    /// The text, to be shown once.
    pub fn expose(&self) -> String {
        let characters: Vec<char> = self.0.chars().collect();
        let groups: Vec<String> = characters.chunks(4).map(|group| group.iter().collect()).collect();
        groups.join("-")
    }

    /// What the store keeps.
    pub fn hash(&self) -> RecoveryHash {
        RecoveryHash::of(&self.0)
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(…)")
    }
}

/// The SHA-256 of a recovery code: nobody can try 2^80.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryHash(pub [u8; 32]);

impl RecoveryHash {
    fn of(characters: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, characters.as_bytes()).as_ref());
        Self(hash)
    }
}

/// A code as somebody typed it: six digits of the app, or a recovery code;
/// spaces are passed over, in a recovery code hyphens and case too. Never
/// shown by `Debug`.
#[derive(Clone)]
pub struct TypedCode(pub(super) Kind);

/// Which kind of code it is.
#[derive(Clone)]
pub(super) enum Kind {
    App(String),
    Recovery(RecoveryHash),
}

impl fmt::Debug for TypedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypedCode(…)")
    }
}

/// The text is neither kind of code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotACode;

impl fmt::Display for NotACode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "must be the {DIGITS} digits of the authenticator app, or a recovery code of {RECOVERY_CHARACTERS} characters"
        )
    }
}

impl std::error::Error for NotACode {}

impl FromStr for TypedCode {
    type Err = NotACode;

    fn from_str(text: &str) -> Result<Self, NotACode> {
        let typed: String = text.chars().filter(|character| *character != ' ').collect();
        if typed.len() == usize::from(DIGITS) && typed.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self(Kind::App(typed)));
        }
        let read = |character: char| match character.to_ascii_lowercase() {
            'o' => Some('0'),
            'i' | 'l' => Some('1'),
            other => RECOVERY_ALPHABET.iter().map(|byte| char::from(*byte)).find(|known| *known == other),
        };
        let typed: Option<String> = typed.chars().filter(|character| *character != '-').map(read).collect();
        match typed {
            Some(typed) if typed.len() == RECOVERY_CHARACTERS => {
                Ok(Self(Kind::Recovery(RecoveryHash::of(&typed))))
            }
            _ => Err(NotACode),
        }
    }
}

/// The password and the code in what an OAuth2 form has as the password of an
/// admin with a second factor: the code follows after a space. The last six
/// digits, two groups of three, or a recovery code count; whatever stands
/// before is the password, spaces and all. Without a code it is all password.
pub fn split_password(text: &str) -> (&str, Option<TypedCode>) {
    let Some((before, last)) = text.rsplit_once(' ') else {
        return (text, None);
    };
    if let Ok(code) = last.parse() {
        return (before, Some(code));
    }
    match before.rsplit_once(' ') {
        Some((password, first)) if first.len() == 3 && last.len() == 3 => {
            match format!("{first}{last}").parse::<TypedCode>() {
                Ok(code) => (password, Some(code)),
                Err(NotACode) => (text, None),
            }
        }
        _ => (text, None),
    }
}

fn seconds(now: Timestamp) -> u64 {
    u64::try_from(now.unix()).unwrap_or_default()
}

/// Each five bits as a character. As many bytes as make whole characters.
fn in_fives(bytes: &[u8], alphabet: &[u8; 32]) -> String {
    let mut text = String::new();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in bytes {
        bits = (bits << 8) | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            let index = usize::try_from((bits >> held) & 31).unwrap_or_default();
            text.extend(alphabet.get(index).map(|byte| char::from(*byte)));
        }
        bits &= (1 << held) - 1;
    }
    text
}

/// All but the unreserved characters as `%XX` (RFC 3986, section 2.1).
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    fn code(text: &str) -> TypedCode {
        text.parse().unwrap()
    }

    /// The secret of RFC 6238, appendix B.
    fn secret() -> OtpSecret {
        OtpSecret::from_random_bits(*b"12345678901234567890")
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B, the last six of its eight digits.
        for (time, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(secret().code_at(at(time)), expected, "{time}");
        }
    }

    #[test]
    fn an_app_is_given_the_secret_in_base_32_and_as_a_uri() {
        assert_eq!(secret().base32(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(
            secret().uri("a.rossi@example.com"),
            "otpauth://totp/sitewarden:a.rossi%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=sitewarden&algorithm=SHA1&digits=6&period=30"
        );
        assert_eq!(format!("{:?}", secret()), "OtpSecret(…)");
    }

    #[test]
    fn spaces_in_a_code_are_passed_over_and_letters_refused() {
        for good in
            ["123456", "123 456", " 123456 ", "1 2 3 4 5 6", "0000-0000-0000-000o", "ABCD efgh-jkmnpqrs"]
        {
            assert!(good.parse::<TypedCode>().is_ok(), "{good}");
        }
        for bad in [
            "",
            " ",
            "12345",
            "1234567",
            "12345a",
            "abcdef",
            "123-456-",
            "+12345",
            "１２３４５６",
            "uuuu-0000-0000-0000",
        ] {
            assert_eq!(bad.parse::<TypedCode>().err(), Some(NotACode), "{bad}");
        }
        // What looks like a digit in a recovery code is one.
        let Kind::Recovery(one) = code("oOiI lL00 0000 0000").0 else { panic!() };
        let Kind::Recovery(other) = code("0011-1100-0000-0000").0 else { panic!() };
        assert_eq!(one, other);
    }

    #[test]
    fn in_a_form_the_code_follows_the_password_after_a_space() {
        let split = |text: &'static str| {
            let (password, code) = split_password(text);
            (password, code.is_some())
        };
        assert_eq!(split("correct horse 123456"), ("correct horse", true));
        assert_eq!(split("correct horse 123 456"), ("correct horse", true));
        assert_eq!(split("pass 111111 222222"), ("pass 111111", true));
        assert_eq!(split("pass 111 222222"), ("pass 111", true));
        assert_eq!(split("pass 0123-4567-89ab-cdef"), ("pass", true));
        assert_eq!(split("correct horse battery"), ("correct horse battery", false));
        assert_eq!(split("correct123456"), ("correct123456", false));
        assert_eq!(split("pass ab1 234"), ("pass ab1 234", false));
        assert_eq!(split("trailing  123456"), ("trailing ", true));
    }
}

//! Prints the codes of a second factor as this program computes them, for
//! `tests/e2e/one-time-codes`:
//!
//!     cargo run --example otp-codes -- SEED COUNT
//!
//! Each line has a secret in base 32, a time in seconds since 1970, and the
//! code. Secrets and times follow from SEED.

use aws_lc_rs::digest::{SHA256, digest};
use sitewarden::domain::{OtpSecret, Timestamp};

#[expect(clippy::expect_used, clippy::print_stdout, reason = "a tool for whoever works on sitewarden")]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let seed = arguments.next().expect("name a seed");
    let count: u64 = arguments.next().and_then(|text| text.parse().ok()).expect("name a count");
    for number in 0..count {
        let bits = digest(&SHA256, format!("{seed} {number}").as_bytes());
        let (secret, rest) = bits.as_ref().split_first_chunk::<20>().expect("32 bytes");
        let time = rest.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes)).expect("12 bytes");
        // Until the year 2200.
        let time = i64::try_from(time % 7_258_118_400).expect("small");
        let secret = OtpSecret::from_random_bits(*secret);
        let now = Timestamp::from_unix(time).expect("within the bounds");
        println!("{} {time} {}", secret.base32(), secret.code_at(now));
    }
}

//! When a site is to call again.
//!
//! Every site has a slot of its own in the 6 hours between two heartbeats.
//! After a time without a server, or a restart of all of them at once, many
//! sites call in the same second; each answer moves a site towards its slot
//! by at most half an hour, in proportion to how far it is away, so that the
//! next round is spread over an hour and each one after it wider.

use super::site_id::SiteId;
use super::time::Timestamp;

/// Seconds between two heartbeats of a site in its slot: 6 hours.
pub const ROUND_SECONDS: i64 = 6 * 3600;
/// The most by which a site is moved at once, in seconds: half an hour.
pub const MOST_MOVED_SECONDS: i64 = ROUND_SECONDS / 12;

/// How many seconds from `now` the site is to call next: 5.5 to 6.5 hours.
pub fn seconds_to_next(site_id: SiteId, now: Timestamp) -> i64 {
    let behind = (slot_of(site_id) - now.unix()).rem_euclid(ROUND_SECONDS);
    // How far the slot is from 6 hours ahead, the nearer way round: at most 3
    // hours either way.
    let away = if behind > ROUND_SECONDS / 2 { behind - ROUND_SECONDS } else { behind };
    ROUND_SECONDS + away / 6
}

/// The second of the 6 hours that is the site's own.
fn slot_of(site_id: SiteId) -> i64 {
    // The bits of a random UUID, mixed, since two of its digits are fixed
    // (RFC 9562, section 5.4); the constant is that of splitmix64.
    let [high, low] = [site_id.as_u128() >> 64, site_id.as_u128()].map(|half| {
        let half = u64::try_from(half & u128::from(u64::MAX)).unwrap_or_default();
        half.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    });
    let round = ROUND_SECONDS.unsigned_abs();
    i64::try_from((high ^ low) % round).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    /// Ids as they are made: random, of version 4.
    fn site(number: u64) -> SiteId {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &number.to_be_bytes());
        let bits = u128::from_be_bytes(digest.as_ref()[..16].try_into().unwrap());
        SiteId::from_u128(bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62)
    }

    #[test]
    fn the_next_call_is_half_an_hour_around_6_hours_ahead() {
        for number in 0..10_000 {
            let wait = seconds_to_next(site(number), at(1_900_000_000 + i64::try_from(number).unwrap()));
            assert!(
                (ROUND_SECONDS - MOST_MOVED_SECONDS..=ROUND_SECONDS + MOST_MOVED_SECONDS).contains(&wait)
            );
        }
    }

    #[test]
    fn a_site_comes_to_its_slot_and_stays() {
        for number in 0..100 {
            let site = site(number);
            let mut now = at(1_900_000_000);
            for _ in 0..80 {
                now = at(now.unix() + seconds_to_next(site, now));
            }
            let away = (slot_of(site) - now.unix()).rem_euclid(ROUND_SECONDS);
            assert!(!(6..=ROUND_SECONDS - 6).contains(&away), "{away}");
        }
    }

    #[test]
    fn a_herd_in_step_is_spread_in_the_second_round() {
        const SITES: u64 = 100_000;
        let start = at(1_900_000_000);
        let mut seconds: HashMap<i64, u64> = HashMap::new();
        for number in 0..SITES {
            *seconds.entry(seconds_to_next(site(number), start)).or_default() += 1;
        }
        let (first, last) = (seconds.keys().min().unwrap(), seconds.keys().max().unwrap());
        let mean = SITES / (last - first + 1).unsigned_abs();
        let peak = *seconds.values().max().unwrap();
        assert!(last - first > 3500, "spread over an hour");
        assert!(peak <= 3 * mean, "{peak} in one second, {mean} in the mean");
    }
}

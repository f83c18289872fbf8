//! From where the most come who want a turn.
//!
//! Whoever has a thousand addresses can come from a new one each time, so none
//! of them has failed yet. But they lie together, and they come often. Counted
//! here are those who come, by the [`Block`]s that they lie in; the count is
//! halved as it grows, so what is past weighs less and less, and it has a bound.

use std::collections::HashMap;

use crate::domain::{Block, Network};

/// How many may come before all counts are halved; also the most blocks of
/// one size that are remembered.
const HALVED_AT: u32 = 4096;
const SIZES: usize = 3;

/// How many came, by block.
#[derive(Default)]
pub(super) struct Crowd {
    counts: [HashMap<Block, u32>; SIZES],
    total: u32,
}

impl Crowd {
    /// Counts one who comes from `network`.
    pub(super) fn comes(&mut self, network: Network) {
        if self.total >= HALVED_AT {
            self.total = 0;
            for (size, counts) in self.counts.iter_mut().enumerate() {
                counts.retain(|_, count| {
                    *count /= 2;
                    *count > 0
                });
                counts.shrink_to(counts.len() * 2);
                if size == 0 {
                    self.total = counts.values().sum();
                }
            }
        }
        self.total += 1;
        for (counts, block) in self.counts.iter_mut().zip(network.blocks()) {
            *counts.entry(block).or_default() += 1;
        }
    }

    /// How many came from around `network`: to be compared from the left.
    pub(super) fn around(&self, network: Network) -> [u32; SIZES] {
        let mut around = [0; SIZES];
        for ((around, counts), block) in around.iter_mut().zip(&self.counts).zip(network.blocks()) {
            *around = counts.get(&block).copied().unwrap_or_default();
        }
        around
    }

    /// Nobody waits: begins again.
    pub(super) fn disperse(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(n: u32) -> Network {
        Network::of(std::net::IpAddr::from(n.to_be_bytes()))
    }

    #[test]
    fn who_comes_is_counted_by_what_the_network_lies_in() {
        let mut crowd = Crowd::default();
        for n in [0x0101_0101, 0x0101_0102, 0x0101_0201, 0x0102_0101] {
            crowd.comes(network(n));
        }
        assert_eq!(crowd.around(network(0x0101_0101)), [3, 2, 1]);
        assert_eq!(crowd.around(network(0x0101_0301)), [3, 0, 0]);
        assert_eq!(crowd.around(network(0x0103_0101)), [0, 0, 0]);
        crowd.disperse();
        assert_eq!(crowd.around(network(0x0101_0101)), [0, 0, 0]);
    }

    #[test]
    fn the_count_is_bounded_and_the_past_weighs_less() {
        let mut crowd = Crowd::default();
        for n in 0..1_000_000_u32 {
            crowd.comes(network(n.rotate_left(12)));
            assert!(crowd.counts.iter().all(|counts| counts.len() <= HALVED_AT as usize));
        }
        for _ in 0..4 * HALVED_AT {
            crowd.comes(network(u32::MAX));
        }
        assert!(crowd.around(network(u32::MAX)).into_iter().all(|count| count <= HALVED_AT));
        assert!(crowd.counts.iter().all(|counts| counts.len() <= 2));
    }
}

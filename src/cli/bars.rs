//! Heartbeats a day as a row of bars, one character a day.

/// The days that a row has.
pub(super) const DAYS: usize = 90;
/// A bar of eighths, the lowest first.
const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// A day on which none came.
const NONE: char = '.';

/// The last [`DAYS`] of these counts, the highest as high as a bar can be.
/// Where there are fewer, the row begins with spaces: the last day is always
/// in the last column.
pub(super) fn bars(counts: &[u64]) -> String {
    let shown = counts.get(counts.len().saturating_sub(DAYS)..).unwrap_or_default();
    let most = shown.iter().copied().max().unwrap_or(0);
    let unknown = std::iter::repeat_n(' ', DAYS - shown.len());
    unknown.chain(shown.iter().map(|&count| bar(count, most))).collect()
}

fn bar(count: u64, most: u64) -> char {
    if count == 0 {
        return NONE;
    }
    // 1 to 8 eighths: whatever came is seen.
    let eighths = (u128::from(count) * 8).div_ceil(u128::from(most.max(1)));
    let place = usize::try_from(eighths).unwrap_or(8).saturating_sub(1);
    EIGHTHS.get(place).copied().unwrap_or('█')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_90_columns_and_ends_with_the_last_day() {
        assert_eq!(bars(&[]), " ".repeat(90));
        assert_eq!(bars(&[0, 1, 4, 8]), format!("{}.▁▄█", " ".repeat(86)));
        let many: Vec<u64> = (0..200).collect();
        assert_eq!(bars(&many).chars().count(), 90);
        assert!(bars(&many).ends_with('█'));
    }

    #[test]
    fn a_day_with_a_single_heartbeat_is_seen_beside_any_other() {
        assert!(bars(&[1, u64::MAX]).ends_with("▁█"));
        assert!(bars(&[4, 3, 2]).ends_with("█▆▄"));
    }
}

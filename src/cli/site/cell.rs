//! Cells of CSV files, which spreadsheets open.
//!
//! A spreadsheet runs what looks like a formula, and a site's name is what
//! somebody typed. So such a cell is written behind an apostrophe, which
//! makes it text there (OWASP, "CSV Injection"), and read without it.

use crate::cli::printable;

/// What a formula begins with, also in the wide forms that some spreadsheets
/// take for it.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// The cell for a text.
pub(crate) fn guarded(text: &str) -> String {
    let text = printable::line(text);
    if is_like_a_formula(&text) { format!("'{text}") } else { text }
}

/// The cell for a text of several lines.
pub(crate) fn guarded_lines(text: &str) -> String {
    let text = printable::lines(text);
    if is_like_a_formula(&text) { format!("'{text}") } else { text }
}

/// The text of a cell.
pub(crate) fn unguarded(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|text| is_like_a_formula(text)).unwrap_or(cell)
}

/// Also behind apostrophes, so that whatever is guarded can be told from what
/// began with an apostrophe before, and behind blanks.
fn is_like_a_formula(text: &str) -> bool {
    text.trim_start_matches(|c: char| c == '\'' || c.is_whitespace()).starts_with(FORMULA)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_spreadsheet_would_run_is_text_behind_an_apostrophe() {
        for (text, cell) in [
            ("=HYPERLINK(\"http://x\")", "'=HYPERLINK(\"http://x\")"),
            ("+39 Pizza", "'+39 Pizza"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "' =1"),
            ("\r=1", "' =1"),
            ("＝1", "'＝1"),
            ("'=1", "''=1"),
            ("'Tis", "'Tis"),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            assert_eq!(guarded(text), cell);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(text in "[' =+@a-]{0,6}|\\PC{0,20}") {
            let text = printable::line(&text);
            let cell = guarded(&text);
            prop_assert_eq!(unguarded(&cell), text);
        }

        #[test]
        fn no_cell_begins_as_a_formula(text in ".{0,6}") {
            prop_assert!(!guarded(&text).trim_start().starts_with(FORMULA));
        }
    }
}

//! What pages have in common.

use clap_mangen::roff::{Roff, bold, roman};

/// What every page says in its foot.
pub(super) const SOURCE: &str = concat!("sitewarden ", env!("CARGO_PKG_VERSION"));

/// A section of terms, each with its meaning; none where there are no terms.
pub(super) fn section(roff: &mut Roff, title: &str, terms: &[(&str, &str)]) {
    if terms.is_empty() {
        return;
    }
    roff.control("SH", [title]);
    for (term, meaning) in terms {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*meaning)]);
    }
}

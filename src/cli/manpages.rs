//! `sitewarden manpages`, for the package.

use std::path::Path;

use clap::CommandFactory;

use super::{Arguments, Ended, complain};

/// Writes a page for each command that is not hidden.
pub(super) fn run(directory: &Path) -> Ended {
    match clap_mangen::generate_to(Arguments::command(), directory) {
        Ok(()) => Ended::Done,
        Err(error) => {
            complain(format!("cannot write the man pages to {}: {error}", directory.display()));
            Ended::Failed
        }
    }
}

//! `sitewarden openapi`

use clap::Args;

use super::screen::{Ended, print_as_it_is};
use crate::api::specification;

/// Print the OpenAPI specification as JSON
#[derive(Debug, Args)]
pub(super) struct Openapi {
    /// As everywhere; it is JSON without it too
    #[arg(long, hide = true)]
    json: bool,
}

impl Openapi {
    #[expect(clippy::unused_self, reason = "every command runs itself; this one has no options")]
    pub(super) fn run(self) -> Ended {
        print_as_it_is(specification::json())
    }
}

//! `sitewarden healthcheck`

use super::client::Target;
use super::printable::shown;
use super::screen::{Ended, print, print_json};

/// Asks the server whether it is well: 0, or 3 when it does not answer or
/// cannot take writes.
pub(super) fn run(target: &Target) -> Ended {
    let asked = target.open_client().and_then(|client| client.get("/health"));
    match asked {
        Ok(answer) if target.json => print_json(&answer.body),
        Ok(answer) => print(&format!(
            "{} (sitewarden {})\n",
            shown(&answer.body, "status"),
            shown(&answer.body, "version")
        )),
        Err(error) => error.tell(),
    }
}

//! Where the API has the tokens.

/// The path.
pub(super) const PATH: &str = "/api/tokens";

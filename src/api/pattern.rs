//! Regular expressions in the specification, for texts that are checked by
//! the domain: a form that refuses early what would be refused anyway.

/// Text without control characters that is not blank: what is left after
/// trimming must not be empty. (Invisible characters, which are refused as
/// well, would make it ten times as long: a message names them.)
pub(super) const PRINTABLE: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\u0000-\\u0020\\u007f-\\u00a0\\s][^\\u0000-\\u001f\\u007f-\\u009f]*$";
/// Text without control characters.
pub(super) const PRINTABLE_OR_EMPTY: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// The name of a new admin, before it is trimmed.
pub(super) const NEW_USERNAME: &str = "^\\s*[A-Za-z0-9][A-Za-z0-9._@+-]*\\s*$";

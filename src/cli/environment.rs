//! The variables that commands read.

/// The default of `--url`.
pub(super) const URL_VARIABLE: &str = "SITEWARDEN_URL";
/// The default of `--cacert`.
pub(super) const CACERT_VARIABLE: &str = "SITEWARDEN_CACERT";
/// A token for `--url`, in place of a stored login.
pub(super) const TOKEN_VARIABLE: &str = "SITEWARDEN_TOKEN";

/// A variable of the environment, unless it is empty.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The environment, as settings are read from it. A variable whose value is no
/// text cannot be a setting of ours.
pub(super) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

//! Settings from the environment.
//!
//! Other programs have variables that begin as ours do: local backends, and
//! what Kubernetes sets for a service of this name. So an unknown variable is
//! refused only where it looks like a setting: where it begins with a known
//! group and two underscores, or is a letter or two away from the name of a
//! setting. All others are left alone, and `serve` and `config check` say so.
//! Rejected: to refuse every unknown one, which stopped each command on a host
//! where a local backend has its variables; and to ignore every one, with
//! which a misspelt limit would be none.

use toml::{Table, Value};

use super::error::ConfigError;
use super::layers::{Override, is_near, known_value};
use super::settings::Settings;

/// What environment names begin with.
const ENV_PREFIX: &str = "SITEWARDEN_";
/// Environment names that are not settings but tell commands where a server
/// is, and who calls.
const NOT_SETTINGS: [&str; 5] =
    ["SITEWARDEN_URL", "SITEWARDEN_CACERT", "SITEWARDEN_TOKEN", "SITEWARDEN_SITE_ID", "SITEWARDEN_SITE_KEY"];

/// The settings among the variables of `environment`, in the order of their
/// keys; `known` has every key.
///
/// # Errors
/// [`ConfigError::UnknownKey`] for one that looks like a setting.
pub(super) fn settings(
    environment: impl Iterator<Item = (String, String)>,
    known: &Table,
) -> Result<Vec<Override>, ConfigError> {
    let mut settings = Vec::new();
    let mut variables: Vec<Override> = environment.filter_map(|(name, text)| variable(&name, text)).collect();
    variables.sort_by(|a, b| a.key.cmp(&b.key));
    for layer in variables {
        if known_value(known, &layer.key).is_some() || is_in_known_group(known, &layer.key) {
            settings.push(layer);
        } else if let Some(meant) = meant_key(known, &layer.key) {
            return Err(not_quite(&layer, &meant));
        }
    }
    Ok(settings)
}

/// Those variables that begin as settings do and look like none.
pub fn variables_of_others(environment: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let known = Settings::default().to_table();
    let is_of_others = |name: &String| {
        variable(name, String::new()).is_some_and(|Override { key, .. }| {
            known_value(&known, &key).is_none()
                && meant_key(&known, &key).is_none()
                && !is_in_known_group(&known, &key)
        })
    };
    let mut names: Vec<String> = environment.map(|(name, _)| name).filter(is_of_others).collect();
    names.sort();
    names
}

fn variable(name: &str, text: String) -> Option<Override> {
    let key = name.strip_prefix(ENV_PREFIX).filter(|_| !NOT_SETTINGS.contains(&name))?;
    let key = key.to_ascii_lowercase().replace("__", ".");
    Some(Override { key, text, place: format!("the environment variable {name}") })
}

fn is_in_known_group(known: &Table, key: &str) -> bool {
    key.split_once('.').is_some_and(|(group, _)| known.get(group).is_some_and(Value::is_table))
}

/// The setting of which `key` is a misspelling: one underscore for two, or
/// letters that are near.
fn meant_key(known: &Table, key: &str) -> Option<String> {
    let flat = |key: &str| key.replace('.', "_");
    let given = flat(key);
    let distance = |known: &String| strsim::osa_distance(&flat(known), &given);
    let nearest = keys(known, "").into_iter().min_by_key(distance)?;
    is_near(&flat(&nearest), &given).then_some(nearest)
}

/// Every key with its group.
fn keys(table: &Table, group: &str) -> Vec<String> {
    let key = |name: &String| if group.is_empty() { name.clone() } else { format!("{group}.{name}") };
    table
        .iter()
        .flat_map(|(name, value)| match value {
            Value::Table(table) => keys(table, &key(name)),
            _ => vec![key(name)],
        })
        .collect()
}

fn not_quite(layer: &Override, meant: &str) -> ConfigError {
    let name = meant.replace('.', "__").to_ascii_uppercase();
    ConfigError::UnknownKey {
        key: layer.key.clone(),
        place: layer.place.clone(),
        hint: format!("{meant} is {ENV_PREFIX}{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn load(environment: &[(&str, &str)]) -> Result<Config, String> {
        let environment = environment.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Config::load(None, environment, []).map_err(|error| error.to_string())
    }

    #[test]
    fn what_tells_commands_where_a_server_is_and_who_calls_is_no_setting() {
        for name in NOT_SETTINGS {
            assert_eq!(load(&[(name, "x")]), load(&[]));
        }
    }

    /// Of local backends, of Kubernetes and Docker for a service or container
    /// of this name, of scripts.
    const OF_OTHERS: [&str; 10] = [
        "SITEWARDEN_CLIENT__TIMEOUT",
        "SITEWARDEN_HOME",
        "SITEWARDEN_KEY",
        "SITEWARDEN_PORT",
        "SITEWARDEN_PORT_8443_TCP_ADDR",
        "SITEWARDEN_SERVICE_HOST",
        "SITEWARDEN_SERVICE_PORT",
        "SITEWARDEN_SERVICE_PORT_HTTPS",
        "SITEWARDEN_VERDICT_FILE",
        "SITEWARDEN_VERSION",
    ];

    #[test]
    fn variables_of_others_are_left_alone_and_told() {
        let environment = OF_OTHERS.map(|name| (name, "tcp://10.0.0.1:8443"));
        assert_eq!(load(&environment), load(&[]));
        let others = variables_of_others(
            OF_OTHERS
                .into_iter()
                .chain(["SITEWARDEN_LISTEN", "SITEWARDEN_TOKEN", "HOME"])
                .map(|name| (name.to_owned(), String::new())),
        );
        assert_eq!(others, OF_OTHERS);
    }

    #[test]
    fn a_variable_that_looks_like_a_setting_is_refused_with_the_one_that_is_meant() {
        for (name, meant) in [
            ("SITEWARDEN_LISTN", "listen is SITEWARDEN_LISTEN"),
            ("SITEWARDEN_LISTENS", "listen is SITEWARDEN_LISTEN"),
            ("SITEWARDEN_DATADIR", "data_dir is SITEWARDEN_DATA_DIR"),
            ("SITEWARDEN_TLS_MODE", "tls.mode is SITEWARDEN_TLS__MODE"),
            ("SITEWARDEN_TSL__MODE", "tls.mode is SITEWARDEN_TLS__MODE"),
            ("SITEWARDEN_LIMIT__BODY_BYTES", "limits.body_bytes is SITEWARDEN_LIMITS__BODY_BYTES"),
            ("SITEWARDEN_LOG__LEVL", "log has format, level"),
            ("SITEWARDEN_LIMITS__BYTES", "limits has "),
        ] {
            let refused = load(&[(name, "x")]).unwrap_err();
            let place = format!("in the environment variable {name}: {meant}");
            assert!(refused.starts_with("unknown key ") && refused.contains(&place), "{refused}");
        }
        assert_eq!(
            load(&[("SITEWARDEN_LOG", "debug")]).unwrap_err(),
            "log in the environment variable SITEWARDEN_LOG is a group of keys, not a value"
        );
    }
}

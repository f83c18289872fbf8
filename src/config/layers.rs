//! One layer of settings over another, each held against the defaults.

use std::path::Path;

use toml::{Table, Value};

use super::error::{ConfigError, Places, bad};

/// One value from the environment or from a flag, over those of the file.
#[derive(Debug, Clone)]
pub struct Override {
    /// The key, with its group: `tls.mode`.
    pub key: String,
    /// The value as text; a list is comma-separated.
    pub text: String,
    /// The name of the variable or flag, for messages.
    pub place: String,
}

/// The file's keys and values.
///
/// # Errors
/// [`ConfigError`] when it cannot be read or is not TOML.
pub(super) fn read_file(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    text.parse::<Table>().map_err(|error| {
        let line = error
            .span()
            .map_or(0, |span| text.get(..span.start).map_or(0, |before| before.matches('\n').count()) + 1);
        ConfigError::Syntax { path: path.to_owned(), reason: format!("line {line}: {}", error.message()) }
    })
}

/// Puts `layer` over `base`, in which every key is known.
///
/// # Errors
/// [`ConfigError`] for the first key that is not there or has another type.
pub(super) fn merge(
    base: &mut Table,
    layer: Table,
    group: &str,
    place: &str,
    places: &mut Places,
) -> Result<(), ConfigError> {
    for (name, value) in layer {
        let key = if group.is_empty() { name.clone() } else { format!("{group}.{name}") };
        match (base.get_mut(&name), value) {
            (None, _) => return Err(unknown_key(base, &key, place)),
            (Some(Value::Table(base)), Value::Table(layer)) => merge(base, layer, &key, place, places)?,
            (Some(known), value) => {
                places.note(&key, place);
                check_kind(known, &value).map_err(|reason| bad(&key, places, reason))?;
                *known = value;
            }
        }
    }
    Ok(())
}

/// Whether so few letters are wrong that chance does not explain it: one, or
/// from 6 letters on two, neighbours that changed places counting once.
pub(super) fn is_near(known: &str, given: &str) -> bool {
    let tolerated = if given.chars().count() < 6 { 1 } else { 2 };
    strsim::osa_distance(known, given) <= tolerated
}

fn unknown_key(base: &Table, key: &str, place: &str) -> ConfigError {
    let known: Vec<&str> = base.keys().map(String::as_str).collect();
    let hint = match key.rsplit_once('.') {
        Some((group, _)) => format!("{group} has {}", known.join(", ")),
        None => format!("known are {}", known.join(", ")),
    };
    let name = key.rsplit('.').next().unwrap_or(key);
    let near = known.into_iter().min_by_key(|known| strsim::osa_distance(known, name));
    let hint = match near.filter(|near| is_near(near, name)) {
        Some(near) => format!("{hint}; is {near} meant?"),
        None => hint,
    };
    ConfigError::UnknownKey { key: key.to_owned(), place: place.to_owned(), hint }
}

fn check_kind(known: &Value, value: &Value) -> Result<(), &'static str> {
    match (known, value) {
        (Value::String(_), Value::String(_)) => Ok(()),
        (Value::String(_), _) => Err("must be a string"),
        (Value::Integer(_), Value::Integer(0..=4_294_967_295)) => Ok(()),
        (Value::Integer(_), _) => Err("must be a whole number from 0 to 4294967295"),
        (Value::Array(_), Value::Array(items)) if items.iter().all(Value::is_str) => Ok(()),
        (Value::Array(_), _) => Err("must be a list of strings"),
        (Value::Table(_), _) => Err("is a group of keys, not a value"),
        _ => Err("has the wrong type"),
    }
}

/// Puts one value over `base`, as if a file had held this one key.
///
/// # Errors
/// As with [`merge`].
pub(super) fn apply(base: &mut Table, layer: Override, places: &mut Places) -> Result<(), ConfigError> {
    let Override { key, text, place } = layer;
    let mut value = match known_value(base, &key) {
        Some(Value::Array(_)) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        }
        // Text that is no number stays text, and is refused as such below.
        Some(Value::Integer(_)) => text.parse().map_or(Value::String(text), Value::Integer),
        _ => Value::String(text),
    };
    for name in key.rsplit('.') {
        value = Value::Table(Table::from_iter([(name.to_owned(), value)]));
    }
    match value {
        Value::Table(table) => merge(base, table, "", &place, places),
        _ => Ok(()),
    }
}

/// The value of a key with its group.
pub(super) fn known_value<'a>(base: &'a Table, key: &str) -> Option<&'a Value> {
    let mut names = key.split('.');
    let first = base.get(names.next()?)?;
    names.try_fold(first, |value, name| value.get(name))
}

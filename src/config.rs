//! Configuration: a TOML file, then the environment, then flags, each over
//! the one before, into one struct that is handed down.
//!
//! Every layer is held against the defaults before anything is used: a key
//! that is not there, or a value of another type, is refused by name and
//! place. The environment name of `a.b` is `SITEWARDEN_A__B`; a list is
//! comma-separated there. What becomes of variables that are no settings is
//! told in `variables`.

mod settings;
mod variables;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use toml::{Table, Value};

pub use self::settings::{CONTROL_SOCKET, LOG_FORMATS, LOG_LEVELS, Settings, TLS_MODES};
pub use self::variables::variables_of_others;
use crate::domain::site::SilentAfterHours;

/// The whole configuration, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where everything lies that is kept.
    pub data_dir: PathBuf,
    /// Addresses to serve on; at least one.
    pub listen: Vec<SocketAddr>,
    /// Where the certificate comes from.
    pub tls: TlsMode,
    /// What is logged, and how.
    pub log: Log,
    /// The Unix socket for the command line.
    pub control_socket: PathBuf,
    /// Where monitoring reads; `None`: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Networks whose `trusted_header` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// The one header in which they tell a client's address.
    pub trusted_header: TrustedHeader,
    /// When a site counts as silent.
    pub silent_after: SilentAfterHours,
    /// How long an access token lasts, in minutes.
    pub token_minutes: u32,
    /// File with the key that signs tokens; `None`: kept in the database.
    pub signing_key_file: Option<PathBuf>,
    /// Days that entries of the audit trail are kept; `None`: for ever.
    pub audit_keep_days: Option<u32>,
    /// What a stranger may use.
    pub limits: Limits,
    /// What backups are kept; `None`: none.
    pub backup: Option<KeptBackups>,
    /// The settings that all this was made of, to tell what a reload changes.
    pub settings: Table,
}

/// What backups are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBackups {
    /// How long after a heartbeat one is made, at most.
    pub every: Duration,
    /// How many dated ones are kept; 0: none are made.
    pub keep_daily: usize,
}

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsMode {
    /// Made at first start, kept in the database.
    SelfSigned,
    /// Two PEM files.
    Files {
        /// Certificate chain, the server's own first.
        cert: PathBuf,
        /// Private key.
        key: PathBuf,
    },
    /// From an ACME server (RFC 8555).
    Acme(Acme),
    /// Plain HTTP, for loopback or behind a listed proxy.
    Off,
}

/// How certificates are had from an ACME server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// The names to certify, in lower case; at least one.
    pub domains: Vec<String>,
    /// Where the server may write to, an e-mail address.
    pub contact: Option<String>,
    /// The server's directory (RFC 8555, section 7.1.1).
    pub directory_url: String,
    /// Certificates to trust for calls to that server, PEM; `None`: the
    /// system's.
    pub ca_file: Option<PathBuf>,
    /// Binding to an account that the server's operator knows already (RFC
    /// 8555, section 7.3.4).
    pub external_account: Option<ExternalAccount>,
    /// Where plain HTTP is answered: HTTP-01, and redirects to HTTPS.
    pub http_listen: Vec<SocketAddr>,
}

/// An account that the operator of an ACME server knows already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// Its key's id.
    pub kid: String,
    /// File with the key, base64url as the operator gave it.
    pub hmac_key_file: PathBuf,
}

/// The header in which a trusted proxy tells a client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustedHeader {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl TrustedHeader {
    /// Its name in lower case, as in the setting.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: tracing::level_filters::LevelFilter,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// For people.
    Text,
    /// For machines, one object a line.
    Json,
}

/// Limits on what a stranger may use. `None`: no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time. Beyond, one that is idle gives way to a
    /// newcomer; while none is, more wait in the system's queue.
    pub max_connections: Option<usize>,
    /// Connections at the same time from one IPv4 address or IPv6 /64; more
    /// are closed.
    pub max_connections_per_address: Option<u32>,
    /// For the TLS handshake.
    pub handshake: Option<Duration>,
    /// For the head of a request, from its first byte.
    pub header: Option<Duration>,
    /// For the body of a request.
    pub body: Option<Duration>,
    /// For a reader to take a part of an answer.
    pub write: Option<Duration>,
    /// For a connection without a request.
    pub idle: Option<Duration>,
    /// Bytes in the body of a request.
    pub body_bytes: Option<usize>,
    /// Bytes of requests and answers under way on one connection.
    pub held_bytes_per_connection: Option<usize>,
    /// Bytes of requests and answers under way for one IPv4 address or IPv6
    /// /64.
    pub held_bytes_per_address: Option<usize>,
    /// Bytes of requests and answers under way in all.
    pub held_bytes: Option<usize>,
    /// Heartbeats an hour, for each site; 0: no limit.
    pub heartbeats_per_hour: u32,
    /// Heartbeats at once, for each site.
    pub heartbeat_burst: u32,
    /// Heartbeats with a wrong id or key a minute, for each address; 0: no
    /// limit.
    pub failed_heartbeats_per_minute: u32,
    /// Failed logins a minute, for each address; 0: no limit.
    pub failed_logins_per_minute: u32,
}

/// Why the configuration was refused. Displays as one line that names the
/// key and where it stands.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path} is not valid TOML: {reason}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line and fault.
        reason: String,
    },
    /// There is no such key.
    #[error("unknown key {key} in {place}: {hint}")]
    UnknownKey {
        /// The key.
        key: String,
        /// File, variable or flag.
        place: String,
        /// What to do.
        hint: String,
    },
    /// A value is needed and was not given.
    #[error("{key} is not given, and {cause} in {place} {value}: {reason}")]
    Missing {
        /// The key.
        key: String,
        /// The key that makes it needed.
        cause: &'static str,
        /// File, variable or flag of that.
        place: String,
        /// What it is there, as a verb.
        value: &'static str,
        /// What to give.
        reason: String,
    },
    /// The value does not fit.
    #[error("{key} in {place} {reason}")]
    BadValue {
        /// The key.
        key: String,
        /// File, variable or flag.
        place: String,
        /// What it must be.
        reason: String,
    },
}

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

impl Config {
    /// Reads the layers: `file`, then the variables of `environment` that
    /// begin with `SITEWARDEN_`, then `flags`.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing that is wrong.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = Override>,
    ) -> Result<Self, ConfigError> {
        let mut merged = Settings::default().to_table();
        let mut places = Places::default();
        if let Some(path) = file {
            let table = read_file(path)?;
            let place = path.display().to_string();
            merge(&mut merged, table, "", &place, &mut places)?;
        }
        for layer in variables::settings(environment, &merged)? {
            apply(&mut merged, layer, &mut places)?;
        }
        for layer in flags {
            apply(&mut merged, layer, &mut places)?;
        }
        let settings = Settings::from_table(merged.clone(), |reason| bad("configuration", &places, reason))?;
        settings.resolve(&places, merged)
    }

    /// The keys, with their groups, whose values differ in `other`.
    pub fn changed_keys(&self, other: &Self) -> Vec<String> {
        let mut changed = Vec::new();
        compare(&self.settings, &other.settings, "", &mut changed);
        changed
    }

    /// Notes that the values of `keys` in `other` are those in use now.
    pub fn adopt(&mut self, other: &Self, keys: &[String]) {
        for key in keys {
            if let (Some(slot), Some(value)) =
                (slot(&mut self.settings, key), known_value(&other.settings, key))
            {
                *slot = value.clone();
            }
        }
    }
}

/// The value of a key with its group, in a table that has it.
fn slot<'a>(table: &'a mut Table, key: &str) -> Option<&'a mut Value> {
    match key.split_once('.') {
        Some((group, rest)) => slot(table.get_mut(group)?.as_table_mut()?, rest),
        None => table.get_mut(key),
    }
}

/// Both tables have every key.
fn compare(one: &Table, other: &Table, group: &str, changed: &mut Vec<String>) {
    for (name, value) in one {
        let key = if group.is_empty() { name.clone() } else { format!("{group}.{name}") };
        match (value, other.get(name)) {
            (Value::Table(one), Some(Value::Table(other))) => compare(one, other, &key, changed),
            (one, other) if Some(one) != other => changed.push(key),
            _ => {}
        }
    }
}

/// Where each key that is not at its default was set.
#[derive(Debug, Default)]
pub(crate) struct Places(std::collections::HashMap<String, String>);

impl Places {
    fn of(&self, key: &str) -> String {
        self.0.get(key).cloned().unwrap_or_else(|| "the defaults".to_owned())
    }
}

/// The error for a value that is needed because of another key and its value.
pub(crate) fn missing(
    key: &str,
    (cause, value): (&'static str, &'static str),
    places: &Places,
    reason: &str,
) -> ConfigError {
    let place = places.of(cause);
    ConfigError::Missing { key: key.to_owned(), cause, place, value, reason: reason.to_owned() }
}

/// The error for a value that does not fit.
pub(crate) fn bad(key: &str, places: &Places, reason: impl Into<String>) -> ConfigError {
    ConfigError::BadValue { key: key.to_owned(), place: places.of(key), reason: reason.into() }
}

fn read_file(path: &Path) -> Result<Table, ConfigError> {
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
fn merge(
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
                places.0.insert(key.clone(), place.to_owned());
                check_kind(known, &value).map_err(|reason| bad(&key, places, reason))?;
                *known = value;
            }
        }
    }
    Ok(())
}

fn unknown_key(base: &Table, key: &str, place: &str) -> ConfigError {
    let known: Vec<&str> = base.keys().map(String::as_str).collect();
    let hint = match key.rsplit_once('.') {
        Some((group, _)) => format!("{group} has {}", known.join(", ")),
        None => format!("known are {}", known.join(", ")),
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

fn apply(base: &mut Table, layer: Override, places: &mut Places) -> Result<(), ConfigError> {
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
    // As if a file had held this one key.
    for name in key.rsplit('.') {
        value = Value::Table(Table::from_iter([(name.to_owned(), value)]));
    }
    match value {
        Value::Table(table) => merge(base, table, "", &place, places),
        _ => Ok(()),
    }
}

fn known_value<'a>(base: &'a Table, key: &str) -> Option<&'a Value> {
    let mut names = key.split('.');
    let first = base.get(names.next()?)?;
    names.try_fold(first, |value, name| value.get(name))
}

/// Whether plain HTTP on this address stays on this machine.
pub(crate) fn is_local(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sitewarden.toml");
        std::fs::write(&path, toml).unwrap();
        let environment = environment.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let flags = flags.iter().map(|(key, text)| Override {
            key: (*key).into(),
            text: (*text).into(),
            place: format!("--{key}"),
        });
        Config::load(Some(&path), environment, flags)
            .map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let file = "data_dir = \"a\"\n[limits]\nbody_bytes = 1\nmax_connections = 7\n";
        let config = load(
            file,
            &[("SITEWARDEN_DATA_DIR", "b"), ("SITEWARDEN_LIMITS__BODY_BYTES", "2")],
            &[("data_dir", "c")],
        )
        .unwrap();
        assert_eq!(config.data_dir, PathBuf::from("c"));
        assert_eq!(config.limits.body_bytes, Some(2));
        assert_eq!(config.limits.max_connections, Some(7));
        assert_eq!(config.limits.idle, Some(Duration::from_secs(75)));
    }

    #[test]
    fn a_list_in_the_environment_is_comma_separated() {
        let config = load("", &[("SITEWARDEN_LISTEN", "127.0.0.1:1, [::1]:2")], &[]).unwrap();
        assert_eq!(config.listen, ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()]);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place() {
        let error = |file, environment: &[(&str, &str)]| load(file, environment, &[]).unwrap_err();
        assert!(error("data_dri = \"x\"", &[]).starts_with("unknown key data_dri in FILE: known are "));
        assert!(error("[tls]\nmod = \"x\"", &[]).starts_with("unknown key tls.mod in FILE: tls has "));
        assert!(
            error("", &[("SITEWARDEN_TLS__MOD", "x")])
                .starts_with("unknown key tls.mod in the environment variable SITEWARDEN_TLS__MOD")
        );
    }

    #[test]
    fn a_value_that_does_not_fit_is_named_with_its_place() {
        for (file, expected) in [
            ("data_dir = 5", "data_dir in FILE must be a string"),
            (
                "silent_after_hours = -1",
                "silent_after_hours in FILE must be a whole number from 0 to 4294967295",
            ),
            ("limits = 5", "limits in FILE is a group of keys, not a value"),
            ("listen = [1]", "listen in FILE must be a list of strings"),
            ("listen = []", "listen in FILE must name at least one address, such as 0.0.0.0:8443"),
            (
                "listen = [\"localhost\"]",
                "listen in FILE must hold addresses with a port, such as 0.0.0.0:8443 or [::]:8443, not localhost",
            ),
            ("[log]\nlevel = \"loud\"", "log.level in FILE must be error, warn, info, debug or trace"),
            ("[log]\nformat = \"xml\"", "log.format in FILE must be auto, text or json"),
            ("[tls]\nmode = \"maybe\"", "tls.mode in FILE must be self-signed, files, acme or off"),
            (
                "[tls]\nmode = \"files\"\nkey = \"k\"",
                "tls.cert is not given, and tls.mode in FILE is files: name a PEM file",
            ),
            (
                "[tls]\ncert = \"c\"",
                "tls.cert in FILE is given, but tls.mode is self-signed: set tls.mode to files",
            ),
            (
                "[tls]\nmode = \"acme\"",
                "tls.domains is not given, and tls.mode in FILE is acme: name at least one domain",
            ),
            (
                "[tls]\nmode = \"acme\"\ndomains = [\"*.example.com\"]",
                "tls.domains in FILE must hold host names such as licences.example.com, not *.example.com",
            ),
            (
                "[tls]\nmode = \"acme\"\ndomains = [\"a.example\"]\neab_kid = \"k\"",
                "tls.eab_hmac_key_file is not given, and tls.eab_kid in FILE is: give both or none",
            ),
            (
                "[tls]\ndomains = [\"a.example\"]",
                "tls.domains in FILE is given, but tls.mode is self-signed: set tls.mode to acme",
            ),
            (
                "[tls]\nmode = \"off\"",
                "tls.mode in FILE is off, but [::]:8443 is not a loopback address: listen on 127.0.0.1, or list the proxy in trusted_proxies",
            ),
            (
                "trusted_proxies = [\"x\"]",
                "trusted_proxies in FILE must hold addresses or networks, such as 192.0.2.1 or 192.0.2.0/24, not x",
            ),
            (
                "metrics_listen = \"9464\"",
                "metrics_listen in FILE must be an address with a port, such as 127.0.0.1:9464, or empty",
            ),
            (
                "metrics_listen = \"127.0.0.1:8443\"",
                "metrics_listen in FILE wants port 8443 by 127.0.0.1:8443, which listen in the defaults takes by [::]:8443: give one of them another port",
            ),
            (
                "listen = [\"127.0.0.1:1\", \"0.0.0.0:1\"]",
                "listen in FILE wants port 1 twice, by 127.0.0.1:1 and 0.0.0.0:1: leave one of them out",
            ),
            (
                "listen = [\"127.0.0.1:1\"]\n[tls]\nmode = \"acme\"\ndomains = [\"a.example\"]\nhttp_listen = [\"[::]:1\"]",
                "tls.http_listen in FILE wants port 1 by [::]:1, which listen in FILE takes by 127.0.0.1:1: give one of them another port",
            ),
            ("[auth]\ntoken_minutes = 0", "auth.token_minutes in FILE must be from 1 to 1440"),
            (
                "[limits]\nheartbeat_burst = 0",
                "limits.heartbeat_burst in FILE must be at least 1 while limits.heartbeats_per_hour is not 0",
            ),
        ] {
            assert_eq!(load(file, &[], &[]).unwrap_err(), expected);
        }
        assert!(load("x y", &[], &[]).unwrap_err().starts_with("FILE is not valid TOML: line 1: "));
    }

    #[test]
    fn acme_needs_no_more_than_a_domain() {
        let config = load("[tls]\nmode = \"acme\"\ndomains = [\"Licences.Example.com\"]", &[], &[]).unwrap();
        let TlsMode::Acme(acme) = config.tls else { panic!("{:?}", config.tls) };
        assert_eq!(acme.domains, ["licences.example.com"]);
        assert_eq!(acme.directory_url, "https://acme-v02.api.letsencrypt.org/directory");
        assert_eq!((acme.contact, acme.ca_file, acme.external_account), (None, None, None));
        assert!(acme.http_listen.is_empty());
    }

    #[test]
    fn changed_keys_are_told_with_their_groups() {
        let before = load("silent_after_hours = 1\n[log]\nlevel = \"info\"", &[], &[]).unwrap();
        let after = load("silent_after_hours = 1\n[log]\nlevel = \"debug\"", &[], &[]).unwrap();
        assert_eq!(before.changed_keys(&after), ["log.level"]);
        let mut running = before.clone();
        running.adopt(&after, &before.changed_keys(&after));
        assert!(running.changed_keys(&after).is_empty());
    }

    #[test]
    fn zero_switches_a_limit_off() {
        let config =
            load("[limits]\nmax_connections = 0\nbody_seconds = 0\nbody_bytes = 0", &[], &[]).unwrap();
        assert_eq!(
            (config.limits.max_connections, config.limits.body, config.limits.body_bytes),
            (None, None, None)
        );
        let backup = |toml| load(toml, &[], &[]).unwrap().backup;
        assert_eq!(backup("[backup]\nevery_minutes = 0"), None);
        let kept = KeptBackups { every: Duration::from_secs(900), keep_daily: 0 };
        assert_eq!(backup("[backup]\nkeep_daily = 0"), Some(kept));
    }

    #[test]
    fn listeners_that_are_not_in_each_others_way_are_let_be() {
        for toml in [
            "listen = [\"127.0.0.1:1\", \"127.0.0.2:1\", \"[::1]:1\"]\nmetrics_listen = \"127.0.0.1:2\"",
            "listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\nmetrics_listen = \"127.0.0.1:0\"",
            "listen = [\"0.0.0.0:1\", \"[::1]:1\"]",
        ] {
            load(toml, &[], &[]).unwrap();
        }
    }

    #[test]
    fn the_trusted_header_is_one_of_two() {
        let header = |toml| load(toml, &[], &[]).map(|config| config.trusted_header);
        assert_eq!(header("").unwrap(), TrustedHeader::XForwardedFor);
        assert_eq!(header("trusted_header = \"Forwarded\"").unwrap(), TrustedHeader::Forwarded);
        let refused = header("trusted_header = \"x-real-ip\"").unwrap_err().to_string();
        assert!(refused.contains("trusted_header") && refused.contains("x-forwarded-for"), "{refused}");
    }

    #[test]
    fn a_body_that_is_allowed_fits_into_what_may_be_held() {
        let held = |toml| load(toml, &[], &[]).map(|config| config.limits.held_bytes_per_address);
        assert_eq!(held("").unwrap(), Some(4_194_304));
        assert_eq!(held("[limits]\nheld_bytes_per_address = 0").unwrap(), None);
        held("[limits]\nheld_bytes_per_connection = 1").unwrap();
        for (toml, key) in [
            ("[limits]\nheld_bytes_per_address = 98303", "limits.held_bytes_per_address"),
            ("[limits]\nheld_bytes = 98303", "limits.held_bytes"),
            ("[limits]\nbody_bytes = 10000000", "limits.held_bytes_per_address"),
        ] {
            let refused = held(toml).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("{key} in ")), "{refused}");
        }
        held("[limits]\nheld_bytes_per_address = 98304\nheld_bytes = 98304").unwrap();
    }

    #[test]
    fn the_shipped_example_shows_every_key_with_its_default() {
        let example = include_str!("../packaging/sitewarden.toml");
        let values: Table = example
            .lines()
            .map(|line| line.strip_prefix("#= ").unwrap_or(line))
            .collect::<Vec<_>>()
            .join("\n")
            .parse()
            .unwrap();
        assert_eq!(values, Settings::default().to_table());
        // As shipped, with every value behind a comment, it changes nothing.
        assert_eq!(load(example, &[], &[]), load("", &[], &[]));
    }
}

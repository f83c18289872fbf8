//! From the layers to the configuration, and from one configuration to the
//! next.

use std::path::Path;

use toml::{Table, Value};

use super::error::{ConfigError, Places, bad};
use super::layers::{Override, apply, known_value, merge, read_file};
use super::resolved::{Config, LogFormat};
use super::settings::Settings;
use super::variables;

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

    /// The form of the log that the layers ask for, as far as they can be read:
    /// for saying in it why they were refused.
    pub fn log_format(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = Override>,
    ) -> LogFormat {
        let file = file.and_then(|path| read_file(path).ok());
        let mut text =
            file.as_ref().and_then(|table| known_value(table, LOG_FORMAT)?.as_str().map(str::to_owned));
        let known = Settings::default().to_table();
        // One that is refused may stand before it.
        for variable in environment {
            let found = variables::settings(std::iter::once(variable), &known).unwrap_or_default();
            text = last_of(found, LOG_FORMAT).or(text);
        }
        let text = last_of(flags, LOG_FORMAT).or(text);
        text.and_then(|text| LogFormat::named(&text)).unwrap_or(LogFormat::Auto)
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

/// The key of the form of the log.
const LOG_FORMAT: &str = "log.format";

fn last_of(layers: impl IntoIterator<Item = Override>, key: &str) -> Option<String> {
    layers.into_iter().filter(|layer| layer.key == key).map(|layer| layer.text).last()
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::super::resolved::{KeptBackups, TlsMode, TrustedHeader};
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
    fn the_form_of_the_log_is_told_as_far_as_the_layers_can_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sitewarden.toml");
        let format = |toml: &str, variable: Option<&str>, flag: Option<&str>| {
            std::fs::write(&path, toml).unwrap();
            let bad = ("SITEWARDEN_TLS__MOD".to_owned(), "x".to_owned());
            let variable = variable.map(|text| ("SITEWARDEN_LOG__FORMAT".to_owned(), text.to_owned()));
            let flag = flag.map(|text| Override {
                key: "log.format".to_owned(),
                text: text.to_owned(),
                place: String::new(),
            });
            Config::log_format(Some(&path), [bad].into_iter().chain(variable), flag)
        };
        assert_eq!(format("", None, None), LogFormat::Auto);
        assert_eq!(format("x = 1\n[log]\nformat = \"json\"\n", None, None), LogFormat::Json);
        assert_eq!(format("[log]\nformat = \"json\"\n", Some("text"), None), LogFormat::Text);
        assert_eq!(format("listen = [", Some("text"), Some("json")), LogFormat::Json);
        assert_eq!(format("[log]\nformat = 7\n", Some("xml"), None), LogFormat::Auto);
        assert_eq!(Config::log_format(Some(Path::new("/missing")), [].into_iter(), []), LogFormat::Auto);
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
        assert!(error("data_dri = \"x\"", &[]).ends_with("; is data_dir meant?"));
        assert!(error("[limits]\nbody_byte = 1", &[]).ends_with("; is body_bytes meant?"));
        assert!(!error("colour = \"x\"", &[]).contains("meant"));
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
            ("data_dir = \"\"", "data_dir in FILE must not be empty: name a directory, such as ./data"),
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
                "metrics_listen in FILE and listen in the defaults both use port 8443 (127.0.0.1:8443 and [::]:8443): give one of them another port",
            ),
            (
                "listen = [\"127.0.0.1:1\", \"0.0.0.0:1\"]",
                "listen in FILE uses port 1 twice, by 127.0.0.1:1 and 0.0.0.0:1: leave one of them out",
            ),
            (
                "listen = [\"127.0.0.1:1\"]\n[tls]\nmode = \"acme\"\ndomains = [\"a.example\"]\nhttp_listen = [\"[::]:1\"]",
                "tls.http_listen in FILE and listen in FILE both use port 1 ([::]:1 and 127.0.0.1:1): give one of them another port",
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
        assert_eq!(held("").unwrap(), Some(1_048_576));
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
        let example = include_str!("../../packaging/sitewarden.toml");
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

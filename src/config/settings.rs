//! The settings as they stand in the file: names, types and defaults. The
//! words on each key are in `packaging/sitewarden.toml`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use toml::Table;
use tracing::level_filters::LevelFilter;

use super::error::{ConfigError, Places, bad, missing};
use super::resolved::{
    Acme, Config, ExternalAccount, KeptBackups, Limits, Log, LogFormat, TlsMode, TrustedHeader,
};
use super::rules::{Lease, Licence, rules};

/// The control socket's name in the data directory.
pub const CONTROL_SOCKET: &str = "control.sock";
/// The values of `tls.mode`.
pub const TLS_MODES: [&str; 4] = ["self-signed", "files", "acme", "off"];
/// The values of `log.level`.
pub const LOG_LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
/// The values of `log.format`.
pub const LOG_FORMATS: [&str; 3] = ["auto", "text", "json"];
/// The longest life of a token, in minutes: a day.
const MAX_TOKEN_MINUTES: u32 = 1440;

/// Bytes for the head of a request and for what else it takes beside its body.
const HELD_BESIDE_BODY: u32 = 32_768;

/// Let's Encrypt's directory.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// The settings as they stand in the file. An empty string is a value not
/// given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    data_dir: String,
    listen: Vec<String>,
    control_socket: String,
    metrics_listen: String,
    trusted_proxies: Vec<String>,
    trusted_header: String,
    silent_after_hours: u32,
    licence: Licence,
    lease: Lease,
    tls: Tls,
    log: LogSettings,
    auth: Auth,
    audit: Audit,
    limits: LimitSettings,
    backup: BackupSettings,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Tls {
    mode: String,
    cert: String,
    key: String,
    domains: Vec<String>,
    contact: String,
    directory_url: String,
    ca_file: String,
    eab_kid: String,
    eab_hmac_key_file: String,
    http_listen: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct LogSettings {
    level: String,
    format: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Auth {
    token_minutes: u32,
    signing_key_file: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Audit {
    keep_days: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct LimitSettings {
    max_connections: u32,
    max_connections_per_address: u32,
    handshake_seconds: u32,
    header_seconds: u32,
    body_seconds: u32,
    write_seconds: u32,
    idle_seconds: u32,
    body_bytes: u32,
    held_bytes_per_connection: u32,
    held_bytes_per_address: u32,
    held_bytes: u32,
    heartbeats_per_hour: u32,
    heartbeat_burst: u32,
    failed_heartbeats_per_minute: u32,
    failed_logins_per_minute: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct BackupSettings {
    every_minutes: u32,
    keep_daily: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: "./data".into(),
            listen: vec!["[::]:8443".into()],
            control_socket: String::new(),
            metrics_listen: "127.0.0.1:9464".into(),
            trusted_proxies: Vec::new(),
            trusted_header: TrustedHeader::XForwardedFor.as_str().into(),
            silent_after_hours: 13,
            licence: Licence::default(),
            lease: Lease::default(),
            tls: Tls {
                mode: "self-signed".into(),
                cert: String::new(),
                key: String::new(),
                domains: Vec::new(),
                contact: String::new(),
                directory_url: LETS_ENCRYPT.into(),
                ca_file: String::new(),
                eab_kid: String::new(),
                eab_hmac_key_file: String::new(),
                http_listen: Vec::new(),
            },
            log: LogSettings { level: "info".into(), format: "auto".into() },
            auth: Auth { token_minutes: 15, signing_key_file: String::new() },
            audit: Audit { keep_days: 730 },
            limits: LimitSettings {
                max_connections: 4096,
                max_connections_per_address: 256,
                handshake_seconds: 10,
                header_seconds: 10,
                body_seconds: 20,
                write_seconds: 30,
                idle_seconds: 75,
                body_bytes: 65_536,
                held_bytes_per_connection: 524_288,
                held_bytes_per_address: 1_048_576,
                held_bytes: 16_777_216,
                heartbeats_per_hour: 60,
                heartbeat_burst: 10,
                failed_heartbeats_per_minute: 30,
                failed_logins_per_minute: 5,
            },
            backup: BackupSettings { every_minutes: 15, keep_daily: 7 },
        }
    }
}

impl Settings {
    /// As a table in which every key is present.
    pub fn to_table(&self) -> Table {
        // Strings, integers and lists of them: always representable.
        Table::try_from(self).unwrap_or_default()
    }

    /// From a table that has every key with a value of its kind.
    pub(super) fn from_table(
        table: Table,
        error: impl FnOnce(String) -> ConfigError,
    ) -> Result<Self, ConfigError> {
        table.try_into().map_err(|reason: toml::de::Error| error(reason.message().to_owned()))
    }

    /// Checks what the types cannot.
    pub(super) fn resolve(self, places: &Places, table: Table) -> Result<Config, ConfigError> {
        if self.data_dir.is_empty() {
            return Err(bad("data_dir", places, "must not be empty: name a directory, such as ./data"));
        }
        let listen = self.listen(places)?;
        let metrics_listen = self.metrics_listen(places)?;
        let trusted_proxies = self.trusted_proxies(places)?;
        let tls = self.tls(places, &listen, &trusted_proxies)?;
        let plain: &[SocketAddr] = if let TlsMode::Acme(acme) = &tls { &acme.http_listen } else { &[] };
        let listeners = [
            ("listen", listen.as_slice()),
            ("tls.http_listen", plain),
            ("metrics_listen", metrics_listen.as_slice()),
        ];
        refuse_clash(&listeners, places)?;
        let limits = &self.limits;
        if limits.heartbeat_burst == 0 && limits.heartbeats_per_hour > 0 {
            let reason = "must be at least 1 while limits.heartbeats_per_hour is not 0";
            return Err(bad("limits.heartbeat_burst", places, reason));
        }
        for (key, most) in [
            ("limits.held_bytes_per_address", limits.held_bytes_per_address),
            ("limits.held_bytes", limits.held_bytes),
        ] {
            // Else a body that is allowed would be refused.
            if most > 0 && most < limits.body_bytes.saturating_add(HELD_BESIDE_BODY) {
                let reason = format!("must be 0 or at least limits.body_bytes and {HELD_BESIDE_BODY} more");
                return Err(bad(key, places, reason));
            }
        }
        if !(1..=MAX_TOKEN_MINUTES).contains(&self.auth.token_minutes) {
            return Err(bad("auth.token_minutes", places, format!("must be from 1 to {MAX_TOKEN_MINUTES}")));
        }
        let data_dir = PathBuf::from(&self.data_dir);
        Ok(Config {
            control_socket: given_path(&self.control_socket).unwrap_or_else(|| data_dir.join(CONTROL_SOCKET)),
            data_dir,
            listen,
            tls,
            log: self.log(places)?,
            metrics_listen,
            trusted_proxies,
            trusted_header: self.trusted_header(places)?,
            rules: rules(self.silent_after_hours, &self.licence, &self.lease, places)?,
            token_minutes: self.auth.token_minutes,
            signing_key_file: given_path(&self.auth.signing_key_file),
            lease_issuer: self.issuer(),
            audit_keep_days: Some(self.audit.keep_days).filter(|&days| days > 0),
            limits: Limits {
                max_connections: count(limits.max_connections),
                max_connections_per_address: Some(limits.max_connections_per_address).filter(|&n| n > 0),
                handshake: seconds(limits.handshake_seconds),
                header: seconds(limits.header_seconds),
                body: seconds(limits.body_seconds),
                write: seconds(limits.write_seconds),
                idle: seconds(limits.idle_seconds),
                body_bytes: count(limits.body_bytes),
                held_bytes_per_connection: count(limits.held_bytes_per_connection),
                held_bytes_per_address: count(limits.held_bytes_per_address),
                held_bytes: count(limits.held_bytes),
                heartbeats_per_hour: limits.heartbeats_per_hour,
                heartbeat_burst: limits.heartbeat_burst,
                failed_heartbeats_per_minute: limits.failed_heartbeats_per_minute,
                failed_logins_per_minute: limits.failed_logins_per_minute,
            },
            backup: seconds(self.backup.every_minutes.saturating_mul(60))
                .map(|every| KeptBackups { every, keep_daily: count(self.backup.keep_daily).unwrap_or(0) }),
            settings: table,
        })
    }

    fn listen(&self, places: &Places) -> Result<Vec<SocketAddr>, ConfigError> {
        if self.listen.is_empty() {
            return Err(bad("listen", places, "must name at least one address, such as 0.0.0.0:8443"));
        }
        addresses("listen", &self.listen, 8443, places)
    }

    fn metrics_listen(&self, places: &Places) -> Result<Option<SocketAddr>, ConfigError> {
        if self.metrics_listen.is_empty() {
            return Ok(None);
        }
        let reason = "must be an address with a port, such as 127.0.0.1:9464, or empty";
        self.metrics_listen.parse().map(Some).map_err(|_| bad("metrics_listen", places, reason))
    }

    fn trusted_proxies(&self, places: &Places) -> Result<Vec<IpNet>, ConfigError> {
        let parse = |text: &String| {
            text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
                let reason =
                    format!("must hold addresses or networks, such as 192.0.2.1 or 192.0.2.0/24, not {text}");
                bad("trusted_proxies", places, reason)
            })
        };
        self.trusted_proxies.iter().map(parse).collect()
    }

    /// Who signs leases: what is configured, else the first name of the
    /// certificate.
    fn issuer(&self) -> Option<String> {
        let configured = Some(self.lease.issuer.trim()).filter(|issuer| !issuer.is_empty());
        configured
            .map(str::to_owned)
            .or_else(|| self.tls.domains.first().map(|name| name.to_ascii_lowercase()))
    }

    fn trusted_header(&self, places: &Places) -> Result<TrustedHeader, ConfigError> {
        let known = [TrustedHeader::XForwardedFor, TrustedHeader::Forwarded];
        known
            .into_iter()
            .find(|header| header.as_str().eq_ignore_ascii_case(&self.trusted_header))
            .ok_or_else(|| {
                bad(
                    "trusted_header",
                    places,
                    "must be x-forwarded-for or forwarded: the one that the proxy sets",
                )
            })
    }

    fn tls(&self, places: &Places, listen: &[SocketAddr], proxies: &[IpNet]) -> Result<TlsMode, ConfigError> {
        let files = [("tls.cert", given_path(&self.tls.cert)), ("tls.key", given_path(&self.tls.key))];
        let mode = self.tls.mode.as_str();
        if mode == "acme" {
            return self.acme(places).map(TlsMode::Acme);
        }
        if let Some(name) = self.given_for_acme() {
            let reason = format!("is given, but tls.mode is {mode}: set tls.mode to acme");
            return Err(bad(name, places, reason));
        }
        if mode == "files" {
            return match files {
                [(_, Some(cert)), (_, Some(key))] => Ok(TlsMode::Files { cert, key }),
                [(name, None), _] | [_, (name, None)] => {
                    Err(missing(name, ("tls.mode", "is files"), places, "name a PEM file"))
                }
            };
        }
        if let Some((name, _)) = files.iter().find(|(_, path)| path.is_some()) {
            return Err(bad(
                name,
                places,
                format!("is given, but tls.mode is {mode}: set tls.mode to files"),
            ));
        }
        match mode {
            "self-signed" => Ok(TlsMode::SelfSigned),
            "off" => match listen.iter().find(|address| !is_local(address.ip()) && proxies.is_empty()) {
                None => Ok(TlsMode::Off),
                Some(public) => {
                    let reason = format!(
                        "is off, but {public} is not a loopback address: listen on 127.0.0.1, or list the proxy in trusted_proxies"
                    );
                    Err(bad("tls.mode", places, reason))
                }
            },
            _ => Err(bad("tls.mode", places, "must be self-signed, files, acme or off")),
        }
    }

    /// A key that only `acme` reads and that is not at its default.
    fn given_for_acme(&self) -> Option<&'static str> {
        let tls = &self.tls;
        let given = [
            ("tls.domains", !tls.domains.is_empty()),
            ("tls.contact", !tls.contact.is_empty()),
            ("tls.directory_url", tls.directory_url != LETS_ENCRYPT),
            ("tls.ca_file", !tls.ca_file.is_empty()),
            ("tls.eab_kid", !tls.eab_kid.is_empty()),
            ("tls.eab_hmac_key_file", !tls.eab_hmac_key_file.is_empty()),
            ("tls.http_listen", !tls.http_listen.is_empty()),
        ];
        given.into_iter().find_map(|(name, given)| given.then_some(name))
    }

    fn acme(&self, places: &Places) -> Result<Acme, ConfigError> {
        let tls = &self.tls;
        for (name, path) in [("tls.cert", &tls.cert), ("tls.key", &tls.key)] {
            if !path.is_empty() {
                let reason = "is given, but tls.mode is acme: set tls.mode to files";
                return Err(bad(name, places, reason));
            }
        }
        if tls.domains.is_empty() {
            let reason = "name at least one domain";
            return Err(missing("tls.domains", ("tls.mode", "is acme"), places, reason));
        }
        if let Some(bad_name) = tls.domains.iter().find(|name| !is_host_name(name)) {
            let reason = format!("must hold host names such as licences.example.com, not {bad_name}");
            return Err(bad("tls.domains", places, reason));
        }
        if !tls.contact.is_empty() && !email_address::EmailAddress::is_valid(&tls.contact) {
            return Err(bad("tls.contact", places, "must be an e-mail address"));
        }
        if !tls.directory_url.starts_with("https://") {
            return Err(bad("tls.directory_url", places, "must be an https:// URL"));
        }
        let external_account = match (tls.eab_kid.as_str(), given_path(&tls.eab_hmac_key_file)) {
            ("", None) => None,
            ("", Some(_)) => {
                let because = ("tls.eab_hmac_key_file", "is");
                return Err(missing("tls.eab_kid", because, places, "give both or none"));
            }
            (_, None) => {
                let because = ("tls.eab_kid", "is");
                return Err(missing("tls.eab_hmac_key_file", because, places, "give both or none"));
            }
            (kid, Some(hmac_key_file)) => Some(ExternalAccount { kid: kid.to_owned(), hmac_key_file }),
        };
        Ok(Acme {
            domains: tls.domains.iter().map(|name| name.to_ascii_lowercase()).collect(),
            contact: Some(tls.contact.clone()).filter(|contact| !contact.is_empty()),
            directory_url: tls.directory_url.clone(),
            ca_file: given_path(&tls.ca_file),
            external_account,
            http_listen: addresses("tls.http_listen", &tls.http_listen, 80, places)?,
        })
    }

    fn log(&self, places: &Places) -> Result<Log, ConfigError> {
        let level = match self.log.level.as_str() {
            "error" => LevelFilter::ERROR,
            "warn" => LevelFilter::WARN,
            "info" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            "trace" => LevelFilter::TRACE,
            _ => return Err(bad("log.level", places, "must be error, warn, info, debug or trace")),
        };
        let format = LogFormat::named(&self.log.format)
            .ok_or_else(|| bad("log.format", places, "must be auto, text or json"))?;
        Ok(Log { level, format })
    }
}

fn addresses(
    key: &str,
    texts: &[String],
    example_port: u16,
    places: &Places,
) -> Result<Vec<SocketAddr>, ConfigError> {
    let parse = |text: &String| {
        text.parse().map_err(|_| {
            let reason = format!(
                "must hold addresses with a port, such as 0.0.0.0:{example_port} or [::]:{example_port}, not {text}"
            );
            bad(key, places, reason)
        })
    };
    texts.iter().map(parse).collect()
}

/// Refuses two listeners of which the second could not be had for the first.
fn refuse_clash(listeners: &[(&str, &[SocketAddr])], places: &Places) -> Result<(), ConfigError> {
    let all: Vec<(&str, &SocketAddr)> = listeners
        .iter()
        .flat_map(|(key, addresses)| addresses.iter().map(|address| (*key, address)))
        .collect();
    for (index, (key, address)) in all.iter().enumerate() {
        for (other_key, other) in all.iter().take(index) {
            if !is_taken_by(address, other) {
                continue;
            }
            let port = address.port();
            let reason = if key == other_key {
                format!("uses port {port} twice, by {other} and {address}: leave one of them out")
            } else {
                let place = places.of(other_key);
                format!(
                    "and {other_key} in {place} both use port {port} ({address} and {other}): give one of them \
                     another port"
                )
            };
            return Err(bad(key, places, reason));
        }
    }
    Ok(())
}

/// Whether one of two listeners is in the other's way: the same port, and the
/// same address or every address. `[::]` is every IPv4 address too. A free
/// port (0) is in nobody's way.
fn is_taken_by(one: &SocketAddr, other: &SocketAddr) -> bool {
    let covers = |wide: IpAddr, narrow: IpAddr| match wide {
        IpAddr::V4(wide) => wide.is_unspecified() && narrow.is_ipv4(),
        IpAddr::V6(wide) => wide.is_unspecified(),
    };
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() != 0 && one.port() == other.port() && (a == b || covers(a, b) || covers(b, a))
}

/// A DNS name of letters, digits and hyphens (RFC 1123, section 2.1), with at
/// least one dot; no wildcard, which no challenge that is answered here can
/// prove.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 253
        && text.contains('.')
        && text.split('.').all(label)
        && !text.rsplit('.').next().is_some_and(all_digits)
}

fn given_path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

fn count(number: u32) -> Option<usize> {
    usize::try_from(number).ok().filter(|&number| number > 0)
}

fn seconds(number: u32) -> Option<Duration> {
    (number > 0).then(|| Duration::from_secs(number.into()))
}

/// Whether plain HTTP on this address stays on this machine.
fn is_local(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

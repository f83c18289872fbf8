//! The configuration as the program has it: whole, checked, in types that
//! cannot be wrong.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use toml::Table;

use crate::domain::Rules;

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
    pub rules: Rules,
    /// How long an access token lasts, in minutes.
    pub token_minutes: u32,
    /// File with the key that signs tokens; `None`: kept in the database.
    pub signing_key_file: Option<PathBuf>,
    /// Who signs leases; `None`: the host's name.
    pub lease_issuer: Option<String>,
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

impl LogFormat {
    /// The one of this name in the settings.
    pub(super) fn named(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
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

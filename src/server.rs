//! The door: sockets, TLS, limits; and the only place where everything is
//! wired together.
//!
//! poem routes, but does not serve: its own server has no time limit on
//! request heads, no cap on connections, and spins when `accept` fails. With
//! no proxy in front the process meets the internet by itself, so the loop is
//! ours, over hyper and tokio-rustls.

// The life of the server: what is checked, taken, made and given back.
mod backup_schedule;
mod check;
mod data_dir;
mod error;
mod first_start;
mod forget;
mod lease_key;
mod lifecycle;
mod notify;
mod reload;
mod signals;
mod signing_key;
mod sweep;
mod token_expiry;

// From a socket to an answer.
mod admission;
mod answer_body;
mod attend;
mod budget;
mod connection;
mod control;
mod door;
mod exchange;
mod handshake;
mod handshake_buffer;
mod head;
mod host;
pub(crate) mod in_process;
mod listener;
mod parting;
mod patience;
mod peer;
mod protocol;
mod redirect;
mod refusal;
mod request_body;
mod scrape;
mod watched;

// The certificate.
mod acme;
mod certificate_setup;
mod challenges;
mod files;
mod self_signed;
mod tls;

pub(crate) use self::backup_schedule::schedule_backups;
pub use self::check::{check, warnings};
pub use self::error::StartError;
pub use self::lifecycle::{Server, Serving, run};
pub use self::reload::Reload;

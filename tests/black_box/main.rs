//! The real binary, met as its users meet it: real sockets, verified TLS, a
//! data directory of its own for every test.
//!
//! A test says how the server is to be started ([`server::Setup`]) and gets one
//! that listens ([`server::Server`]), on a port of its own and killed when
//! dropped. It asks by [`client`], a good client, or by [`wire`], whose bytes no
//! good client would send; or it runs commands and holds what they print against
//! a [`transcript`], at a [`terminal`] where it matters. What comes when it will
//! is waited for (`until`, `log_line`), never slept for.
//!
//! Nothing here looks inside the running process: what a test knows came over
//! the wire, out of the log or from the data directory, which some open with the
//! store itself when the server is down.

#![expect(clippy::disallowed_methods, reason = "compares with the clock of the server under test")]
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

// Running it, and speaking to it.
mod client;
mod server;
mod sysadmin;
mod terminal;
mod transcript;
mod wire;

// The main job, from an empty directory to a lock.
mod story;

// Starting, running, stopping.
mod clock;
mod config;
mod lease;
mod log;
mod metrics;
mod planted;
mod signals;
mod startup;
mod tls;

// Connections and HTTP, whatever is asked.
mod connection;
mod errors;
mod http2;
mod strict;

// What is asked.
mod admins;
mod audit;
mod auth;
mod backup;
mod batch;
mod bulk;
mod dates;
mod docs;
mod find;
mod heartbeat;
mod history;
mod keys;
mod scopes;
mod second_factor;
mod signing_key;
mod sites;
mod tokens;

// The command line.
mod at_rest;
mod cli;

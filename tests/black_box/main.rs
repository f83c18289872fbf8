//! The real binary, met as its users meet it: real sockets, verified TLS, a
//! data directory of its own for every test.
//!
//! [`server`] runs it and [`client`] speaks to it; every other file holds the
//! promises of one part. Nothing here looks inside the running process: what a
//! test knows came over the wire, out of the log or from the data directory,
//! which some open with the store itself when the server is down.

#![expect(clippy::disallowed_methods, reason = "compares with the clock of the server under test")]
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod admins;
mod at_rest;
mod audit;
mod auth;
mod backup;
mod batch;
mod cli;
mod client;
mod clock;
mod config;
mod docs;
mod errors;
mod heartbeat;
mod http2;
mod keys;
mod log;
mod metrics;
mod planted;
mod server;
mod signing_key;
mod sites;
mod startup;
mod story;
mod strict;
mod terminal;
mod tls;
mod transcript;

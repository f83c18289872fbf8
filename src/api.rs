//! The API: wire types, authority and status codes.
//!
//! One file per group of routes. A handler reads the clock and the request,
//! calls one method of the store and shapes the answer; rules live in the
//! domain, transactions in the store. Every answer passes the [`envelope`],
//! which gives it its request id, its headers and its line in the log.

// What every handler has, and what goes wrong.
mod app;
mod field_errors;
pub mod problem;
mod refused;
mod sender;

// Reading requests and shaping answers.
mod etag;
mod example;
pub mod fields;
mod idempotency;
mod moment;
pub mod object;
pub mod page;
mod pattern;
mod qr;
mod query;
mod tag;
pub mod wire;

// Who asks, and what they may.
pub mod authority;
mod bearer;
pub mod scope;

// The groups of routes.
pub mod admins;
pub mod audit;
pub mod auth;
pub mod backup;
pub mod batch;
pub mod bulk;
pub mod health;
pub mod heartbeat;
pub mod heartbeat_answer;
pub mod lease_keys;
pub mod login;
mod negotiation;
pub mod second_factor;
pub mod session;
pub mod signing_key;
pub mod sites;
pub mod statistics;
pub mod tls;
pub mod tokens;
pub mod watch;

// All of them together, and the pages that describe them.
pub mod docs;
pub mod envelope;
mod file;
mod gzip;
mod routes;
mod service;
mod short_path;
pub mod specification;
mod step_up;

pub use self::app::{App, BackupTurn, Caller, Peer, SigningKeyPlace, StoreHealth};

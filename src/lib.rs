//! sitewarden: a licence server for software that runs at many sites.
//!
//! Data flows down and straight back out; nothing below knows what stands
//! above:
//!
//! ```text
//! socket → server (TLS, limits) → api (wire types, authority, status codes)
//!        → store (one method = one use case = one transaction) → domain (pure rules)
//! cli    → the same api, over the server's Unix socket or a URL
//! ```
//!
//! The modules in reading order:

// The recipe of the tests' files is used inside of the crate and outside.
#[cfg(test)]
extern crate self as sitewarden;

// The vocabulary and its rules. No I/O, no clock, no framework.
pub mod domain;
// The one place that reads the time.
pub mod clock;
// The one file: every table, every transaction.
pub mod store;
// Who is calling: passwords, tokens, throttles.
pub mod auth;
// The certificate that is served, and how it stands.
pub mod certificate;
// The routes.
pub mod api;
// The door, and the wiring.
pub mod server;
// Calls to other servers, from the command line and for ACME.
mod outbound;
// What the operator sets.
pub mod config;
// What the operator reads, and what the operator's monitoring does.
pub mod metrics;
pub mod telemetry;
// What the operator types.
pub mod cli;

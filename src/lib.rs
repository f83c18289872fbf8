//! sitewarden: a licence server for software that runs at many sites.
pub mod api;
pub mod auth;
pub mod cli;
pub mod config;
pub mod domain;
pub mod server;
pub mod store;
pub mod telemetry;

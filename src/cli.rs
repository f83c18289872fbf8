//! The command line: one file for each command of the first level; `site` and
//! `tls` hold their own verbs, but for those that are long.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 done, 1
//! refused or failed, 2 wrong usage, 3 server not reachable; `heartbeat`
//! adds 10.

// What can be typed, and what is printed and asked.
mod arguments;
mod environment;
mod error;
mod host;
mod password;
mod path;
mod printable;
mod screen;
mod table;
mod values;
// The server, or its database.
mod client;
// The commands.
mod admin;
mod audit;
mod backup;
mod check;
mod completions;
mod configuration;
mod healthcheck;
mod heartbeat;
mod login;
mod manpages;
mod openapi;
mod restore;
mod serve;
mod site;
mod tls;

pub use self::arguments::run;

//! The command line: one file for each command, and in `site`, `admin`,
//! `tls` and `token` one for each verb.
//!
//! A command parses what was typed (an id, a status, a time) before anything
//! else, asks the server over its API like anybody, and prints what it says.
//! Results go to stdout, everything else to stderr. Exit codes: 0 done, 1
//! refused or failed, 2 wrong usage, 3 server not reachable; `heartbeat`
//! adds 10.

// What can be typed, and what is printed and asked.
mod arguments;
mod bars;
mod environment;
mod error;
mod host;
mod moment;
mod password;
mod path;
mod printable;
mod private_file;
mod progress;
mod screen;
mod table;
mod values;
// The server, or its database.
mod client;
mod lookup;
// The commands.
mod admin;
mod audit;
mod backup;
mod check;
mod complete_site;
mod completions;
mod configuration;
mod healthcheck;
mod heartbeat;
mod lease_key;
mod login;
mod logout;
mod manpages;
mod openapi;
mod restore;
mod serve;
mod site;
mod statistics;
mod tls;
mod token;

pub use self::arguments::run;

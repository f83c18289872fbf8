//! Fills databases, and sends heartbeats to a server. On loopback only.
//!
//!     load-generator seed DATA_DIR SITES
//!     load-generator credentials SITES
//!     load-generator days DATA_DIR SITES DAYS
//!     load-generator plain ADDRESS SITES CONNECTIONS SECONDS REPORT
//!     load-generator kept URL SITES CONNECTIONS SECONDS
//!     load-generator new URL SITES CONNECTIONS SECONDS
//!     load-generator herd URL SITES CALLS
//!
//! - `seed` registers SITES sites in a database that no server has open, and
//!   `credentials` prints their ids and keys, `id,key` a line.
//! - `days` has the sites that `seed` registered there call four times a day for
//!   so many days, by a clock that it moves, and prints how long the database is.
//! - `plain` keeps CONNECTIONS connections of plain HTTP busy. REPORT gets one
//!   line for each request: when it was sent, in microseconds since 1970, how
//!   many microseconds it took, and the status.
//! - `kept` keeps CONNECTIONS TLS connections busy, `new` makes as many at a
//!   time and a new one, with a full handshake, for each heartbeat. `herd`
//!   makes CALLS connections for one heartbeat each, all at the same instant.
//!   Each prints one line of JSON: requests, seconds, latency in milliseconds
//!   (from before the connection, where it is new), and what went wrong.
//!
//! SITES is how many sites `seed` registered, which take turns, or a file of
//! `id,key` lines.

#![expect(clippy::disallowed_methods, reason = "stamps what it sends; it is not the server")]

mod credentials;
mod days;
mod plain;
mod tls;

use credentials::Sites;

/// What any step may fail with: it ends the program.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["seed", data_dir, sites] => credentials::seed(data_dir, sites.parse()?),
        ["credentials", sites] => credentials::print(&Sites::read(sites)?),
        ["days", data_dir, sites, days] => days::pass(data_dir, sites.parse()?, days.parse()?),
        ["plain", address, sites, connections, seconds, report] => {
            plain::beat(address, Sites::read(sites)?, connections.parse()?, seconds.parse()?, report)
        }
        ["kept", url, sites, connections, seconds] => {
            tls::load(url, Sites::read(sites)?, connections.parse()?, seconds.parse()?, tls::Mode::Kept)
        }
        ["new", url, sites, connections, seconds] => {
            tls::load(url, Sites::read(sites)?, connections.parse()?, seconds.parse()?, tls::Mode::New)
        }
        ["herd", url, sites, calls] => tls::herd(url, Sites::read(sites)?, calls.parse()?),
        _ => Err("see the head of tests/long/load/generator/main.rs".into()),
    }
}

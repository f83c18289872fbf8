//! Records as bytes: one version byte, then bincode 2 (standard
//! configuration) of the struct of that version. A build reads all versions
//! up to its own: that of today as it is, older ones through
//! [`Row::upgrade`]. What each version looks like stands in
//! `tests/data/rows.txt`.
//!
//! bincode is the format that files in the field are written in and is no
//! longer maintained (RUSTSEC-2025-0141); nothing outside this module names
//! it, so that another implementation of the same bytes can take its place.
//! Rows are plain numbers and strings, apart from the domain's types: a
//! change of a domain type cannot silently change what old bytes mean.

// A record as bytes, and back.
mod bytes;
// One file for each noun, with its records.
mod admin;
mod audit;
mod history;
mod last_seen;
mod request;
mod second_factor;
mod server;
mod site;
mod token;
// What lists look at of a site.
mod view;
// The list of them all.
mod rows;

pub(super) use self::admin::AdminRow;
pub(super) use self::audit::{AuditRow, ChainRow, StrangerRow};
pub(super) use self::bytes::{DecodeError, Row, decode, encode};
pub(super) use self::history::HistoryRow;
pub(super) use self::last_seen::LastSeen;
pub(super) use self::request::{EffectRow, RequestRow};
pub(super) use self::second_factor::{SecondFactorRow, SessionRow};
pub(super) use self::server::{AcmeAccountRow, AcmeCertificateRow, AcmeSetbackRow, LeaseKeyRow, TlsRow};
pub(super) use self::site::{CallingSite, SeenRow, SiteRow};
pub(super) use self::token::TokenRow;
pub(super) use self::view::read_view;

#[cfg(test)]
mod tests;

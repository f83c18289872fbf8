//! The one file: every record, every transaction.
//!
//! # Promises
//! - A method that returned `Ok` for a change has it on disk (fsync). A
//!   process or machine that dies the next moment loses nothing of it.
//! - One method is one use case is one transaction: rules are decided by the
//!   domain inside the transaction that writes, so two callers can never both
//!   act on the same old state.
//! - No redb type leaves this module, and nothing here knows HTTP.
//!
//! # How
//! redb allows one writer at a time and an fsync costs far more than a write,
//! so all writes go through one thread ([`writer`]) that commits those which
//! wait together at once. Reads use snapshots of their own and never wait for
//! a write. The heartbeat row of a site lies apart from its registration, so
//! that a heartbeat rewrites some tens of bytes.
//!
//! The open file survives faults of its disk ([`engine`]). Beside it lies a
//! snapshot that is always safe to copy ([`backups`], [`snapshot`]).
//!
//! # What another engine would have to give
//! What may happen to a site, and what the audit trail says of it, is decided
//! by [`crate::domain::operation`]. An engine loads, stores and commits:
//! - load a site by its id; put a site; remove a site;
//! - append an entry to the audit trail;
//! - recall and remember a request that is to be done once;
//! - commit what belongs together, durably, before anybody is answered.
//!
//! [`apply`] is all of that for the file; beside it stand the reads (a site,
//! lists, statistics), admins, the heartbeat, and the server's own values.
//!
//! # Rejected
//! A cache in front (a read takes some 20 µs, see docs/performance.md); a
//! trait for other engines (there is none yet); redb's multi-process mode (one
//! process, one way in).

// The open database as the rest of the program holds it, and what it answers
// where it does not do its work.
mod error;
mod handle;
// The use cases, by subject.
mod acme;
mod admins;
mod apply;
mod audit;
mod bulk;
mod clock;
mod heartbeats;
mod history;
mod keyring;
mod lease_keys;
mod lists;
pub mod requests;
mod second_factors;
mod session_rows;
mod sessions;
mod sites;
mod statistics;
pub mod strangers;
mod tokens;
mod trail;
// Rows and tables.
mod codec;
mod tables;
// The open file: what changed, what time it is, who writes, and what becomes
// of faults.
mod changes;
mod clock_watch;
mod disk;
mod engine;
mod writer;
// From a path to an open database.
mod migrate;
mod open;
mod seal;
// Copies, and whether they are good.
pub mod backups;
mod file_copy;
mod files;
pub mod inspect;
pub mod restore;
mod snapshot;
// What a bench measures by itself.
#[doc(hidden)]
pub mod pieces;

pub use self::acme::{AcmeAccount, AcmeCertificate, AcmeSetback};
pub use self::admins::{CreateRefused, DeleteRefused, NoSuchAdmin};
pub use self::apply::{Applied, BatchRefused, Done};
pub use self::audit::{AuditFilter, AuditPage};
pub use self::bulk::{Bulk, BulkRefused, Bulked, Expected};
pub use self::clock_watch::ClockReport;
pub use self::error::{OpenError, Outcome, StorageFault, Unavailable};
pub use self::files::FILE_NAME;
pub use self::handle::Store;
pub use self::heartbeats::{Answer, Call, HeartbeatRefused};
pub use self::history::SiteHistory;
pub use self::keyring::{NoSigningKey, SigningKey, TlsIdentity};
pub use self::lease_keys::KeyWithSecret;
pub use self::lists::{LookedAt, SitePage, SiteQuery, TooManyToSort};
pub use self::migrate::SCHEMA_VERSION;
pub use self::second_factors::{
    BeginRefused, CodeFault, CodeOutcome, ConfirmRefused, LoginClaim, RemoveRefused,
};
pub use self::sessions::NoSuchSession;
pub use self::snapshot::SnapshotError;
pub use self::statistics::SiteStatistics;
pub use self::tokens::{NoSuchToken, TokenNotMade};
pub use self::writer::Commit;

#[cfg(test)]
mod tests;

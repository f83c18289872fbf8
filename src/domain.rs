//! The vocabulary of sitewarden and its rules.
//!
//! Nothing here reads a clock, touches a file or knows a framework: time and
//! randomness come in as arguments, so that every rule can be tested as
//! arithmetic. A value of a type below is valid by construction; it was
//! parsed once, at the edge.

pub mod admin;
pub mod audit;
pub mod clock;
pub mod heartbeat;
pub mod licence;
pub mod network;
pub mod secret_key;
pub mod site;
pub mod text;
pub mod time;

pub use admin::{Admin, AdminId, NewPassword, NewUsername, TokenEpoch, Username};
pub use audit::{Action, Actor, ActorKind, AuditEntry, FieldChange};
pub use heartbeat::{Heartbeat, Seen, Verdict};
pub use licence::{LicenceChange, TooFarAhead};
pub use network::{Network, Surroundings};
pub use secret_key::{KeyHash, SecretKey};
pub use site::{NewSite, Site, SiteChange, SiteId, SiteStatus};
pub use text::{AppVersion, ContactEmail, LockReason, OwnerName, SiteName, TextError};
pub use time::Timestamp;

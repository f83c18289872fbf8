//! The vocabulary of sitewarden and its rules.
//!
//! Nothing here reads a clock, touches a file or knows a framework: time and
//! randomness come in as arguments, so that every rule can be tested as
//! arithmetic. A value of a type below is valid by construction; it was
//! parsed once, at the edge.

// What people type, when, and where from.
pub mod text;
pub mod time;
// Days, and when they end where.
pub mod calendar;
// What time it is, as far as the clock is believed.
pub mod clock;
// From where, and what is counted as one place.
pub mod network;
// A site: its identity, its key, its licence, its last heartbeat.
pub mod site_id;
// The key that its local backend proves itself with.
pub mod secret_key;
// What the vendor sorts it by, and what its licence switches on.
pub mod codes;
// What the configuration says of all sites.
pub mod rules;
// How its licence is extended.
pub mod licence;
// What it may do, and when.
pub mod terms;
// Whether its local backend has heard of that.
pub mod delivery;
// When that calls next.
pub mod slot;
// What it may go on with without a server, and which keys vouch for it.
pub mod lease;
pub mod lease_key;
// What its local backend reports, and on which days.
pub mod heartbeat;
pub mod history;
// All of it together.
pub mod site;
// What lists look at of it: which sites are meant, and in which order.
pub mod filter;
pub mod order;
pub mod view;
// How all of them stand.
pub mod statistics;
// What its local backend is told.
pub mod verdict;
// Who may change it.
pub mod admin;
// The code that a login may need beside the password, and when it counts.
pub mod one_time_code;
pub mod second_factor;
// A login that is open.
pub mod session;
// With what its programs ask, and what they may.
pub mod api_token;
// The trail that a change leaves.
pub mod audit;
// What shows that nobody rewrote it.
pub mod chain;
// What can be done to a site, and what decides it.
pub mod operation;

pub use admin::{Admin, AdminId, NewPassword, NewUsername, TokenEpoch, Username};
pub use api_token::{
    ApiToken, NewToken, Scope, TokenHash, TokenName, TokenNetworks, TokenRequest, TokenSecret, UtcDay,
};
pub use audit::{Action, Actor, ActorKind, AuditEntry, FieldChange, NewAuditEntry};
pub use calendar::{Calendar, Date, Moment, Zones};
pub use codes::{Features, Tags};
pub use delivery::{Delivered, Delivery, DeliveryState};
pub use filter::SiteFilter;
pub use heartbeat::{Heartbeat, Seen};
pub use history::{Day, History, Several, Today};
pub use lease::{Lease, LeaseRequest, Nonce};
pub use licence::{ExpiryRefused, LicenceChange, TooFarAhead};
pub use network::{Block, Network, Surroundings};
pub use one_time_code::{OtpSecret, RecoveryCode, RecoveryHash, TypedCode};
pub use operation::{DateField, Effect, Operation, Refused, SiteOperation};
pub use order::{Position, SiteOrder, SortField, SortKey};
pub use rules::{GraceDays, OfflineHours, Rules, SilentAfterHours, TimeZoneName};
pub use second_factor::{CodeKind, CodeRefused, ConfirmedFactor, SecondFactor};
pub use secret_key::{KeyHash, SecretKey};
pub use session::{Means, Session, SessionId, SessionKind};
pub use site::{NewSite, Site, SiteChange, SiteStatus};
pub use site_id::SiteId;
pub use statistics::{Frequencies, Statistics};
pub use terms::{Lock, NewLock, Terms, VerdictRevision};
pub use text::{AppVersion, ContactEmail, LockReason, Notes, OwnerName, SiteName, TextError};
pub use time::Timestamp;
pub use verdict::Verdict;
pub use view::SiteView;

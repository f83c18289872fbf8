//! Who is calling: passwords, access tokens and their logins, and limits on guessing them.

mod allowance;
mod buffer;
mod crowd;
pub mod failed_login_trail;
pub mod heartbeat_throttle;
pub mod host_user;
pub mod initial_password;
pub mod lease_key;
pub mod login_throttle;
pub mod password;
pub mod queue;
pub mod random;
pub mod retry_after;
pub mod token;
pub mod unsaved_sessions;

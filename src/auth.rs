//! Who is calling: passwords, access tokens and their logins, and limits on guessing them.

mod buffer;
mod crowd;
pub mod host_user;
pub mod initial_password;
pub mod password;
pub mod queue;
pub mod random;
pub mod throttle;
pub mod token;
pub mod unsaved_sessions;

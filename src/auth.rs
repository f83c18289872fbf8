//! Who is calling: passwords, access tokens, and limits on guessing them.

pub mod password;
pub mod throttle;
pub mod token;

//! Users of this host.

/// A user of this host, who may do all that an admin may: by the control
/// socket, or on the files themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostUser {
    /// The user's number.
    pub uid: u32,
    /// The user's name, or the number where `/etc/passwd` has none.
    pub name: String,
}

impl HostUser {
    /// The user with this number, its name from `/etc/passwd`. The system's
    /// own look-up (NSS) would load shared objects, which a static binary
    /// must not.
    pub fn of(uid: u32) -> Self {
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let named = users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        });
        Self { uid, name: named.unwrap_or_else(|| uid.to_string()) }
    }
}

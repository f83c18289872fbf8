//! The groups of the specification.

use poem_openapi::Tags;

/// The groups in which the operations are listed.
#[derive(Tags)]
pub(super) enum Group {
    /// Log in and find out who you are.
    #[oai(rename = "Login")]
    Login,
    /// Register sites, extend their licences, lock and unlock them.
    #[oai(rename = "Sites")]
    Sites,
    /// What a site's local backend calls every 6 hours.
    #[oai(rename = "Heartbeat")]
    Heartbeat,
    /// The keys that sign leases.
    #[oai(rename = "Leases")]
    Leases,
    /// Who may log in.
    #[oai(rename = "Admins")]
    Admins,
    /// What programs ask with.
    #[oai(rename = "Tokens")]
    Tokens,
    /// Who changed what.
    #[oai(rename = "Audit")]
    Audit,
    /// Take a copy of everything.
    #[oai(rename = "Backup")]
    Backup,
    /// The server's certificate.
    #[oai(rename = "Certificate")]
    Tls,
    /// For whoever watches the server.
    #[oai(rename = "Health")]
    Health,
}

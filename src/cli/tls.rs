//! `sitewarden tls …`: one file for each verb.

// How the certificate stands.
mod certificate;
// The verbs.
mod renew;
mod status;
// Which of them runs.
mod command;

pub(super) use self::command::Tls;

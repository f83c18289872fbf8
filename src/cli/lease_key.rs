//! `sitewarden lease-key …`: one file for each verb.

// What the server tells of a key.
mod document;
// The verbs.
mod list;
mod rotate;
// Which of them runs.
mod command;

pub(super) use self::command::LeaseKey;

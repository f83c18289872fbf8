//! `sitewarden admin …`: one file for each verb.

// Who the admins are, and their passwords.
mod named;
// The verbs.
mod create;
mod delete;
mod list;
mod otp;
mod passwd;
mod rotate_signing_key;
mod show;
// Which of them runs.
mod command;

pub(super) use self::command::Admin;

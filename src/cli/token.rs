//! `sitewarden token …`: one file for each verb.

// Where the API has them.
mod path;
// The verbs.
mod add;
mod list;
mod remove;
// Which of them runs.
mod command;

pub(super) use self::command::Token;

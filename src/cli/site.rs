//! `sitewarden site …`: one file for each verb.

// Which sites are meant, and what is known of them.
mod chosen;
mod document;
mod filter;
// Many sites at once, and their tables.
mod batch;
mod bulk;
mod cell;
mod column;
mod encoding;
mod spreadsheet;
// What a registration and a change say alike.
mod said;
// The verbs.
mod add;
mod export;
mod extend;
mod history;
mod import;
mod list;
mod lock;
mod remove;
mod rotate_key;
mod show;
mod tag;
mod unlock;
mod update;
mod watch;
// Which of them runs.
mod command;

pub(super) use self::command::Site;

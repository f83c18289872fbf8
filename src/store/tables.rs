//! Typed tables: whoever uses them puts in rows and gets rows, and neither
//! encodes them nor keeps account of what changed. redb is named here, and
//! where a file is opened, copied or committed; nowhere else.

// A table of rows.
mod table;
// Everything that there is one of.
pub(super) mod meta;
// Every table on one screen.
mod list;
// All of them in a file.
mod schema;

pub(super) use self::list::{EachRecord, META, ReadTables, STRANGERS, Tables, WriteTables};
pub(super) use self::schema::{complete, prepare, schema_version};
pub(super) use self::table::{Stored, Transaction};

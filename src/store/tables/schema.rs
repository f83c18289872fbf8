//! The tables of a file as a whole: made where they are missing, and of which
//! version they are.

use redb::{Database, ReadableDatabase};

use super::super::codec::ChainRow;
use super::super::error::{Unavailable, unreadable};
use super::list::{NAMES, ReadTables, WriteTables};
use super::meta;
use crate::domain::chain::Chain;

/// Makes the tables of a file that has none.
pub(in crate::store) fn prepare(database: &Database, schema: u32) -> Result<(), Unavailable> {
    if database.begin_read()?.list_tables()?.next().is_none() {
        let transaction = database.begin_write()?;
        let mut tables = WriteTables::of(&transaction);
        tables.make_missing()?;
        tables.meta.set(meta::SCHEMA, &schema)?;
        tables.meta.set(meta::CHAIN, &ChainRow::from_chain(&Chain::default()))?;
        drop(tables);
        transaction.commit()?;
    }
    Ok(())
}

/// Makes those tables that a file made before they existed does not have yet.
pub(in crate::store) fn complete(database: &Database) -> Result<(), Unavailable> {
    if database.begin_read()?.list_tables()?.count() < NAMES.len() {
        let transaction = database.begin_write()?;
        WriteTables::of(&transaction).make_missing()?;
        transaction.commit()?;
    }
    Ok(())
}

/// The schema version of a file.
pub(in crate::store) fn schema_version(database: &Database) -> Result<u32, Unavailable> {
    let transaction = database.begin_read()?;
    let version = ReadTables::of(&transaction).meta.value(meta::SCHEMA)?;
    version.ok_or_else(|| unreadable(meta::SCHEMA.name, "missing"))
}

//! A copy of a database that nobody has open: its file, but for what does not
//! go into copies.
//!
//! A snapshot ([`super::snapshot`]) never gets the key that signs tokens. A
//! copy of the file has it twice: in its record, and in pages that were given
//! up and still hold what they held. Here the record is removed, and then the
//! bytes are overwritten wherever else they stand. It works on files of every
//! schema version, which a snapshot, made of the tables of today, does not.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition, TableError};

use super::disk::{AnyBackend, FileBytes, Overlay};
use super::tables::{META, STRANGERS, meta};
use super::{engine, files};

/// The tables that have what does not go into copies, as files of every schema
/// version have them.
const ENTRIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(META);
const FAILED_LOGINS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new(STRANGERS);
/// Commits after which no header of the file names a page from before: it
/// names those of the last two.
const COMMITS: usize = 3;
/// Bytes that are looked through at once.
const CHUNK: usize = 1 << 20;

/// Copies the file `from` to `to`, which is replaced, without what does not go
/// into copies; gives the copy, open. For its owner alone to read; on disk
/// under its name when this returns.
///
/// # Errors
/// When it cannot be copied, or is damaged: then there is no copy.
pub(super) fn make(from: &File, to: &Path) -> io::Result<File> {
    let copy = files::copy_open(from, to)?;
    match strip(&copy) {
        Ok(()) => Ok(copy),
        Err(error) => {
            let _ = files::remove_if_there(to);
            Err(error)
        }
    }
}

/// Takes out of the database in `file`, which nobody else has open, what does
/// not go into copies. A file that has none of it stays as it is.
///
/// # Errors
/// When it is damaged or cannot be written.
pub(super) fn strip(file: &File) -> io::Result<()> {
    let again = || file.try_clone().map(FileBytes);
    let looked_at = Overlay::over(again()?).map(AnyBackend::new)?;
    if is_stripped(&engine::open_backend(looked_at).map_err(failed)?).map_err(failed)? {
        return Ok(());
    }
    let database = engine::open_backend(AnyBackend::new(again()?)).map_err(failed)?;
    let key = take_out(&database).map_err(failed)?;
    database.close().map_err(failed)?;
    if let Some(key) = key {
        overwrite(file, &key)?;
    }
    file.sync_all()?;
    // The whole of it is checked.
    let overlay = Overlay::over(again()?)?;
    engine::open_backend(AnyBackend::new(overlay)).map_err(failed).map(drop)
}

fn is_stripped(database: &Database) -> Result<bool, redb::Error> {
    let transaction = database.begin_read()?;
    let has_key = transaction.open_table(ENTRIES)?.get(meta::SIGNING_KEY.name)?.is_some();
    let has_strangers = match transaction.open_table(FAILED_LOGINS) {
        Err(TableError::TableDoesNotExist(_)) => false,
        table => !table?.is_empty()?,
    };
    Ok(!has_key && !has_strangers)
}

/// Removes the records, and gives the key that signs tokens where there was
/// one.
fn take_out(database: &Database) -> Result<Option<Vec<u8>>, redb::Error> {
    let transaction = database.begin_write()?;
    let key =
        transaction.open_table(ENTRIES)?.remove(meta::SIGNING_KEY.name)?.map(|key| key.value().to_vec());
    transaction.delete_table(FAILED_LOGINS)?;
    transaction.commit()?;
    for _ in 0..COMMITS {
        database.begin_write()?.commit()?;
    }
    Ok(key)
}

/// Overwrites `secret` with zeros wherever it stands in `file`.
fn overwrite(file: &File, secret: &[u8]) -> io::Result<()> {
    let (mut at, mut bytes) = (0, vec![0; CHUNK + secret.len()]);
    loop {
        let mut read = 0;
        // To the end of the buffer or of the file.
        while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, at + read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        let found = bytes.get(..read).unwrap_or_default();
        for (place, window) in found.windows(secret.len()).enumerate() {
            if window == secret {
                file.write_all_at(&vec![0; secret.len()], at + place as u64)?;
            }
        }
        if read < bytes.len() {
            return Ok(());
        }
        at += CHUNK as u64;
    }
}

fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

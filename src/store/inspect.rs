//! Is this file good, and what is in it? Asked of a database that nobody has
//! open, and answered without changing a byte of it.

use std::fs::{File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::clock;
use super::codec::{self, AdminRow, AuditRow, DecodeError, Row, SeenRow, SiteRow, TlsRow};
use super::disk::{FileBytes, Overlay};
use super::migrate::{self, STEPS};
use super::tables::{self, ReadTables, fixed, meta, unreadable};
use super::{SCHEMA_VERSION, Unavailable};
use crate::domain::Timestamp;

/// What a good file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Schema version of the file.
    pub schema_version: u32,
    /// Its size.
    pub bytes: u64,
    /// `false`: the process that wrote it was killed. What it acknowledged is
    /// there, but damage to the very last commit cannot be told from a commit
    /// that a power cut interrupted, and would go unseen.
    pub closed_cleanly: bool,
    /// How many rows each table has, by the name of the table.
    pub counts: Vec<(&'static str, u64)>,
    /// When the newest heartbeat came.
    pub newest_heartbeat: Option<Timestamp>,
}

/// Why a file is not good, or cannot be looked at. Displays as one line for
/// the operator.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Another process has it open.
    #[error(
        "{0} is in use by a running sitewarden: check the copy that it keeps in {DIRECTORY}/ beside it, or stop it first",
        DIRECTORY = super::backups::DIRECTORY
    )]
    InUse(PathBuf),
    /// The operating system refused.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// It is damaged, or never was a database of ours.
    #[error("{path} is not a sitewarden database or is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A newer sitewarden wrote it.
    #[error(
        "{path} has schema version {found}, written by a newer sitewarden, and this one reads up to {SCHEMA_VERSION}"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
    },
}

/// Checks every page against its checksum, reads every record, and holds the
/// indexes against the tables.
///
/// # Errors
/// [`CheckError`] names the first thing that is wrong.
pub fn check(path: &Path) -> Result<Report, CheckError> {
    let file = File::open(path).map_err(|source| CheckError::Io { path: path.to_owned(), source })?;
    check_open(&file, path)
}

/// As [`check`], of a file that is open and was opened by the name `path`,
/// whatever has that name now.
///
/// # Errors
/// As [`check`].
pub fn check_open(file: &File, path: &Path) -> Result<Report, CheckError> {
    let io_error = |source| CheckError::Io { path: path.to_owned(), source };
    // Held while we look. Where locks cannot be had, nobody else has one.
    if matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return Err(CheckError::InUse(path.to_owned()));
    }
    let bytes = file.metadata().map_err(io_error)?.len();
    let damaged = |reason: String| CheckError::Damaged { path: path.to_owned(), reason };
    if bytes == 0 {
        return Err(damaged("it is empty".to_owned()));
    }
    // redb may panic over what something else than a crash has damaged.
    match catch_unwind(AssertUnwindSafe(|| look(file, bytes))) {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(Fault::Newer(found))) => Err(CheckError::Newer { path: path.to_owned(), found }),
        Ok(Err(Fault::Io(source))) => Err(io_error(source)),
        Ok(Err(Fault::Damaged(reason))) => Err(damaged(reason)),
        Err(_) => Err(damaged("its structure makes no sense".to_owned())),
    }
}

enum Fault {
    Newer(u32),
    Io(io::Error),
    Damaged(String),
}

impl From<DatabaseError> for Fault {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Storage(redb::StorageError::Io(error))
                if error.kind() != io::ErrorKind::InvalidData
                    && error.kind() != io::ErrorKind::UnexpectedEof =>
            {
                Self::Io(error)
            }
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<Unavailable> for Fault {
    fn from(error: Unavailable) -> Self {
        match error {
            Unavailable::Storage(error) => Self::Damaged(error.to_string()),
            other => Self::Damaged(other.to_string()),
        }
    }
}

fn look(file: &File, bytes: u64) -> Result<Report, Fault> {
    let again = || file.try_clone().map(FileBytes).map_err(Fault::Io);
    let closed_cleanly = match Database::builder().open_read_only_with_backend(again()?) {
        Ok(_) => true,
        Err(DatabaseError::RepairAborted) => false,
        Err(error) => return Err(error.into()),
    };
    let overlay = Overlay::over(again()?).map_err(Fault::Io)?;
    let mut database = Database::builder().create_with_backend(overlay)?;
    if !database.check_integrity()? {
        return Err(Fault::Damaged("something else than sitewarden has changed it".to_owned()));
    }
    let schema_version = tables::schema_version(&database)?;
    if schema_version > SCHEMA_VERSION {
        return Err(Fault::Newer(schema_version));
    }
    migrate::migrate(&database, schema_version, STEPS)?;
    let tables = ReadTables::open(&database.begin_read().map_err(Unavailable::from)?)?;
    let newest_heartbeat = read_all(&tables)?;
    Ok(Report { schema_version, bytes, closed_cleanly, counts: tables.counts()?, newest_heartbeat })
}

/// Reads every record, and tells when the newest heartbeat came.
fn read_all(tables: &ReadTables) -> Result<Option<Timestamp>, Unavailable> {
    let mut last_site = 0;
    for entry in tables.sites.iter()? {
        let (id, row) = entry?;
        let id = id.value();
        let site = codec::decode::<SiteRow>(row.value())
            .and_then(|row| row.into_site(id, None))
            .map_err(|error| wrong::<SiteRow>(id, &error))?;
        let indexed = tables.site_ids.get(site.site_id.as_u128())?.map(|found| found.value());
        if indexed != Some(id) {
            return Err(unreadable("site_ids", format!("site {id} is not found by its site_id")));
        }
        last_site = id;
    }
    same_count("site_ids", tables.site_ids.len()?, tables.sites.len()?)?;
    let mut newest = None;
    for entry in tables.heartbeats.iter()? {
        let (id, row) = entry?;
        let id = id.value();
        let seen = codec::decode::<SeenRow>(row.value())
            .and_then(SeenRow::into_seen)
            .map_err(|error| wrong::<SeenRow>(id, &error))?;
        if tables.sites.get(id)?.is_none() {
            return Err(unreadable(SeenRow::TABLE, format!("there is no site {id}")));
        }
        newest = newest.max(Some(seen.at));
    }
    let mut last_admin = 0;
    for entry in tables.admins.iter()? {
        let (id, row) = entry?;
        let id = id.value();
        let admin = codec::decode::<AdminRow>(row.value())
            .and_then(|row| row.into_admin(id))
            .map_err(|error| wrong::<AdminRow>(id, &error))?;
        let folded = admin.username.folded();
        if tables.admin_names.get(folded.as_str())?.map(|found| found.value()) != Some(id) {
            return Err(unreadable("admin_names", format!("admin {id} is not found by name")));
        }
        last_admin = id;
    }
    same_count("admin_names", tables.admin_names.len()?, tables.admins.len()?)?;
    let mut last_entry = 0;
    for entry in tables.audit.iter()? {
        let (id, row) = entry?;
        last_entry = id.value();
        codec::decode::<AuditRow>(row.value())
            .and_then(|row| row.into_entry(last_entry))
            .map_err(|error| wrong::<AuditRow>(last_entry, &error))?;
    }
    let last = [(meta::NEXT_SITE, last_site), (meta::NEXT_ADMIN, last_admin), (meta::NEXT_AUDIT, last_entry)];
    read_meta(tables, last)?;
    Ok(newest)
}

fn read_meta(tables: &ReadTables, numbers: [(&'static str, u64); 3]) -> Result<(), Unavailable> {
    for (name, last) in numbers {
        let next = match tables.meta.get(name)? {
            Some(bytes) => u64::from_le_bytes(fixed(name, bytes.value())?),
            None => 1,
        };
        if next <= last {
            return Err(unreadable(name, format!("the number {last} is in use already")));
        }
    }
    clock::Known::read(tables)?;
    if let Some(bytes) = tables.meta.get(meta::SIGNING_KEY)? {
        fixed::<32>(meta::SIGNING_KEY, bytes.value())?;
    }
    if let Some(bytes) = tables.meta.get(meta::TLS_IDENTITY)? {
        codec::decode::<TlsRow>(bytes.value()).map_err(|error| unreadable(meta::TLS_IDENTITY, error))?;
    }
    Ok(())
}

fn same_count(index: &'static str, found: u64, expected: u64) -> Result<(), Unavailable> {
    if found == expected {
        Ok(())
    } else {
        Err(unreadable(index, format!("it has {found} entries for {expected} records")))
    }
}

fn wrong<R: Row>(id: u64, error: &DecodeError) -> Unavailable {
    unreadable(R::TABLE, format!("record {id}: {error}"))
}

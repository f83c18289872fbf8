//! Is this file good, and what is in it? Asked of a database that nobody has
//! open, and answered without changing a byte of it.

use std::fs::{File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableDatabase};

use super::codec::{
    AdminRow, AuditRow, DecodeError, EffectRow, HistoryRow, LeaseKeyRow, RequestRow, Row, SecondFactorRow,
    SeenRow, SessionRow, SiteRow, StrangerRow, TokenRow,
};
use super::disk::{FileBytes, Overlay};
use super::error::{Unavailable, unreadable};
use super::files::DIRECTORY;
use super::migrate::{self, SCHEMA_VERSION, STEPS};
use super::tables::meta::Bytes;
use super::tables::{self, EachRecord, ReadTables, meta};
use super::trail;
use crate::domain::chain::{ChainHead, ChainReport};
use crate::domain::{Date, Timestamp, UtcDay};

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
        "{0} is in use by a running sitewarden: check the copy that it keeps in {DIRECTORY}/ beside it, or stop it first"
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

/// Checks every page against its checksum, reads every record of every table
/// that this version knows, and holds the indexes against the tables.
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
    with(file, path, look)
}

/// Holds the audit trail in the file against its chain, and the chain against
/// a head that somebody noted. A trail of a version without a chain is chained
/// first, in memory.
///
/// # Errors
/// As [`check`], where the file is no good database; what is wrong with the
/// trail stands in the report.
pub fn verify_audit(path: &Path, expected: Option<ChainHead>) -> Result<ChainReport, CheckError> {
    let file = File::open(path).map_err(|source| CheckError::Io { path: path.to_owned(), source })?;
    with(&file, path, |file, _| {
        let (database, ..) = opened(file)?;
        let transaction = database.begin_read().map_err(Unavailable::from)?;
        Ok(trail::verify(&ReadTables::of(&transaction), expected)?)
    })
}

/// What `looking` finds in a file of so many bytes that nobody else has open.
fn with<T>(
    file: &File,
    path: &Path,
    looking: impl FnOnce(&File, u64) -> Result<T, Fault>,
) -> Result<T, CheckError> {
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
    match catch_unwind(AssertUnwindSafe(|| looking(file, bytes))) {
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
    let (database, schema_version, closed_cleanly) = opened(file)?;
    let transaction = database.begin_read().map_err(Unavailable::from)?;
    let tables = ReadTables::of(&transaction);
    let newest_heartbeat = read_all(&tables)?;
    Ok(Report { schema_version, bytes, closed_cleanly, counts: tables.counts()?, newest_heartbeat })
}

/// The database in the file, each page of which is held against its checksum,
/// as one of today; its changes stay in memory. And its schema version as it
/// was, and whether it was closed cleanly.
fn opened(file: &File) -> Result<(Database, u32, bool), Fault> {
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
    Ok((database, schema_version, closed_cleanly))
}

/// Reads every record of every table, holds the indexes against the tables,
/// and tells when the newest heartbeat came.
pub(super) fn read_all(tables: &ReadTables<'_>) -> Result<Option<Timestamp>, Unavailable> {
    let mut reading = Reading::default();
    tables.each_record(&mut reading)?;
    same_count("site_ids", tables.site_ids.len()?, tables.sites.len()?)?;
    same_count("admin_names", tables.admin_names.len()?, tables.admins.len()?)?;
    same_count("token_hashes", tables.token_hashes.len()?, tables.tokens.len()?)?;
    for (sequence, last) in [
        (meta::NEXT_SITE, reading.last_site),
        (meta::NEXT_ADMIN, reading.last_admin),
        (meta::NEXT_AUDIT, reading.last_entry),
        (meta::NEXT_STRANGER, reading.last_stranger),
        (meta::NEXT_TOKEN, reading.last_token),
    ] {
        if tables.meta.value(sequence)?.unwrap_or(1) <= last {
            return Err(unreadable(sequence.name, format!("the number {last} is in use already")));
        }
    }
    Ok(reading.newest_heartbeat)
}

/// What is known of the records that were read so far.
#[derive(Default)]
struct Reading {
    last_site: u64,
    last_admin: u64,
    last_entry: u64,
    last_stranger: u64,
    last_token: u64,
    newest_heartbeat: Option<Timestamp>,
}

impl EachRecord for Reading {
    fn sites(&mut self, tables: &ReadTables<'_>, id: u64, row: SiteRow) -> Result<(), Unavailable> {
        let site = read::<SiteRow, _>(id, row.into_site(id, None))?;
        let indexed = tables.site_ids.get(site.site_id.as_u128())?;
        if indexed != Some(id) {
            return Err(unreadable("site_ids", format!("site {id} is not found by its site_id")));
        }
        self.last_site = id;
        Ok(())
    }

    fn site_ids(&mut self, tables: &ReadTables<'_>, _: u128, id: u64) -> Result<(), Unavailable> {
        exists("site_ids", "site", id, tables.sites.has(id)?)
    }

    fn heartbeats(&mut self, tables: &ReadTables<'_>, id: u64, row: SeenRow) -> Result<(), Unavailable> {
        let seen = read::<SeenRow, _>(id, row.into_seen())?;
        self.newest_heartbeat = self.newest_heartbeat.max(Some(seen.at));
        exists(SeenRow::TABLE, "site", id, tables.sites.has(id)?)
    }

    fn admins(&mut self, tables: &ReadTables<'_>, id: u64, row: AdminRow) -> Result<(), Unavailable> {
        let admin = read::<AdminRow, _>(id, row.into_admin(id))?;
        let folded = admin.username.folded();
        if tables.admin_names.get(&folded)? != Some(id) {
            return Err(unreadable("admin_names", format!("admin {id} is not found by name")));
        }
        self.last_admin = id;
        Ok(())
    }

    fn admin_names(&mut self, tables: &ReadTables<'_>, _: String, id: u64) -> Result<(), Unavailable> {
        exists("admin_names", "admin", id, tables.admins.has(id)?)
    }

    fn audit(&mut self, tables: &ReadTables<'_>, id: u64, row: AuditRow) -> Result<(), Unavailable> {
        self.last_entry = id;
        if let Some(site) = row.needs_site()
            && tables.sites.get(site)?.is_some_and(|site| site.registration_entry != id)
        {
            return Err(unreadable(
                AuditRow::TABLE,
                format!("record {id}: site {site} was not registered by it"),
            ));
        }
        trail::entry_of(tables, id, row).map(drop)
    }

    fn strangers(&mut self, _: &ReadTables<'_>, id: u64, row: StrangerRow) -> Result<(), Unavailable> {
        self.last_stranger = id;
        read::<StrangerRow, _>(id, row.into_entry(id)).map(drop)
    }

    fn requests(&mut self, _: &ReadTables<'_>, request: Vec<u8>, row: RequestRow) -> Result<(), Unavailable> {
        let read = row.effects.iter().try_for_each(|effect| EffectRow::read(effect).map(drop));
        read.map_err(|error| unreadable(RequestRow::TABLE, error))?;
        if request.len() == 32 { Ok(()) } else { Err(unreadable(RequestRow::TABLE, "wrong length")) }
    }

    fn lease_keys(&mut self, _: &ReadTables<'_>, number: u64, row: LeaseKeyRow) -> Result<(), Unavailable> {
        read::<LeaseKeyRow, _>(number, row.stored(number)).map(drop)
    }

    fn second_factors(
        &mut self,
        tables: &ReadTables<'_>,
        admin: u64,
        row: SecondFactorRow,
    ) -> Result<(), Unavailable> {
        read::<SecondFactorRow, _>(admin, row.into_factor())?;
        exists(SecondFactorRow::TABLE, "admin", admin, tables.admins.has(admin)?)
    }

    fn sessions(&mut self, tables: &ReadTables<'_>, key: u128, row: SessionRow) -> Result<(), Unavailable> {
        let session = row.into_session(key).map_err(|error| unreadable(SessionRow::TABLE, error))?;
        exists(SessionRow::TABLE, "admin", session.admin, tables.admins.has(session.admin)?)
    }

    fn tokens(&mut self, tables: &ReadTables<'_>, id: u64, row: TokenRow) -> Result<(), Unavailable> {
        if tables.token_hashes.get(row.hash.as_slice())? != Some(id) {
            return Err(unreadable("token_hashes", format!("token {id} is not found by its hash")));
        }
        self.last_token = id;
        exists(TokenRow::TABLE, "admin", row.admin, tables.admins.has(row.admin)?)?;
        read::<TokenRow, _>(id, row.into_token(id, None)).map(drop)
    }

    fn token_hashes(&mut self, tables: &ReadTables<'_>, _: Vec<u8>, id: u64) -> Result<(), Unavailable> {
        exists("token_hashes", "token", id, tables.tokens.has(id)?)
    }

    fn token_uses(&mut self, tables: &ReadTables<'_>, id: u64, day: u64) -> Result<(), Unavailable> {
        if UtcDay::numbered(day).is_none() {
            return Err(unreadable("token_uses", format!("record {id}: there is no day {day}")));
        }
        exists("token_uses", "token", id, tables.tokens.has(id)?)
    }

    fn history(&mut self, tables: &ReadTables<'_>, id: u64, row: HistoryRow) -> Result<(), Unavailable> {
        read::<HistoryRow, _>(id, row.into_history())?;
        exists(HistoryRow::TABLE, "site", id, tables.sites.has(id)?)
    }

    fn heartbeat_days(&mut self, _: &ReadTables<'_>, day: u64, _: u64) -> Result<(), Unavailable> {
        match i32::try_from(day).ok().and_then(Date::numbered) {
            Some(_) => Ok(()),
            None => Err(unreadable("heartbeat_days", format!("there is no day {day}"))),
        }
    }

    fn meta(&mut self, _: &ReadTables<'_>, name: String, bytes: Bytes) -> Result<(), Unavailable> {
        meta::read(&name, &bytes.0)
    }
}

/// What the domain makes of a record.
fn read<R: Row, T>(id: u64, made: Result<T, DecodeError>) -> Result<T, Unavailable> {
    made.map_err(|error| unreadable(R::TABLE, format!("record {id}: {error}")))
}

fn exists(table: &'static str, what: &str, id: u64, exists: bool) -> Result<(), Unavailable> {
    if exists { Ok(()) } else { Err(unreadable(table, format!("there is no {what} {id}"))) }
}

fn same_count(index: &'static str, found: u64, expected: u64) -> Result<(), Unavailable> {
    if found == expected {
        Ok(())
    } else {
        Err(unreadable(index, format!("it has {found} entries for {expected} records")))
    }
}

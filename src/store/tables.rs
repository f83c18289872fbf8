//! Every table on one screen, and the two ways to hold them.
//!
//! Names carry the version of their key and value types; the version of a
//! record's content is its first byte (see [`super::codec`]).

use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};

use super::Unavailable;

/// Site number → registration record ([`super::codec::SiteRow`]).
const SITES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("sites_v1");
/// Site id as a number → site number.
const SITE_IDS: TableDefinition<'_, u128, u64> = TableDefinition::new("site_ids_v1");
/// Site number → last heartbeat ([`super::codec::SeenRow`]).
const HEARTBEATS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("heartbeats_v1");
/// Admin number → admin record ([`super::codec::AdminRow`]).
const ADMINS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("admins_v1");
/// Folded admin name → admin number.
const ADMIN_NAMES: TableDefinition<'_, &str, u64> = TableDefinition::new("admin_names_v1");
/// Audit entry number → entry ([`super::codec::AuditRow`]).
const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit_v1");
/// SHA-256 of a request to do once → what was done ([`super::codec::RequestRow`]).
const REQUESTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("requests_v1");
/// Everything that there is one of, by name: see the constants in [`meta`].
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta_v1");

/// The names in the meta table.
pub(super) mod meta {
    /// Schema version of the file, u32 little-endian.
    pub(crate) const SCHEMA: &str = "schema_version";
    /// The number that the next site gets, u64 little-endian.
    pub(crate) const NEXT_SITE: &str = "next_site";
    /// The number that the next admin gets, u64 little-endian.
    pub(crate) const NEXT_ADMIN: &str = "next_admin";
    /// The number that the next audit entry gets, u64 little-endian.
    pub(crate) const NEXT_AUDIT: &str = "next_audit";
    /// The key that signs tokens, 32 bytes.
    pub(crate) const SIGNING_KEY: &str = "signing_key";
    /// The self-signed certificate and its key ([`super::super::codec::TlsRow`]).
    pub(crate) const TLS_IDENTITY: &str = "tls_identity";
}

/// The schema that this build writes, and the newest that it reads.
pub(super) const SCHEMA_VERSION: u32 = 1;

/// All tables, open in the writer's transaction.
pub(super) struct WriteTables<'txn> {
    pub(super) sites: Table<'txn, u64, &'static [u8]>,
    pub(super) site_ids: Table<'txn, u128, u64>,
    pub(super) heartbeats: Table<'txn, u64, &'static [u8]>,
    pub(super) admins: Table<'txn, u64, &'static [u8]>,
    pub(super) admin_names: Table<'txn, &'static str, u64>,
    pub(super) audit: Table<'txn, u64, &'static [u8]>,
    pub(super) requests: Table<'txn, &'static [u8], &'static [u8]>,
    pub(super) meta: Table<'txn, &'static str, &'static [u8]>,
    /// Set by whoever writes: a batch that wrote nothing is not committed.
    pub(super) written: bool,
}

impl<'txn> WriteTables<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, Unavailable> {
        Ok(Self {
            sites: transaction.open_table(SITES)?,
            site_ids: transaction.open_table(SITE_IDS)?,
            heartbeats: transaction.open_table(HEARTBEATS)?,
            admins: transaction.open_table(ADMINS)?,
            admin_names: transaction.open_table(ADMIN_NAMES)?,
            audit: transaction.open_table(AUDIT)?,
            requests: transaction.open_table(REQUESTS)?,
            meta: transaction.open_table(META)?,
            written: false,
        })
    }

    /// Makes the batch commit although nothing changes.
    pub(super) fn touch(&mut self) -> Result<(), Unavailable> {
        self.written = true;
        Ok(())
    }

    /// The next number of the sequence `name`, from 1.
    pub(super) fn next_number(&mut self, name: &'static str) -> Result<u64, Unavailable> {
        let next = match self.meta.get(name)? {
            Some(bytes) => u64::from_le_bytes(fixed(name, bytes.value())?),
            None => 1,
        };
        self.meta.insert(name, (next + 1).to_le_bytes().as_slice())?;
        self.written = true;
        Ok(next)
    }
}

/// All tables, as of one moment.
pub(super) struct ReadTables {
    pub(super) sites: ReadOnlyTable<u64, &'static [u8]>,
    pub(super) site_ids: ReadOnlyTable<u128, u64>,
    pub(super) heartbeats: ReadOnlyTable<u64, &'static [u8]>,
    pub(super) admins: ReadOnlyTable<u64, &'static [u8]>,
    pub(super) admin_names: ReadOnlyTable<&'static str, u64>,
    pub(super) audit: ReadOnlyTable<u64, &'static [u8]>,
    pub(super) meta: ReadOnlyTable<&'static str, &'static [u8]>,
}

impl ReadTables {
    pub(super) fn open(transaction: &ReadTransaction) -> Result<Self, Unavailable> {
        Ok(Self {
            sites: transaction.open_table(SITES)?,
            site_ids: transaction.open_table(SITE_IDS)?,
            heartbeats: transaction.open_table(HEARTBEATS)?,
            admins: transaction.open_table(ADMINS)?,
            admin_names: transaction.open_table(ADMIN_NAMES)?,
            audit: transaction.open_table(AUDIT)?,
            meta: transaction.open_table(META)?,
        })
    }
}

/// Makes the tables of a new file, and tells the schema version of any.
pub(super) fn prepare(database: &Database) -> Result<u32, Unavailable> {
    let is_new = database.begin_read()?.list_tables()?.next().is_none();
    if is_new {
        let transaction = database.begin_write()?;
        WriteTables::open(&transaction)?
            .meta
            .insert(meta::SCHEMA, SCHEMA_VERSION.to_le_bytes().as_slice())?;
        transaction.commit()?;
    }
    let table = database.begin_read()?.open_table(META)?;
    match table.get(meta::SCHEMA)? {
        Some(bytes) => Ok(u32::from_le_bytes(fixed(meta::SCHEMA, bytes.value())?)),
        None => Err(unreadable(meta::SCHEMA, "missing")),
    }
}

/// The bytes of a meta entry that has a fixed length.
pub(super) fn fixed<const N: usize>(name: &'static str, bytes: &[u8]) -> Result<[u8; N], Unavailable> {
    bytes.try_into().map_err(|_| unreadable(name, "wrong length"))
}

/// The error for a record that makes no sense.
pub(super) fn unreadable(table: &'static str, reason: impl ToString) -> Unavailable {
    Unavailable::Record { table, reason: reason.to_string() }
}

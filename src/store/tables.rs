//! Every table on one screen, and the two ways to hold them.
//!
//! Names carry the version of their key and value types; the version of a
//! record's content is its first byte (see [`super::codec`]).

use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table,
    TableDefinition, WriteTransaction,
};

use super::Unavailable;

/// What is made of the list of tables, so that none can be forgotten: the two
/// ways to hold them all, their copy and their counts.
macro_rules! tables {
    ($($(#[$doc:meta])* $field:ident: $name:literal, $key:ty => $value:ty;)*) => {
        /// All tables, open in the writer's transaction.
        pub(super) struct WriteTables<'txn> {
            $($(#[$doc])* pub(super) $field: Table<'txn, $key, $value>,)*
            /// Set by whoever writes: a batch that wrote nothing is not
            /// committed.
            pub(super) written: bool,
            /// Set in its place by a heartbeat, which a backup may follow
            /// later than the change of an admin.
            pub(super) heard: bool,
            /// Set to have a commit although nothing changes.
            pub(super) touched: bool,
        }

        impl<'txn> WriteTables<'txn> {
            /// Opens all, and makes those that are missing.
            pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, Unavailable> {
                Ok(Self {
                    $($field: transaction.open_table(TableDefinition::new($name))?,)*
                    written: false,
                    heard: false,
                    touched: false,
                })
            }

            /// Puts every row of `from` in, and tells how many there were.
            pub(super) fn copy(&mut self, from: &ReadTables) -> Result<u64, Unavailable> {
                let mut rows = 0;
                $(for entry in from.$field.iter()? {
                    let (key, value) = entry?;
                    self.$field.insert(key.value(), value.value())?;
                    rows += 1;
                })*
                Ok(rows)
            }
        }

        /// All tables, as of one moment.
        pub(super) struct ReadTables {
            $($(#[$doc])* pub(super) $field: ReadOnlyTable<$key, $value>,)*
        }

        impl ReadTables {
            pub(super) fn open(transaction: &ReadTransaction) -> Result<Self, Unavailable> {
                Ok(Self { $($field: transaction.open_table(TableDefinition::new($name))?,)* })
            }

            /// How many rows each table has.
            pub(super) fn counts(&self) -> Result<Vec<(&'static str, u64)>, Unavailable> {
                Ok(vec![$((stringify!($field), self.$field.len()?),)*])
            }
        }

        /// The names under which the tables lie in the file.
        const NAMES: &[&str] = &[$($name,)*];
    };
}

tables! {
    /// Site number → registration record ([`super::codec::SiteRow`]).
    sites: "sites_v1", u64 => &'static [u8];
    /// Site id as a number → site number.
    site_ids: "site_ids_v1", u128 => u64;
    /// Site number → last heartbeat ([`super::codec::SeenRow`]).
    heartbeats: "heartbeats_v1", u64 => &'static [u8];
    /// Admin number → admin record ([`super::codec::AdminRow`]).
    admins: "admins_v1", u64 => &'static [u8];
    /// Folded admin name → admin number.
    admin_names: "admin_names_v1", &'static str => u64;
    /// Audit entry number → entry ([`super::codec::AuditRow`]).
    audit: "audit_v1", u64 => &'static [u8];
    /// SHA-256 of a request to do once → what was done ([`super::codec::RequestRow`]).
    requests: "requests_v1", &'static [u8] => &'static [u8];
    /// Everything that there is one of, by name: see the constants in [`meta`].
    meta: "meta_v1", &'static str => &'static [u8];
}

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
    /// The newest time that was believed, seconds since 1970 as i64
    /// little-endian.
    pub(crate) const KNOWN_TIME: &str = "known_time";
    /// The key that signs tokens, 32 bytes.
    pub(crate) const SIGNING_KEY: &str = "signing_key";
    /// The self-signed certificate and its key ([`super::super::codec::TlsRow`]).
    pub(crate) const TLS_IDENTITY: &str = "tls_identity";
    /// The account with an ACME server ([`super::super::codec::AcmeAccountRow`]).
    pub(crate) const ACME_ACCOUNT: &str = "acme_account";
    /// The certificate from it ([`super::super::codec::AcmeCertificateRow`]).
    pub(crate) const ACME_CERTIFICATE: &str = "acme_certificate";
    /// Orders that failed since ([`super::super::codec::AcmeSetbackRow`]).
    pub(crate) const ACME_SETBACK: &str = "acme_setback";
}

impl WriteTables<'_> {
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

/// Makes the tables of a file that has none.
pub(super) fn prepare(database: &Database, schema: u32) -> Result<(), Unavailable> {
    if database.begin_read()?.list_tables()?.next().is_none() {
        let transaction = database.begin_write()?;
        WriteTables::open(&transaction)?.meta.insert(meta::SCHEMA, schema.to_le_bytes().as_slice())?;
        transaction.commit()?;
    }
    Ok(())
}

/// Makes those tables that a file made before they existed does not have yet.
pub(super) fn complete(database: &Database) -> Result<(), Unavailable> {
    if database.begin_read()?.list_tables()?.count() < NAMES.len() {
        let transaction = database.begin_write()?;
        WriteTables::open(&transaction)?;
        transaction.commit()?;
    }
    Ok(())
}

/// The schema version of a file.
pub(super) fn schema_version(database: &Database) -> Result<u32, Unavailable> {
    let table = database.begin_read()?.open_table(TableDefinition::<&str, &[u8]>::new("meta_v1"))?;
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

//! Every table on one screen, and the two ways to hold them.
//!
//! Names carry the version of their key and value types; the version of a
//! record's content is its first byte (see [`super::codec`]).

use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table,
    TableDefinition, Value, WriteTransaction,
};

use super::Unavailable;

/// How many records each table has, by its name.
pub(super) type Counts = Vec<(&'static str, u64)>;

/// What is made of the list of tables, so that none can be forgotten: the two
/// ways to hold them all, their copy, their counts, and whoever reads them
/// record by record. `copied` tells by its key whether a record goes into
/// copies.
macro_rules! tables {
    ($($(#[$doc:meta])* $field:ident: $name:expr, $key:ty => $value:ty, copied: $copied:expr;)*) => {
        /// All tables, open in the writer's transaction.
        pub(super) struct WriteTables<'txn> {
            $($(#[$doc])* pub(super) $field: Table<'txn, $key, $value>,)*
            /// Set by whoever writes: a batch that wrote nothing is not
            /// committed.
            pub(super) written: bool,
            /// Set in its place by what a backup may follow later than the
            /// change of an admin: a heartbeat, and what the trail says of
            /// logins and backups.
            pub(super) heard: bool,
            /// Set in its place to have a commit that no backup follows.
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

            /// Puts every record of `from` in that goes into copies, and
            /// tells how many each table has got.
            pub(super) fn copy(&mut self, from: &ReadTables) -> Result<Counts, Unavailable> {
                let mut counts = Counts::new();
                $(
                    let (mut copied, mut left_out) = (0, 0);
                    for entry in from.$field.iter()? {
                        let (key, value) = entry?;
                        if $copied(key.value()) {
                            self.$field.insert(key.value(), value.value())?;
                            copied += 1;
                        } else {
                            left_out += 1;
                        }
                    }
                    let expected = from.$field.len()?;
                    if copied + left_out != expected {
                        let reason = format!("{} of {expected} records were found", copied + left_out);
                        return Err(unreadable(stringify!($field), reason));
                    }
                    counts.push((stringify!($field), copied));
                )*
                Ok(counts)
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
            pub(super) fn counts(&self) -> Result<Counts, Unavailable> {
                Ok(vec![$((stringify!($field), self.$field.len()?),)*])
            }

            /// Hands every record of every table to `reader`.
            pub(super) fn each_record(&self, reader: &mut impl EachRecord) -> Result<(), Unavailable> {
                $(for entry in self.$field.iter()? {
                    let (key, value) = entry?;
                    reader.$field(self, key.value(), value.value())?;
                })*
                Ok(())
            }
        }

        /// Takes the records of all tables: a method for each table, named as
        /// it is.
        pub(super) trait EachRecord {
            $(
                $(#[$doc])*
                fn $field(
                    &mut self,
                    tables: &ReadTables,
                    key: <$key as Value>::SelfType<'_>,
                    value: <$value as Value>::SelfType<'_>,
                ) -> Result<(), Unavailable>;
            )*
        }

        /// The names under which the tables lie in the file.
        const NAMES: &[&str] = &[$($name,)*];
    };
}

/// The name of the table of everything that there is one of: the one that a
/// file of any schema version has.
pub(super) const META: &str = "meta_v1";
/// The name of the table of failed logins.
pub(super) const STRANGERS: &str = "strangers_v1";

tables! {
    /// Site number → registration record ([`super::codec::SiteRow`]).
    sites: "sites_v1", u64 => &'static [u8], copied: every;
    /// Site id as a number → site number.
    site_ids: "site_ids_v1", u128 => u64, copied: every;
    /// Site number → last heartbeat ([`super::codec::SeenRow`]).
    heartbeats: "heartbeats_v1", u64 => &'static [u8], copied: every;
    /// Admin number → admin record ([`super::codec::AdminRow`]).
    admins: "admins_v1", u64 => &'static [u8], copied: every;
    /// Folded admin name → admin number.
    admin_names: "admin_names_v1", &'static str => u64, copied: every;
    /// Audit entry number → entry ([`super::codec::AuditRow`]).
    audit: "audit_v1", u64 => &'static [u8], copied: every;
    /// Number of a failed login → what is kept of it ([`super::codec::StrangerRow`]).
    /// Not in copies: a copy is there to go on from, and who knocked is not
    /// part of that.
    strangers: STRANGERS, u64 => &'static [u8], copied: none;
    /// SHA-256 of a request to do once → what was done ([`super::codec::RequestRow`]).
    requests: "requests_v1", &'static [u8] => &'static [u8], copied: every;
    /// Everything that there is one of, by name: see the constants in [`meta`].
    meta: META, &'static str => &'static [u8], copied: meta::is_copied;
}

fn every<K>(_: K) -> bool {
    true
}

fn none<K>(_: K) -> bool {
    false
}

/// The names in the meta table, and how what stands under each is read.
pub(super) mod meta {
    use super::super::codec::{self, AcmeAccountRow, AcmeCertificateRow, AcmeSetbackRow, Row, TlsRow};
    use super::{Unavailable, fixed, unreadable};
    use crate::domain::Timestamp;

    /// Makes the names and their reader from one list, so that none can be
    /// forgotten.
    macro_rules! entries {
        ($($(#[$doc:meta])* $constant:ident: $name:literal => $reader:expr;)*) => {
            $($(#[$doc])* pub(crate) const $constant: &str = $name;)*

            /// Reads what stands under `name`. A name that this version does
            /// not know says nothing to it.
            pub(crate) fn read(name: &str, bytes: &[u8]) -> Result<(), Unavailable> {
                match name {
                    $($name => $reader($name, bytes),)*
                    _ => Ok(()),
                }
            }
        };
    }

    entries! {
        /// Schema version of the file, u32 little-endian.
        SCHEMA: "schema_version" => exactly::<4>;
        /// The number that the next site gets, u64 little-endian.
        NEXT_SITE: "next_site" => exactly::<8>;
        /// The number that the next admin gets, u64 little-endian.
        NEXT_ADMIN: "next_admin" => exactly::<8>;
        /// The number that the next audit entry gets, u64 little-endian.
        NEXT_AUDIT: "next_audit" => exactly::<8>;
        /// The number that the next failed login gets, u64 little-endian.
        NEXT_STRANGER: "next_stranger" => exactly::<8>;
        /// The newest time that was believed, seconds since 1970 as i64
        /// little-endian.
        KNOWN_TIME: "known_time" => time;
        /// The key that signs tokens, 32 bytes.
        SIGNING_KEY: "signing_key" => exactly::<32>;
        /// The self-signed certificate and its key.
        TLS_IDENTITY: "tls_identity" => record::<TlsRow>;
        /// The account with an ACME server.
        ACME_ACCOUNT: "acme_account" => record::<AcmeAccountRow>;
        /// The certificate from it.
        ACME_CERTIFICATE: "acme_certificate" => record::<AcmeCertificateRow>;
        /// Orders that failed since.
        ACME_SETBACK: "acme_setback" => setback;
    }

    /// Whoever has the key that signs tokens is an admin: it stays where it
    /// is.
    pub(crate) fn is_copied(name: &str) -> bool {
        name != SIGNING_KEY
    }

    fn exactly<const N: usize>(name: &'static str, bytes: &[u8]) -> Result<(), Unavailable> {
        fixed::<N>(name, bytes).map(drop)
    }

    fn time(name: &'static str, bytes: &[u8]) -> Result<(), Unavailable> {
        let seconds = i64::from_le_bytes(fixed(name, bytes)?);
        Timestamp::from_unix(seconds).map(drop).ok_or_else(|| unreadable(name, "out of bounds"))
    }

    fn record<R: Row>(name: &'static str, bytes: &[u8]) -> Result<(), Unavailable> {
        codec::decode::<R>(bytes).map(drop).map_err(|error| unreadable(name, error))
    }

    fn setback(name: &'static str, bytes: &[u8]) -> Result<(), Unavailable> {
        codec::decode::<AcmeSetbackRow>(bytes)
            .and_then(|row| row.retry_at())
            .map(drop)
            .map_err(|error| unreadable(name, error))
    }
}

impl WriteTables<'_> {
    /// The next number of the sequence `name`, from 1.
    pub(super) fn next_number(&mut self, name: &'static str) -> Result<u64, Unavailable> {
        self.written = true;
        self.take_number(name)
    }

    /// As [`WriteTables::next_number`], where the caller says what follows.
    pub(super) fn take_number(&mut self, name: &'static str) -> Result<u64, Unavailable> {
        let next = match self.meta.get(name)? {
            Some(bytes) => u64::from_le_bytes(fixed(name, bytes.value())?),
            None => 1,
        };
        self.meta.insert(name, (next + 1).to_le_bytes().as_slice())?;
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
    let table = database.begin_read()?.open_table(TableDefinition::<&str, &[u8]>::new(META))?;
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

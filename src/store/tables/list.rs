//! Every table on one screen, and what is made of the list.
//!
//! Names carry the version of their key and value types; the version of a
//! record's content is its first byte (see [`super::super::codec`]).

use redb::{ReadTransaction, WriteTransaction};

use super::super::changes::Changed;
use super::super::codec::{
    AdminRow, AuditRow, HistoryRow, LeaseKeyRow, RequestRow, SecondFactorRow, SeenRow, SessionRow, SiteRow,
    StrangerRow, TokenRow,
};
use super::super::error::Unavailable;
use super::meta::{self, Bytes, Entry};
use super::table::{Key, Table, Transaction};

/// How many records each table has, by its name.
pub(in crate::store) type Counts = Vec<(&'static str, u64)>;

/// What is made of the list of tables, so that none can be forgotten: all of
/// them in a transaction, their copy, their counts, and whoever reads them
/// record by record. `changed` tells what a change of a row raises, `copied`
/// by its key whether a record goes into copies.
macro_rules! tables {
    ($($(#[$doc:meta])* $field:ident: $name:expr, $key:ty => $row:ty, changed: $raises:expr, copied: $copied:expr;)*) => {
        /// All tables, in one transaction.
        pub(in crate::store) struct Tables<'txn, T: Transaction> {
            $($(#[$doc])* pub(in crate::store) $field: Table<'txn, T, $key, $row>,)*
        }

        impl<'txn, T: Transaction> Tables<'txn, T> {
            /// The tables in `transaction`, each opened when it is first used.
            pub(in crate::store) fn of(transaction: &'txn T) -> Self {
                Self { $($field: Table::of(transaction, $name, stringify!($field), $raises),)* }
            }
        }

        impl WriteTables<'_> {
            /// Makes those that are missing.
            pub(in crate::store) fn make_missing(&self) -> Result<(), Unavailable> {
                $(self.$field.opened()?;)*
                Ok(())
            }

            /// What was changed in all of them together.
            pub(in crate::store) fn changed(&self) -> Changed {
                [$(self.$field.changed,)*].into_iter().max().unwrap_or_default()
            }

            /// Puts every record of `from` in that goes into copies, and
            /// tells how many each table has got.
            pub(in crate::store) fn copy(&mut self, from: &ReadTables<'_>) -> Result<Counts, Unavailable> {
                Ok(vec![$((stringify!($field), self.$field.copy(&from.$field, |key| $copied(key))?),)*])
            }
        }

        impl ReadTables<'_> {
            /// How many rows each table has.
            pub(in crate::store) fn counts(&self) -> Result<Counts, Unavailable> {
                Ok(vec![$((stringify!($field), self.$field.len()?),)*])
            }

            /// Hands every record of every table to `reader`.
            pub(in crate::store) fn each_record(&self, reader: &mut impl EachRecord) -> Result<(), Unavailable> {
                $(for entry in self.$field.iter()? {
                    let (key, row) = entry?;
                    reader.$field(self, key, row)?;
                })*
                Ok(())
            }
        }

        /// Takes the records of all tables: a method for each table, named as
        /// it is.
        pub(in crate::store) trait EachRecord {
            $(
                $(#[$doc])*
                fn $field(
                    &mut self,
                    tables: &ReadTables<'_>,
                    key: <$key as Key>::Owned,
                    row: $row,
                ) -> Result<(), Unavailable>;
            )*
        }

        /// The names under which the tables lie in the file.
        pub(super) const NAMES: &[&str] = &[$($name,)*];
    };
}

/// The name of the table of everything that there is one of: the one that a
/// file of any schema version has.
pub(in crate::store) const META: &str = "meta_v1";
/// The name of the table of failed logins.
pub(in crate::store) const STRANGERS: &str = "strangers_v1";

tables! {
    /// Site number → its registration.
    sites: "sites_v1", u64 => SiteRow, changed: records, copied: every;
    /// Site id as a number → site number.
    site_ids: "site_ids_v1", u128 => u64, changed: records, copied: every;
    /// Site number → its last heartbeat.
    heartbeats: "heartbeats_v1", u64 => SeenRow, changed: heartbeats, copied: every;
    /// Admin number → the admin.
    admins: "admins_v1", u64 => AdminRow, changed: records, copied: every;
    /// Folded admin name → admin number.
    admin_names: "admin_names_v1", &'static str => u64, changed: records, copied: every;
    /// Audit entry number → the entry.
    audit: "audit_v1", u64 => AuditRow, changed: entries, copied: every;
    /// Number of a failed login → what is stored of it. Not in copies: a copy
    /// is there to go on from, and who knocked is not part of that.
    strangers: STRANGERS, u64 => StrangerRow, changed: unfollowed, copied: none;
    /// SHA-256 of a request to do once → what was done.
    requests: "requests_v1", &'static [u8] => RequestRow, changed: records, copied: every;
    /// Number of a key that signs leases → the key.
    lease_keys: "lease_keys_v1", u64 => LeaseKeyRow, changed: records, copied: every;
    /// Admin number → the second factor. In copies: a restored server must
    /// not let an admin in with the password alone.
    second_factors: "second_factors_v1", u64 => SecondFactorRow, changed: records, copied: every;
    /// Admin number and session id → an open login. Not in copies: tokens of
    /// a server that goes on from one have ended.
    sessions: "sessions_v1", u128 => SessionRow, changed: unfollowed, copied: none;
    /// Number of a token for programs → the token.
    tokens: "tokens_v1", u64 => TokenRow, changed: records, copied: every;
    /// SHA-256 of its text → its number.
    token_hashes: "token_hashes_v1", &'static [u8] => u64, changed: records, copied: every;
    /// Its number → the day of its last use, counted from 1970.
    token_uses: "token_uses_v1", u64 => u64, changed: heartbeats, copied: every;
    /// Site number → the days before that of its last heartbeat.
    history: "history_v1", u64 => HistoryRow, changed: heartbeats, copied: every;
    /// Day, counted from 1970 → how many heartbeats of all sites came on it,
    /// but for those that lie with the last heartbeats.
    heartbeat_days: "heartbeat_days_v1", u64 => u64, changed: heartbeats, copied: every;
    /// Everything that there is one of, by its name in [`meta`].
    meta: META, &'static str => Bytes, changed: records, copied: meta::is_copied;
}

/// All tables, in the writer's transaction.
pub(in crate::store) type WriteTables<'txn> = Tables<'txn, WriteTransaction>;
/// All tables, as of one moment.
pub(in crate::store) type ReadTables<'txn> = Tables<'txn, ReadTransaction>;

impl WriteTables<'_> {
    /// Has a commit of its own made, though nothing is changed.
    pub(in crate::store) fn commit_nothing(&mut self) {
        self.meta.raise(Changed::Unfollowed);
    }

    /// The next number of a sequence, from 1.
    pub(in crate::store) fn next_number(&mut self, sequence: Entry<u64>) -> Result<u64, Unavailable> {
        self.meta.next_number(sequence)
    }
}

fn records<R>(_: Option<&R>) -> Changed {
    Changed::Records
}

fn heartbeats<R>(_: Option<&R>) -> Changed {
    Changed::Heartbeats
}

fn unfollowed<R>(_: Option<&R>) -> Changed {
    Changed::Unfollowed
}

/// Of a login, and of a backup that somebody took, a backup follows as after a
/// heartbeat: nothing was changed, and whoever takes one every minute shall
/// not make the server work twice.
fn entries(entry: Option<&AuditRow>) -> Changed {
    if entry.is_some_and(AuditRow::is_in_passing) { Changed::Heartbeats } else { Changed::Records }
}

fn every<K>(_: K) -> bool {
    true
}

fn none<K>(_: K) -> bool {
    false
}

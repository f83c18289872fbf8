//! Everything that there is one of, each under its name in one table.

use std::borrow::Cow;
use std::marker::PhantomData;

use redb::WriteTransaction;

use super::super::changes::Changed;
use super::super::codec::{
    self, AcmeAccountRow, AcmeCertificateRow, AcmeSetbackRow, ChainRow, DecodeError, TlsRow,
};
use super::super::error::{Unavailable, unreadable};
use super::table::{Key, Record, Table, Transaction};
use crate::domain::Timestamp;

/// A name in the table, for a value of this type.
pub(in crate::store) struct Entry<V> {
    pub(in crate::store) name: &'static str,
    /// What a change of it raises.
    raises: Changed,
    value: PhantomData<fn() -> V>,
}

impl<V> Clone for Entry<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Entry<V> {}

impl<V> Entry<V> {
    const fn new(name: &'static str, raises: Changed) -> Self {
        Self { name, raises, value: PhantomData }
    }
}

/// Makes the names and their reader from one list, so that none can be
/// forgotten.
macro_rules! entries {
    ($($(#[$doc:meta])* $constant:ident: $name:literal => $value:ty, $raises:ident;)*) => {
        $(
            $(#[$doc])*
            pub(in crate::store) const $constant: Entry<$value> = Entry::new($name, Changed::$raises);
        )*

        /// Reads what stands under `name`. A name that this version does not
        /// know says nothing to it.
        pub(in crate::store) fn read(name: &str, bytes: &[u8]) -> Result<(), Unavailable> {
            match name {
                $($name => <$value>::of_bytes(bytes).map(drop).map_err(|error| unreadable($name, error)),)*
                _ => Ok(()),
            }
        }
    };
}

entries! {
    /// Schema version of the file.
    SCHEMA: "schema_version" => u32, Records;
    /// The number that the next site gets.
    NEXT_SITE: "next_site" => u64, Unfollowed;
    /// The number that the next admin gets.
    NEXT_ADMIN: "next_admin" => u64, Unfollowed;
    /// The number that the next audit entry gets.
    NEXT_AUDIT: "next_audit" => u64, Unfollowed;
    /// The number that the next failed login gets.
    NEXT_STRANGER: "next_stranger" => u64, Unfollowed;
    /// The number that the next token for programs gets.
    NEXT_TOKEN: "next_token" => u64, Unfollowed;
    /// The newest time that was believed.
    KNOWN_TIME: "known_time" => Timestamp, Unfollowed;
    /// The key that signs tokens.
    SIGNING_KEY: "signing_key" => [u8; 32], Records;
    /// What tells the database from copies of it.
    LINEAGE: "lineage" => [u8; 16], Unfollowed;
    /// The least number that the next change of what a site may do gets.
    LEAST_REVISION: "least_revision" => u64, Records;
    /// The self-signed certificate and its key.
    TLS_IDENTITY: "tls_identity" => TlsRow, Records;
    /// The account with an ACME server.
    ACME_ACCOUNT: "acme_account" => AcmeAccountRow, Records;
    /// The certificate from it.
    ACME_CERTIFICATE: "acme_certificate" => AcmeCertificateRow, Records;
    /// Orders that failed since.
    ACME_SETBACK: "acme_setback" => AcmeSetbackRow, Records;
    /// What there is of the chain of the audit trail beside its entries.
    CHAIN: "audit_chain" => ChainRow, Records;
}

/// A sequence of numbers that only tests use.
#[cfg(test)]
pub(in crate::store) const COUNT: Entry<u64> = Entry::new("count", Changed::Unfollowed);

/// Whoever has the key that signs tokens is an admin: it stays where it is. And
/// a copy is to be known as one.
pub(super) fn is_copied(name: &str) -> bool {
    ![SIGNING_KEY.name, LINEAGE.name].contains(&name)
}

/// What stands under a name, in bytes.
pub(in crate::store) trait Value: Sized {
    fn bytes(&self) -> Result<Cow<'_, [u8]>, Unavailable>;

    fn of_bytes(bytes: &[u8]) -> Result<Self, Malformed>;
}

/// Why bytes are no such value.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum Malformed {
    #[error("wrong length")]
    Length,
    #[error("out of bounds")]
    Bounds,
    #[error(transparent)]
    Record(#[from] DecodeError),
}

impl<const N: usize> Value for [u8; N] {
    fn bytes(&self) -> Result<Cow<'_, [u8]>, Unavailable> {
        Ok(Cow::Borrowed(self))
    }

    fn of_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        bytes.try_into().map_err(|_| Malformed::Length)
    }
}

/// Little-endian.
impl Value for u32 {
    fn bytes(&self) -> Result<Cow<'_, [u8]>, Unavailable> {
        Ok(Cow::Owned(self.to_le_bytes().to_vec()))
    }

    fn of_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        Value::of_bytes(bytes).map(Self::from_le_bytes)
    }
}

/// Little-endian.
impl Value for u64 {
    fn bytes(&self) -> Result<Cow<'_, [u8]>, Unavailable> {
        Ok(Cow::Owned(self.to_le_bytes().to_vec()))
    }

    fn of_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        Value::of_bytes(bytes).map(Self::from_le_bytes)
    }
}

/// Seconds since 1970 as i64, little-endian.
impl Value for Timestamp {
    fn bytes(&self) -> Result<Cow<'_, [u8]>, Unavailable> {
        Ok(Cow::Owned(self.unix().to_le_bytes().to_vec()))
    }

    fn of_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let seconds = i64::from_le_bytes(Value::of_bytes(bytes)?);
        Self::from_unix(seconds).ok_or(Malformed::Bounds)
    }
}

macro_rules! records {
    ($($row:ty),*) => { $(
        impl Value for $row {
            fn bytes(&self) -> Result<Cow<'_, [u8]>, Unavailable> {
                codec::encode(self).map(Cow::Owned)
            }

            fn of_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
                Ok(codec::decode(bytes)?)
            }
        }
    )* };
}
records!(TlsRow, AcmeAccountRow, AcmeCertificateRow, ChainRow);

impl Value for AcmeSetbackRow {
    fn bytes(&self) -> Result<Cow<'_, [u8]>, Unavailable> {
        codec::encode(self).map(Cow::Owned)
    }

    fn of_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let row: Self = codec::decode(bytes)?;
        row.retry_at()?;
        Ok(row)
    }
}

/// A value as it lies in the table.
pub(in crate::store) struct Bytes(pub(in crate::store) Vec<u8>);

impl Record for Bytes {
    type Stored = &'static [u8];

    fn read(stored: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self(stored.to_vec()))
    }

    fn put<K: Key>(
        &self,
        table: &mut redb::Table<'_, K, &'static [u8]>,
        key: K::SelfType<'_>,
    ) -> Result<(), Unavailable> {
        table.insert(key, self.0.as_slice())?;
        Ok(())
    }
}

/// The table of all of them.
pub(super) type Meta<'txn, T> = Table<'txn, T, &'static str, Bytes>;

impl<T: Transaction> Meta<'_, T> {
    /// The value of `entry`.
    pub(in crate::store) fn value<V: Value>(&self, entry: Entry<V>) -> Result<Option<V>, Unavailable> {
        match self.get(entry.name)? {
            Some(Bytes(bytes)) => {
                V::of_bytes(&bytes).map(Some).map_err(|error| unreadable(entry.name, error))
            }
            None => Ok(None),
        }
    }
}

impl Meta<'_, WriteTransaction> {
    /// Sets the value of `entry`.
    pub(in crate::store) fn set<V: Value>(&mut self, entry: Entry<V>, value: &V) -> Result<(), Unavailable> {
        self.raise(entry.raises);
        self.opened_mut()?.insert(entry.name, &*value.bytes()?)?;
        Ok(())
    }

    /// The next number of the sequence `entry`, from 1. That raises little: the
    /// row that gets the number raises what it has to.
    pub(in crate::store) fn next_number(&mut self, entry: Entry<u64>) -> Result<u64, Unavailable> {
        let next = self.value(entry)?.unwrap_or(1);
        self.set(entry, &(next + 1))?;
        Ok(next)
    }
}

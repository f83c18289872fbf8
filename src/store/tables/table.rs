//! A table of rows: what is put in is encoded, what is read is decoded, and an
//! error names the table. A table is opened when it is first used: opening all
//! of them for every commit would cost a heartbeat more than its own write.

use std::cell::OnceCell;
use std::ops::{Bound, RangeBounds, RangeInclusive};

use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata as _, TableDefinition, TableError,
    WriteTransaction,
};

use super::super::changes::Changed;
use super::super::codec::{self, DecodeError, Row};
use super::super::error::{Unavailable, unreadable};

/// A transaction in which tables can be opened: [`ReadTransaction`] or
/// [`WriteTransaction`].
pub(in crate::store) trait Transaction {
    /// A table that is open in it.
    type Opened<'txn, K: redb::Key + 'static, V: redb::Value + 'static>: ReadableTable<K, V>
    where
        Self: 'txn;

    /// Opens the table `name`.
    fn open<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        name: &'static str,
    ) -> Result<Self::Opened<'_, K, V>, TableError>;
}

impl Transaction for ReadTransaction {
    type Opened<'txn, K: redb::Key + 'static, V: redb::Value + 'static> = ReadOnlyTable<K, V>;

    fn open<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        name: &'static str,
    ) -> Result<ReadOnlyTable<K, V>, TableError> {
        self.open_table(TableDefinition::new(name))
    }
}

impl Transaction for WriteTransaction {
    type Opened<'txn, K: redb::Key + 'static, V: redb::Value + 'static> = redb::Table<'txn, K, V>;

    fn open<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        name: &'static str,
    ) -> Result<redb::Table<'_, K, V>, TableError> {
        self.open_table(TableDefinition::new(name))
    }
}

/// What rows are found by.
pub(in crate::store) trait Key: redb::Key + 'static {
    /// A key that outlives its page.
    type Owned;

    fn owned(key: Self::SelfType<'_>) -> Self::Owned;

    /// How an error says which record it is about; empty where the key says
    /// nothing to anybody.
    fn said(_key: &Self::Owned) -> String {
        String::new()
    }
}

impl Key for u64 {
    type Owned = Self;

    fn owned(key: Self) -> Self {
        key
    }

    fn said(key: &Self) -> String {
        format!("record {key}: ")
    }
}

impl Key for u128 {
    type Owned = Self;

    fn owned(key: Self) -> Self {
        key
    }
}

impl Key for &'static str {
    type Owned = String;

    fn owned(key: &str) -> String {
        key.to_owned()
    }
}

impl Key for &'static [u8] {
    type Owned = Vec<u8>;

    fn owned(key: &[u8]) -> Vec<u8> {
        key.to_vec()
    }
}

/// What a row is, and how it lies in the table.
pub(in crate::store) trait Record: Sized {
    /// As what it lies there.
    type Stored: redb::Value + 'static;

    /// The row of what lies there.
    fn read(stored: <Self::Stored as redb::Value>::SelfType<'_>) -> Result<Self, DecodeError>;

    /// Puts the row into the open table.
    fn put<K: Key>(
        &self,
        table: &mut redb::Table<'_, K, Self::Stored>,
        key: K::SelfType<'_>,
    ) -> Result<(), Unavailable>;
}

impl<R: Row> Record for R {
    type Stored = &'static [u8];

    fn read(stored: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(stored)
    }

    fn put<K: Key>(
        &self,
        table: &mut redb::Table<'_, K, &'static [u8]>,
        key: K::SelfType<'_>,
    ) -> Result<(), Unavailable> {
        table.insert(key, codec::encode(self)?.as_slice())?;
        Ok(())
    }
}

/// The number of another table's row: an index.
impl Record for u64 {
    type Stored = Self;

    fn read(stored: Self) -> Result<Self, DecodeError> {
        Ok(stored)
    }

    fn put<K: Key>(
        &self,
        table: &mut redb::Table<'_, K, Self>,
        key: K::SelfType<'_>,
    ) -> Result<(), Unavailable> {
        table.insert(key, self)?;
        Ok(())
    }
}

/// What a change of the row raises; `None`: of a row that is removed.
pub(super) type Raises<R> = fn(Option<&R>) -> Changed;

/// The rows `R`, each under its key `K`.
pub(in crate::store) struct Table<'txn, T: Transaction, K: Key, R: Record> {
    /// Its name in the file.
    name: &'static str,
    /// Its name in messages.
    pub(super) label: &'static str,
    raises: Raises<R>,
    transaction: &'txn T,
    opened: OnceCell<T::Opened<'txn, K, R::Stored>>,
    /// What was changed in it.
    pub(super) changed: Changed,
}

impl<'txn, T: Transaction, K: Key, R: Record> Table<'txn, T, K, R> {
    pub(super) fn of(
        transaction: &'txn T,
        name: &'static str,
        label: &'static str,
        raises: Raises<R>,
    ) -> Self {
        Self { name, label, raises, transaction, opened: OnceCell::new(), changed: Changed::Nothing }
    }

    /// The table, opened; a writing transaction makes it when it is missing.
    pub(super) fn opened(&self) -> Result<&T::Opened<'txn, K, R::Stored>, Unavailable> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let opened = self.transaction.open(self.name)?;
        Ok(self.opened.get_or_init(|| opened))
    }

    /// The row under `key`.
    pub(in crate::store) fn get(&self, key: K::SelfType<'_>) -> Result<Option<R>, Unavailable> {
        self.get_as(key, R::read)
    }

    /// What `read` makes of the row under `key`: for whoever needs only some
    /// of it.
    pub(in crate::store) fn get_as<V>(
        &self,
        key: K::SelfType<'_>,
        read: impl FnOnce(<R::Stored as redb::Value>::SelfType<'_>) -> Result<V, DecodeError>,
    ) -> Result<Option<V>, Unavailable> {
        match self.opened()?.get(key)? {
            Some(stored) => read(stored.value()).map(Some).map_err(|error| unreadable(self.label, error)),
            None => Ok(None),
        }
    }

    /// Whether there is a row under `key`, good or not.
    pub(in crate::store) fn has(&self, key: K::SelfType<'_>) -> Result<bool, Unavailable> {
        Ok(self.opened()?.get(key)?.is_some())
    }

    /// How many rows there are.
    pub(in crate::store) fn len(&self) -> Result<u64, Unavailable> {
        Ok(self.opened()?.len()?)
    }

    /// Whether there is none.
    pub(in crate::store) fn is_empty(&self) -> Result<bool, Unavailable> {
        Ok(self.opened()?.is_empty()?)
    }

    /// All rows, in the order of their keys.
    pub(in crate::store) fn iter(
        &self,
    ) -> Result<impl DoubleEndedIterator<Item = Result<(K::Owned, R), Unavailable>>, Unavailable> {
        Ok(self.opened()?.iter()?.map(|entry| self.entry(entry?)))
    }

    /// The keys of all rows, good or not, in their order.
    pub(in crate::store) fn keys(
        &self,
    ) -> Result<impl Iterator<Item = Result<K::Owned, Unavailable>>, Unavailable> {
        Ok(self.opened()?.iter()?.map(|entry| Ok(K::owned(entry?.0.value()))))
    }

    fn entry(
        &self,
        (key, stored): (redb::AccessGuard<'_, K>, redb::AccessGuard<'_, R::Stored>),
    ) -> Result<(K::Owned, R), Unavailable> {
        let key = K::owned(key.value());
        match R::read(stored.value()) {
            Ok(row) => Ok((key, row)),
            Err(error) => Err(unreadable(self.label, format!("{}{error}", K::said(&key)))),
        }
    }
}

impl<T: Transaction, R: Record> Table<'_, T, u64, R> {
    /// The rows whose numbers are in `range`, in their order.
    pub(in crate::store) fn range(
        &self,
        range: impl RangeBounds<u64>,
    ) -> Result<impl DoubleEndedIterator<Item = Result<(u64, R), Unavailable>>, Unavailable> {
        let bounds: (Bound<u64>, Bound<u64>) = (range.start_bound().cloned(), range.end_bound().cloned());
        Ok(self.opened()?.range(bounds)?.map(|entry| self.entry(entry?)))
    }

    /// The row with the greatest number.
    pub(in crate::store) fn last(&self) -> Result<Option<(u64, R)>, Unavailable> {
        self.opened()?.last()?.map(|entry| self.entry(entry)).transpose()
    }
}

impl<T: Transaction, R: Record> Table<'_, T, u128, R> {
    /// The rows whose keys are in `range`, in their order.
    pub(in crate::store) fn between(
        &self,
        range: RangeInclusive<u128>,
    ) -> Result<impl DoubleEndedIterator<Item = Result<(u128, R), Unavailable>>, Unavailable> {
        Ok(self.opened()?.range(range)?.map(|entry| self.entry(entry?)))
    }
}

/// A row as it lies in the table, under its number.
pub(in crate::store) struct Stored<'a> {
    /// The number.
    pub(in crate::store) key: u64,
    bytes: redb::AccessGuard<'a, &'static [u8]>,
}

impl Stored<'_> {
    /// The bytes.
    pub(in crate::store) fn bytes(&self) -> &[u8] {
        self.bytes.value()
    }
}

impl<T: Transaction, R: Row> Table<'_, T, u64, R> {
    /// The rows whose numbers are in `range`, in their order, as they lie there:
    /// for whoever looks at many and needs only some of each.
    pub(in crate::store) fn stored(
        &self,
        range: impl RangeBounds<u64>,
    ) -> Result<impl DoubleEndedIterator<Item = Result<Stored<'_>, Unavailable>>, Unavailable> {
        let bounds: (Bound<u64>, Bound<u64>) = (range.start_bound().cloned(), range.end_bound().cloned());
        Ok(self.opened()?.range(bounds)?.map(|entry| {
            let (key, bytes) = entry?;
            Ok(Stored { key: key.value(), bytes })
        }))
    }
}

impl<'txn, K: Key, R: Record> Table<'txn, WriteTransaction, K, R> {
    pub(super) fn opened_mut(&mut self) -> Result<&mut redb::Table<'txn, K, R::Stored>, Unavailable> {
        self.opened()?;
        self.opened.get_mut().ok_or_else(|| unreadable(self.label, "it did not open"))
    }

    /// Opens the table and notes what a change of `row` raises.
    fn change(&mut self, row: Option<&R>) -> Result<&mut redb::Table<'txn, K, R::Stored>, Unavailable> {
        self.raise((self.raises)(row));
        self.opened_mut()
    }

    pub(super) fn raise(&mut self, changed: Changed) {
        self.changed = self.changed.max(changed);
    }

    /// Puts `row` under `key`, in the place of the one that was there.
    pub(in crate::store) fn put(&mut self, key: K::SelfType<'_>, row: &R) -> Result<(), Unavailable> {
        row.put(self.change(Some(row))?, key)
    }

    /// Removes the row under `key`, if there is one.
    pub(in crate::store) fn remove(&mut self, key: K::SelfType<'_>) -> Result<(), Unavailable> {
        let removed = self.opened_mut()?.remove(key)?.is_some();
        if removed {
            self.raise((self.raises)(None));
        }
        Ok(())
    }

    /// Removes the row with the least key.
    pub(in crate::store) fn remove_first(&mut self) -> Result<(), Unavailable> {
        let removed = self.opened_mut()?.pop_first()?.is_some();
        if removed {
            self.raise((self.raises)(None));
        }
        Ok(())
    }

    /// Puts in every row of `from` whose key `goes` along, as it lies there,
    /// and tells how many.
    pub(super) fn copy(
        &mut self,
        from: &Table<'_, ReadTransaction, K, R>,
        goes: impl Fn(K::SelfType<'_>) -> bool,
    ) -> Result<u64, Unavailable> {
        let (mut copied, mut left_out) = (0, 0);
        let label = self.label;
        let table = self.opened_mut()?;
        for entry in from.opened()?.iter()? {
            let (key, stored) = entry?;
            if goes(key.value()) {
                table.insert(key.value(), stored.value())?;
                copied += 1;
            } else {
                left_out += 1;
            }
        }
        let expected = from.len()?;
        if copied + left_out != expected {
            let reason = format!("{} of {expected} records were found", copied + left_out);
            return Err(unreadable(label, reason));
        }
        Ok(copied)
    }

    /// Puts what a test makes up in the place of a row.
    #[cfg(test)]
    pub(in crate::store) fn put_as_it_is(
        &mut self,
        key: K::SelfType<'_>,
        stored: <R::Stored as redb::Value>::SelfType<'_>,
    ) {
        self.raise(Changed::Records);
        self.opened_mut().unwrap().insert(key, stored).unwrap();
    }
}

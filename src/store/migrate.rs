//! Older files become files of today, at open, in one transaction.
//!
//! The schema version in a file tells its tables. The version of a record's
//! content is its first byte, and older ones are read as they are
//! ([`super::codec::Row::upgrade`]): they need no step here. Before the first
//! step the caller has put a copy of the file aside.

use redb::{Database, WriteTransaction};

use super::error::Unavailable;
use super::tables::{self, WriteTables, meta};
use super::trail;

/// Makes a file of one schema version into one of the next.
pub(super) type Step = fn(&WriteTransaction) -> Result<(), Unavailable>;

/// The steps, that from version 1 to version 2 first. They are never taken
/// away: a file of any age can be opened.
pub(super) const STEPS: &[Step] = &[chain_the_trail];

/// To version 2: the tables stay as they are, and old rows are read as they
/// are, but for those of the audit trail, of which each gets its hash in the
/// chain. An entry may leave to the site's row what it tells: a build that
/// knows nothing of that must not open the file.
fn chain_the_trail(transaction: &WriteTransaction) -> Result<(), Unavailable> {
    trail::chain_all(&mut WriteTables::of(transaction))
}

/// The schema version that this build writes, and the newest that it reads.
pub const SCHEMA_VERSION: u32 = newest(STEPS);

/// The schema version that these steps lead to.
#[expect(clippy::cast_possible_truncation, reason = "there are never as many steps as that")]
pub(super) const fn newest(steps: &[Step]) -> u32 {
    1 + steps.len() as u32
}

/// Runs the steps that are still to be done on `database`, which is of schema
/// version `from`, and makes the tables that it lacks.
pub(super) fn migrate(database: &Database, from: u32, steps: &[Step]) -> Result<(), Unavailable> {
    let done = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
    let outstanding = steps.get(done..).unwrap_or_default();
    if outstanding.is_empty() {
        return tables::complete(database);
    }
    let transaction = database.begin_write()?;
    for step in outstanding {
        step(&transaction)?;
    }
    let mut tables = WriteTables::of(&transaction);
    tables.make_missing()?;
    tables.meta.set(meta::SCHEMA, &newest(steps))?;
    drop(tables);
    transaction.commit()?;
    Ok(())
}

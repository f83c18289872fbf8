//! Failed logins, apart from the audit trail.
//!
//! Anybody can fail to log in, as often as the throttle lets them. So what is
//! stored of it is bounded: in number, in age, and in what each one costs; no
//! backup is made for it and none holds it. A name is stored only where it is an
//! admin's: people type passwords into the wrong field. What goes beyond is
//! counted in the log and in the metrics.

use std::net::IpAddr;

use super::clock_watch::Age;
use super::codec::{Row as _, StrangerRow};
use super::error::{Unavailable, unreadable};
use super::handle::Store;
use super::tables::{WriteTables, meta};
use crate::domain::{Timestamp, Username};

/// Most failed logins that are stored; the oldest go first.
pub const MAX_STRANGERS: u64 = 10_000;
/// For how long a failed login is stored, at most.
pub const STRANGER_DAYS: u32 = 30;

impl Store {
    /// Stores a failed login from `ip`; `admin` is whom it named, where that is
    /// an admin. Forgets the oldest where there are too many.
    pub async fn record_failed_login(
        &self,
        admin: Option<Username>,
        ip: IpAddr,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let admin = admin.map(|admin| admin.as_str().to_owned());
        let row = StrangerRow { at: now.unix(), ip: Some(ip), admin };
        self.write_always(move |tables| keep(tables, &row)).await
    }

    /// Forgets the failed logins of before `before`; tells how many. Passes
    /// over those that a wrong clock has dated.
    pub async fn forget_strangers(&self, before: Timestamp) -> Result<usize, Unavailable> {
        let age = self.clock.age(before);
        self.write_always(move |tables| {
            let mut old = Vec::new();
            for entry in tables.strangers.iter()? {
                let (id, row) = entry?;
                match age.of(row.at().map_err(|error| unreadable(StrangerRow::TABLE, error))?) {
                    Age::Old => old.push(id),
                    Age::WronglyDated => {}
                    Age::Young => break,
                }
            }
            for id in &old {
                tables.strangers.remove(*id)?;
            }
            Ok(old.len())
        })
        .await
    }
}

/// Stores a failed login; forgets the oldest where there are too many.
pub(super) fn keep(tables: &mut WriteTables<'_>, row: &StrangerRow) -> Result<(), Unavailable> {
    while tables.strangers.len()? >= MAX_STRANGERS {
        tables.strangers.remove_first()?;
    }
    let id = tables.next_number(meta::NEXT_STRANGER)?;
    tables.strangers.put(id, row)
}

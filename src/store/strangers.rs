//! Failed logins, apart from the audit trail.
//!
//! Anybody can fail to log in, as often as the throttle lets them. So what is
//! kept of it is bounded: in number, in age, and in what each one costs; no
//! backup is made for it and none holds it. A name is kept only where it is an
//! admin's: people type passwords into the wrong field. What goes beyond is
//! counted in the log and in the metrics.

use std::net::IpAddr;

use redb::{ReadableTable, ReadableTableMetadata};

use super::codec::{self, Row, StrangerRow};
use super::tables::{meta, unreadable};
use super::{Store, Unavailable};
use crate::domain::{Timestamp, Username};

/// Most failed logins that are kept; the oldest go first.
pub const MAX_STRANGERS: u64 = 10_000;
/// For how long a failed login is kept, at most.
pub const STRANGER_DAYS: u32 = 30;

impl Store {
    /// Keeps a failed login from `ip`; `admin` is whom it named, where that is
    /// an admin. Forgets the oldest where there are too many.
    pub async fn record_failed_login(
        &self,
        admin: Option<Username>,
        ip: IpAddr,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let admin = admin.map(|admin| admin.as_str().to_owned());
        let row = StrangerRow { at: now.unix(), ip: Some(ip), admin };
        self.write_always(move |tables| {
            while tables.strangers.len()? >= MAX_STRANGERS {
                tables.strangers.pop_first()?;
            }
            let id = tables.take_number(meta::NEXT_STRANGER)?;
            tables.strangers.insert(id, codec::encode(&row)?.as_slice())?;
            tables.touched = true;
            Ok(())
        })
        .await
    }

    /// Forgets the failed logins of before `before`; tells how many.
    pub async fn forget_strangers(&self, before: Timestamp) -> Result<usize, Unavailable> {
        self.write_always(move |tables| {
            let mut old = Vec::new();
            for entry in tables.strangers.iter()? {
                let (id, row) = entry?;
                let row = codec::decode::<StrangerRow>(row.value());
                let row = row.map_err(|error| unreadable(StrangerRow::TABLE, error))?;
                if row.at >= before.unix() {
                    break;
                }
                old.push(id.value());
            }
            for id in &old {
                tables.strangers.remove(id)?;
                tables.touched = true;
            }
            Ok(old.len())
        })
        .await
    }
}

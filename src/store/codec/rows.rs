//! The list of the types of record.

use super::admin::AdminRow;
use super::audit::{AuditRow, ChainRow, StrangerRow};
use super::bytes::{DecodeError, Row};
use super::history::HistoryRow;
use super::request::RequestRow;
use super::second_factor::{SecondFactorRow, SessionRow};
use super::server::{AcmeAccountRow, AcmeCertificateRow, AcmeSetbackRow, LeaseKeyRow, TlsRow};
use super::site::{SeenRow, SiteRow};
#[cfg(test)]
use super::tests::golden;
use super::token::TokenRow;
use super::{audit, site};

/// Every type of record with its table. What is not in the list is no
/// [`Row`], and what is must have its bytes in `tests/data/rows.txt`.
macro_rules! rows {
    ($($row:ident in $table:literal $(, version $version:literal by $upgrade:path)?;)*) => {
        $(impl Row for $row {
            const TABLE: &'static str = $table;
            $(
                const VERSION: u8 = $version;

                fn upgrade(version: u8, body: &[u8]) -> Result<Self, DecodeError> {
                    $upgrade(version, body)
                }
            )?
        })*

        /// Hands every type of record to `visitor`.
        #[cfg(test)]
        pub(super) fn each_row(visitor: &mut impl golden::Visitor) {
            $(visitor.visit::<$row>(stringify!($row));)*
        }
    };
}

rows! {
    SiteRow in "sites", version 2 by site::upgrade;
    SeenRow in "heartbeats", version 2 by site::upgrade_seen;
    AdminRow in "admins";
    AuditRow in "audit", version 2 by audit::upgrade;
    StrangerRow in "strangers";
    TokenRow in "tokens";
    RequestRow in "requests";
    LeaseKeyRow in "lease_keys";
    SecondFactorRow in "second_factors";
    SessionRow in "sessions";
    HistoryRow in "history";
    TlsRow in "meta";
    AcmeAccountRow in "meta";
    AcmeCertificateRow in "meta";
    AcmeSetbackRow in "meta";
    ChainRow in "meta";
}

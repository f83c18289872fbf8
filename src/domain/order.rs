//! In which order lists show sites, and where in it a page ends.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::time::Timestamp;
use super::view::{SiteView, folded};

/// What sites are put in order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortField {
    /// Their number.
    #[default]
    Id,
    /// What the vendor calls them, without regard to case.
    Name,
    /// Who owns them, without regard to case.
    OwnerName,
    /// When their licence expires.
    LicenseExpiresAt,
    /// When their last heartbeat came.
    LastSeenAt,
}

impl SortField {
    /// Every field.
    pub const ALL: [Self; 5] =
        [Self::Id, Self::Name, Self::OwnerName, Self::LicenseExpiresAt, Self::LastSeenAt];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "name",
            Self::OwnerName => "owner_name",
            Self::LicenseExpiresAt => "license_expires_at",
            Self::LastSeenAt => "last_seen_at",
        }
    }
}

/// An order of sites. Those alike in what they are put in order by follow each
/// other by their numbers, the least first; those without a heartbeat come last,
/// whichever way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SiteOrder {
    /// By what.
    pub field: SortField,
    /// The greatest first.
    pub descending: bool,
}

impl SiteOrder {
    /// Where `site` stands in it.
    pub fn position(self, site: &SiteView<'_>) -> Position {
        let key = match self.field {
            SortField::Id => SortKey::Number,
            SortField::Name => SortKey::Text(folded(site.name)),
            SortField::OwnerName => SortKey::Text(folded(site.owner_name)),
            SortField::LicenseExpiresAt => SortKey::Time(site.terms.license_expires_at),
            SortField::LastSeenAt => site.last_seen_at.map_or(SortKey::Never, SortKey::Time),
        };
        Position { order: self, key, id: site.id }
    }
}

impl fmt::Display for SiteOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.descending { "-" } else { "" }, self.field.as_str())
    }
}

/// There is no such order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnOrder;

impl fmt::Display for NotAnOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = SortField::ALL.map(SortField::as_str).join(", ");
        write!(f, "must be one of {names}, or one of them after a -, which turns it round")
    }
}

impl std::error::Error for NotAnOrder {}

impl FromStr for SiteOrder {
    type Err = NotAnOrder;

    fn from_str(text: &str) -> Result<Self, NotAnOrder> {
        let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        let field = SortField::ALL.into_iter().find(|field| field.as_str() == name).ok_or(NotAnOrder)?;
        Ok(Self { field, descending })
    }
}

/// What a site is compared by, beside its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortKey {
    /// Nothing else.
    Number,
    /// A text, folded.
    Text(String),
    /// A time.
    Time(Timestamp),
    /// A time that never was: the last.
    Never,
}

/// Where a site stands in an order. Positions in one order compare as their sites
/// follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The order.
    pub order: SiteOrder,
    /// What the site is compared by.
    pub key: SortKey,
    /// Its number.
    pub id: u64,
}

impl Position {
    /// That of the site with this number in the order of numbers.
    pub fn of_number(id: u64, order: SiteOrder) -> Self {
        Self { order, key: SortKey::Number, id }
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> Ordering {
        let turned = |ordering: Ordering| if self.order.descending { ordering.reverse() } else { ordering };
        let by_key = match (&self.key, &other.key) {
            (SortKey::Number, SortKey::Number) => return turned(self.id.cmp(&other.id)),
            (SortKey::Text(one), SortKey::Text(other)) => turned(one.cmp(other)),
            (SortKey::Time(one), SortKey::Time(other)) => turned(one.cmp(other)),
            // Never comes last; else they are of two orders, and follow by kind.
            (one, other) => one.rank().cmp(&other.rank()),
        };
        by_key.then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl SortKey {
    fn rank(&self) -> u8 {
        match self {
            Self::Number => 0,
            Self::Text(_) => 1,
            Self::Time(_) => 2,
            Self::Never => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(order: &str, keys: &[SortKey]) -> Vec<u64> {
        let order = order.parse().unwrap();
        let mut positions: Vec<Position> =
            (1..).zip(keys).map(|(id, key)| Position { order, key: key.clone(), id }).collect();
        positions.sort();
        positions.into_iter().map(|position| position.id).collect()
    }

    #[test]
    fn who_was_never_seen_comes_last_whichever_way_round_and_ties_go_by_number() {
        let time = |seconds| SortKey::Time(Timestamp::from_unix(seconds).unwrap());
        let seen = [SortKey::Never, time(2), time(1), SortKey::Never, time(2)];
        assert_eq!(sorted("last_seen_at", &seen), [3, 2, 5, 1, 4]);
        assert_eq!(sorted("-last_seen_at", &seen), [2, 5, 3, 1, 4]);
        let names = ["b", "a", "b"].map(|name| SortKey::Text(name.to_owned()));
        assert_eq!(sorted("name", &names), [2, 1, 3]);
        assert_eq!(sorted("-name", &names), [1, 3, 2]);
        assert_eq!(sorted("-id", &[SortKey::Number, SortKey::Number]), [2, 1]);
    }

    #[test]
    fn each_order_is_read_as_it_is_written() {
        for field in SortField::ALL {
            for descending in [false, true] {
                let order = SiteOrder { field, descending };
                assert_eq!(order.to_string().parse(), Ok(order));
            }
        }
        for bad in ["", "-", "+name", "--name", "Name", "status", "name,id"] {
            assert_eq!(bad.parse::<SiteOrder>(), Err(NotAnOrder), "{bad}");
        }
    }
}

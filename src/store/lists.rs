//! Lists of sites: which, in what order, a page at a time.
//!
//! A page in the order of numbers and without a filter is read as it lies. For
//! any other the sites are looked at one after the other, where their records
//! lie, and no more than a page of positions is remembered while that goes on: the
//! memory of a list does not grow with the number of sites. Rejected: an index
//! for each order, which every change of a site and every heartbeat would have
//! to pay for.

use std::collections::BinaryHeap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::codec::{Row as _, SiteRow, read_view};
use super::error::{Outcome, Unavailable, unreadable};
use super::handle::Store;
use super::sites;
use super::tables::{Stored, Tables, Transaction};
use crate::domain::{Position, Site, SiteFilter, SiteOrder, SiteView, SortField, Timestamp};

/// A page that somebody wants.
#[derive(Debug, Clone, Default)]
pub struct SiteQuery {
    /// Of which sites.
    pub filter: SiteFilter,
    /// In which order.
    pub order: SiteOrder,
    /// After which position in that order; `None`: from its beginning.
    pub after: Option<Position>,
    /// Most sites on it.
    pub limit: usize,
}

/// How many sites may be looked at for one page.
#[derive(Debug, Clone, Copy)]
pub struct LookedAt {
    /// In the order of their numbers; beyond it a page may be short of sites
    /// while there is a next one.
    pub by_number: u64,
    /// In any other order; where there are more, that order is refused.
    pub sorted: u64,
}

/// There are more sites than may be put in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyToSort;

/// A page of a list of sites.
#[derive(Debug)]
pub struct SitePage {
    /// The sites.
    pub sites: Vec<Site>,
    /// How many sites the filter lets through, on all pages; `None` where
    /// not all were looked at.
    pub total: Option<u64>,
    /// The position to continue after, while there is more.
    pub next: Option<Position>,
}

impl Store {
    /// A page of the sites that `wanted` describes. In the order of numbers and
    /// without a filter it reads the page alone. Else it looks at every site,
    /// to tell how many there are; or, with a filter in the order of numbers
    /// where there are more than `most`, at no more than so many of them, so
    /// that a page may be short of sites while there is a next one.
    ///
    /// # Errors
    /// [`TooManyToSort`].
    pub async fn list_sites(
        &self,
        wanted: SiteQuery,
        most: LookedAt,
        now: Timestamp,
    ) -> Outcome<SitePage, TooManyToSort> {
        let rules = Arc::clone(&self.rules);
        self.read(move |tables| {
            let all = tables.sites.len()?;
            let by_number = wanted.order.field == SortField::Id;
            let filtered = !wanted.filter.is_empty();
            if !by_number && all > most.sorted {
                return Ok(Err(TooManyToSort));
            }
            let passes = |site: &SiteView<'_>| wanted.filter.lets_through(site, &rules, now);
            let found = if by_number && !(filtered && all <= most.by_number) {
                let look_at = if filtered { most.by_number } else { u64::MAX };
                Found { total: (!filtered).then_some(all), ..first(tables, &wanted, look_at, passes)? }
            } else {
                least(tables, &wanted, passes)?
            };
            let sites: Result<Vec<_>, _> =
                found.numbers.iter().filter_map(|&id| sites::of_number(tables, id).transpose()).collect();
            Ok(Ok(SitePage { sites: sites?, total: found.total, next: found.next }))
        })
        .await
    }
}

/// What is on a page, by number.
struct Found {
    numbers: Vec<u64>,
    total: Option<u64>,
    next: Option<Position>,
}

/// The first sites after a position in the order of numbers, of no more than
/// `look_at` of them.
fn first(
    tables: &Tables<'_, impl Transaction>,
    wanted: &SiteQuery,
    look_at: u64,
    passes: impl Fn(&SiteView<'_>) -> bool,
) -> Result<Found, Unavailable> {
    let (mut numbers, mut looked_at, mut last, mut more) = (Vec::new(), 0, None, false);
    each(tables, wanted.order, wanted.after.as_ref().map(|position| position.id), |site| {
        if numbers.len() == wanted.limit || looked_at == look_at {
            more = true;
            return ControlFlow::Break(());
        }
        looked_at += 1;
        last = Some(site.id);
        if passes(site) {
            numbers.push(site.id);
        }
        ControlFlow::Continue(())
    })?;
    let next = last.filter(|_| more).map(|id| Position::of_number(id, wanted.order));
    Ok(Found { numbers, total: None, next })
}

/// The least of all sites, as the order has them, after a position in it.
fn least(
    tables: &Tables<'_, impl Transaction>,
    wanted: &SiteQuery,
    passes: impl Fn(&SiteView<'_>) -> bool,
) -> Result<Found, Unavailable> {
    // The greatest of those that are remembered is on top, to give way.
    let mut page = BinaryHeap::with_capacity(wanted.limit + 1);
    let (mut total, mut after) = (0, 0);
    each(tables, SiteOrder::default(), None, |site| {
        if passes(site) {
            total += 1;
            let position = wanted.order.position(site);
            if wanted.after.as_ref().is_none_or(|after| *after < position) {
                after += 1;
                if page.len() < wanted.limit {
                    page.push(position);
                } else if let Some(mut greatest) = page.peek_mut()
                    && position < *greatest
                {
                    *greatest = position;
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    let more = after > page.len();
    let page = page.into_sorted_vec();
    let numbers = page.iter().map(|position| position.id).collect();
    Ok(Found { numbers, total: Some(total), next: page.into_iter().next_back().filter(|_| more) })
}

/// Hands every site after the number `after`, in the order of numbers or, where
/// `order` is that turned round, against it, to `look`, until that has seen
/// enough.
pub(super) fn each(
    tables: &Tables<'_, impl Transaction>,
    order: SiteOrder,
    after: Option<u64>,
    mut look: impl FnMut(&SiteView<'_>) -> ControlFlow<()>,
) -> Result<(), Unavailable> {
    let backwards = order.descending;
    let range = match after {
        Some(after) if backwards => (Bound::Unbounded, Bound::Excluded(after)),
        Some(after) => (Bound::Excluded(after), Bound::Unbounded),
        None => (Bound::Unbounded, Bound::Unbounded),
    };
    let is_before = |one: u64, other: u64| if backwards { other < one } else { one < other };
    // Both tables have the numbers in the same order, so that each is read once
    // from its beginning and nothing is looked up.
    let mut heartbeats = turned(tables.heartbeats.stored(range)?, backwards);
    let mut heartbeat = heartbeats.next().transpose()?;
    for stored in turned(tables.sites.stored(range)?, backwards) {
        let stored = stored?;
        while heartbeat.as_ref().is_some_and(|seen| is_before(seen.key, stored.key)) {
            heartbeat = heartbeats.next().transpose()?;
        }
        let seen = heartbeat.as_ref().filter(|seen| seen.key == stored.key);
        let site = read_view(stored.key, stored.bytes(), seen.map(Stored::bytes))
            .map_err(|error| unreadable(SiteRow::TABLE, format!("record {}: {error}", stored.key)))?;
        if look(&site).is_break() {
            break;
        }
    }
    Ok(())
}

/// The rows, or the rows from behind.
fn turned<'a, T: 'a>(
    rows: impl DoubleEndedIterator<Item = T> + 'a,
    backwards: bool,
) -> Box<dyn Iterator<Item = T> + 'a> {
    if backwards { Box::new(rows.rev()) } else { Box::new(rows) }
}

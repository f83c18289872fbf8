//! Pages of sites.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::domain::{Position, SiteChange, SiteFilter, SiteOrder, SiteStatus, SortField};

/// What one page may cost, where a test does not care.
const MUCH: LookedAt = LookedAt { by_number: 100_000, sorted: 100_000 };

async fn page(store: &Store, wanted: SiteQuery, most: LookedAt) -> SitePage {
    store.list_sites(wanted, most, at(NOW)).await.unwrap().unwrap()
}

fn numbers(page: &SitePage) -> Vec<u64> {
    page.sites.iter().map(|site| site.id).collect()
}

/// Follows the pages to their end: the numbers on each, and what it said of
/// how many there are.
async fn pages(
    store: &Store,
    text: &str,
    order: &str,
    limit: usize,
    by_number: u64,
) -> Vec<(Vec<u64>, Option<u64>)> {
    let filter = SiteFilter { text: Some(text.parse().unwrap()), ..SiteFilter::default() };
    let order: SiteOrder = order.parse().unwrap();
    let (mut pages, mut after): (_, Option<Position>) = (Vec::new(), None);
    loop {
        let wanted = SiteQuery { filter: filter.clone(), order, after: after.clone(), limit };
        let page = page(store, wanted, LookedAt { by_number, ..MUCH }).await;
        assert!(page.next.is_none() || page.next > after, "each page leads on");
        pages.push((numbers(&page), page.total));
        after = page.next;
        if after.is_none() {
            return pages;
        }
    }
}

async fn store_of(directory: &tempfile::TempDir, sites: u128) -> Store {
    let store = open_in(directory.path());
    for number in 1..=sites {
        register(&store, number).await.unwrap();
    }
    store
}

#[tokio::test]
async fn a_filter_looks_at_no_more_sites_than_it_may_and_tells_where_to_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_of(&directory, 20).await;
    // Sites 10 to 19 and 1.
    assert_eq!(
        pages(&store, "site 1", "id", 6, 20).await,
        [(vec![1, 10, 11, 12, 13, 14], Some(11)), (vec![15, 16, 17, 18, 19], Some(11))]
    );
    assert_eq!(
        pages(&store, "site 1", "id", 6, 7).await,
        [(vec![1], None), (vec![10, 11, 12, 13, 14], None), (vec![15, 16, 17, 18, 19], None),]
    );
    assert_eq!(
        pages(&store, "site 20", "id", 6, 7).await,
        [(vec![], None), (vec![], None), (vec![20], None)]
    );
    assert_eq!(pages(&store, "site 2", "id", 1, 19).await, [(vec![2], None), (vec![20], None)]);
    assert_eq!(
        pages(&store, "site 1", "-id", 6, 7).await,
        [(vec![19, 18, 17, 16, 15, 14], None), (vec![13, 12, 11, 10], None), (vec![1], None)]
    );
}

#[tokio::test]
async fn more_sites_than_may_be_sorted_are_listed_by_their_numbers_only() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_of(&directory, 3).await;
    let list = async |order: &str, sorted| {
        let wanted = SiteQuery { order: order.parse().unwrap(), limit: 9, ..SiteQuery::default() };
        let most = LookedAt { sorted, ..MUCH };
        store.list_sites(wanted, most, at(NOW)).await.unwrap().map(|page| numbers(&page))
    };
    assert_eq!(list("-name", 3).await, Ok(vec![3, 2, 1]));
    assert_eq!(list("-name", 2).await, Err(TooManyToSort));
    assert_eq!(list("-id", 2).await, Ok(vec![3, 2, 1]));
}

#[tokio::test]
async fn a_page_without_a_filter_reads_no_more_than_itself() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_of(&directory, 5).await;
    store
        .write_always(|tables| {
            tables.sites.put_as_it_is(4, b"damaged");
            Ok(())
        })
        .await
        .unwrap();
    let wanted =
        |order: &str, filter| SiteQuery { order: order.parse().unwrap(), filter, limit: 2, after: None };
    assert_eq!(numbers(&page(&store, wanted("id", SiteFilter::default()), MUCH).await), [1, 2]);
    let filter = SiteFilter { statuses: vec![SiteStatus::NeverSeen], ..SiteFilter::default() };
    for (order, filter) in [("id", filter), ("name", SiteFilter::default()), ("-id", SiteFilter::default())] {
        let refused = store.list_sites(wanted(order, filter), MUCH, at(NOW)).await;
        assert!(matches!(refused, Err(Unavailable::Record { .. })), "{order}");
    }
}

/// What becomes of a site, by its place among them.
#[derive(Debug, Clone)]
enum Step {
    Register(u8),
    Delete(usize),
    Rename(usize, u8),
    Beat(usize, i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u8..6).prop_map(Step::Register),
        any::<usize>().prop_map(Step::Delete),
        (any::<usize>(), 0_u8..6).prop_map(|(place, name)| Step::Rename(place, name)),
        (any::<usize>(), -500_000_i64..0).prop_map(|(place, at)| Step::Beat(place, at)),
    ]
}

fn any_order() -> impl Strategy<Value = SiteOrder> {
    (proptest::sample::select(SortField::ALL.to_vec()), any::<bool>())
        .prop_map(|(field, descending)| SiteOrder { field, descending })
}

fn any_filter() -> impl Strategy<Value = SiteFilter> {
    let statuses = proptest::collection::vec(proptest::sample::select(SiteStatus::ALL.to_vec()), 0..3);
    let text = proptest::option::of(proptest::sample::select(vec!["a", "Ä", "site", "owner"]));
    (statuses, text, proptest::option::of(0_i64..6)).prop_map(|(statuses, text, before)| SiteFilter {
        statuses,
        text: text.map(|text| text.parse().unwrap()),
        expires_before: before.map(|days| at(NOW + days * 86_400)),
        ..SiteFilter::default()
    })
}

/// A store whose sites can be changed step by step.
struct Changing {
    store: Store,
    numbers: Vec<u128>,
    next: u128,
}

impl Changing {
    fn name(name: u8) -> String {
        ["a", "A", "ä", "Ä", "b", "Site"][usize::from(name)].to_owned()
    }

    async fn step(&mut self, step: &Step) {
        let of = |place: &usize| self.numbers.get(place % self.numbers.len().max(1)).copied();
        match step {
            Step::Register(name) => {
                self.next += 1;
                let new = new_site(&Self::name(*name), NOW + i64::from(*name) * 86_400);
                let operation = Operation::Register { new, key: key(1).hash() };
                done(&self.store, operation, self.next).await.unwrap().unwrap();
                self.numbers.push(self.next);
            }
            Step::Delete(place) => {
                if let Some(number) = of(place) {
                    done(&self.store, Operation::Delete, number).await.unwrap().unwrap();
                    self.numbers.retain(|own| *own != number);
                }
            }
            Step::Rename(place, name) => {
                if let Some(number) = of(place) {
                    let name = Some(Self::name(*name).parse().unwrap());
                    let change = SiteChange { name, ..SiteChange::default() };
                    done(&self.store, Operation::Update(change), number).await.unwrap().unwrap();
                }
            }
            Step::Beat(place, seconds) => {
                if let Some(number) = of(place) {
                    beat(&self.store, number, 1, NOW + seconds).await.unwrap();
                }
            }
        }
    }

    /// All sites that the filter lets through, in order.
    async fn expected(&self, filter: &SiteFilter, order: SiteOrder) -> Vec<Position> {
        let mut places = Vec::new();
        for number in &self.numbers {
            let site = site(&self.store, *number).await.unwrap();
            if filter.lets_through(&site.view(), self.store.rules(), at(NOW)) {
                places.push(order.position(&site.view()));
            }
        }
        places.sort();
        places
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_pages_together_are_the_whole_list_also_while_sites_change(
        before in proptest::collection::vec(any_step(), 5..30),
        between in proptest::collection::vec(any_step(), 0..8),
        filter in any_filter(),
        order in any_order(),
        limit in 1_usize..7,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let mut sites = Changing { store: open_in(directory.path()), numbers: Vec::new(), next: 0 };
            for step in &before {
                sites.step(step).await;
            }
            // Nothing changes: the pages are the list.
            let whole = sites.expected(&filter, order).await;
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let wanted = SiteQuery { filter: filter.clone(), order, after, limit };
                let page = page(&sites.store, wanted, MUCH).await;
                prop_assert_eq!(page.total, Some(whole.len() as u64));
                prop_assert!(page.sites.len() == limit || page.next.is_none());
                seen.extend(numbers(&page));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let expected: Vec<u64> = whole.iter().map(|place| place.id).collect();
            prop_assert_eq!(&seen, &expected);

            // Sites change between the pages.
            let mut steps = between.iter();
            let mut places: BTreeMap<u64, BTreeSet<Position>> = BTreeMap::new();
            for place in whole {
                places.entry(place.id).or_default().insert(place);
            }
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let wanted = SiteQuery { filter: filter.clone(), order, after, limit };
                let page = page(&sites.store, wanted, MUCH).await;
                seen.extend(page.sites.iter().map(|site| order.position(&site.view())));
                after = page.next;
                if after.is_none() {
                    break;
                }
                if let Some(step) = steps.next() {
                    sites.step(step).await;
                    let now = sites.expected(&filter, order).await;
                    // Gone, and perhaps back elsewhere, is no place that stays.
                    let all: BTreeSet<u64> = now.iter().map(|place| place.id).collect();
                    for (id, known) in &mut places {
                        if !all.contains(id) {
                            known.insert(Position::of_number(*id, order));
                        }
                    }
                    for place in now {
                        places.entry(place.id).or_default().insert(place);
                    }
                }
            }
            prop_assert!(seen.is_sorted_by(|one, next| one < next), "in order, and none twice at one place");
            for (id, known) in places {
                let times = seen.iter().filter(|place| place.id == id).count();
                if known.len() == 1 && expected.contains(&id) {
                    prop_assert_eq!(times, 1, "site {} stayed where it was", id);
                }
                prop_assert!(times <= known.len());
            }
            Ok(())
        })?;
    }
}

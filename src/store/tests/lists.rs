//! Pages of sites.

use super::*;

/// Follows the pages to their end: the numbers on each, and what it said of
/// how many there are.
async fn pages(store: &Store, text: &str, limit: usize, scan: u64) -> Vec<(Vec<u64>, Option<u64>)> {
    let (mut pages, mut after) = (Vec::new(), Some(0));
    while let Some(from) = after {
        let filter = SiteFilter { status: None, text: Some(text.to_owned()) };
        let page = store.list_sites(filter, from, limit, scan, at(NOW)).await.unwrap();
        assert!(page.next.is_none_or(|next| next > from), "each page leads on");
        pages.push((page.sites.iter().map(|site| site.id).collect(), page.total));
        after = page.next;
    }
    pages
}

#[tokio::test]
async fn a_filter_looks_at_no_more_sites_than_it_may_and_tells_where_to_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path());
    for number in 1..=20 {
        register(&store, number).await.unwrap();
    }
    // Sites 10 to 19 and 1.
    assert_eq!(
        pages(&store, "site 1", 6, 20).await,
        [(vec![1, 10, 11, 12, 13, 14], Some(11)), (vec![15, 16, 17, 18, 19], Some(11))]
    );
    assert_eq!(
        pages(&store, "site 1", 6, 7).await,
        [(vec![1], None), (vec![10, 11, 12, 13, 14], None), (vec![15, 16, 17, 18, 19], None),]
    );
    assert_eq!(pages(&store, "site 20", 6, 7).await, [(vec![], None), (vec![], None), (vec![20], None)]);
    assert_eq!(pages(&store, "site 2", 1, 19).await, [(vec![2], None), (vec![20], None)]);
}

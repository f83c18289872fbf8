//! One operation on all sites that a filter lets through.

use super::*;
use crate::domain::{SiteFilter, Tags};

fn all(operation: Operation, most: u64) -> Bulk {
    let filter = SiteFilter { text: Some("site".parse().unwrap()), ..SiteFilter::default() };
    Bulk { filter, operation, most }
}

fn tag(tag: &str) -> Operation {
    Operation::Tag(tag.parse().unwrap())
}

/// Three sites, of which the second has all the tags that it may have.
async fn three(directory: &tempfile::TempDir) -> Store {
    let store = open_in(directory.path());
    for number in 1..=3 {
        register(&store, number).await.unwrap();
    }
    let tags = Tags::of((0..20).map(|number| format!("t{number}"))).unwrap();
    done(&store, Operation::Tag(tags), 2).await.unwrap().unwrap();
    store
}

async fn bulk(store: &Store, wanted: Bulk, expected: Expected) -> Result<Bulked, BulkRefused> {
    store.bulk(wanted, expected, None, root(), at(NOW)).await.unwrap()
}

async fn revisions(store: &Store) -> Vec<u64> {
    let mut revisions = Vec::new();
    for number in 1..=3 {
        revisions.push(site(store, number).await.unwrap().revision);
    }
    revisions
}

#[tokio::test]
async fn more_sites_than_may_be_changed_at_once_are_not_changed_nor_counted_in_a_dry_run() {
    let directory = tempfile::tempdir().unwrap();
    let store = three(&directory).await;
    for expected in [Expected::Sites(3), Expected::DryRun(None), Expected::DryRun(Some(3))] {
        let refused = bulk(&store, all(Operation::Unlock, 2), expected).await;
        assert!(matches!(refused, Err(BulkRefused::TooMany { matched: 3 })), "{refused:?}");
        assert!(bulk(&store, all(Operation::Unlock, 3), expected).await.is_ok());
    }
    assert_eq!(revisions(&store).await, [1, 2, 1]);
}

#[tokio::test]
async fn what_one_site_cannot_take_is_written_to_none_though_others_share_the_commit() {
    let directory = tempfile::tempdir().unwrap();
    let store = three(&directory).await;
    let other = store.clone();
    let registered = tokio::spawn(async move { register(&other, 4).await.unwrap() });
    for expected in [Expected::Sites(3), Expected::DryRun(None)] {
        let mut wanted = all(tag("vip"), 9);
        wanted.filter.expires_before = Some(at(NOW + 86_401));
        wanted.filter.text = Some("owner".parse().unwrap());
        let refused = bulk(&store, wanted, expected).await;
        let counted = matches!(&refused, Err(BulkRefused::NotAll { refused: 1, first, why: Refused::TooManyTags })
            if first.id == 2);
        assert!(counted || matches!(refused, Err(BulkRefused::Unexpected { matched: 4 })), "{refused:?}");
    }
    registered.await.unwrap();
    assert_eq!(revisions(&store).await, [1, 2, 1]);
}

#[tokio::test]
async fn a_site_that_is_as_it_should_be_is_matched_and_not_changed() {
    let directory = tempfile::tempdir().unwrap();
    let store = three(&directory).await;
    for expected in [Expected::DryRun(None), Expected::Sites(3)] {
        let done = bulk(&store, all(tag("t7"), 9), expected).await.unwrap();
        assert_eq!((done.matched, done.changed, done.first.len()), (3, 2, 3));
    }
    assert_eq!(revisions(&store).await, [2, 2, 2]);
    let gone = bulk(&store, all(Operation::Delete, 9), Expected::Sites(3)).await.unwrap();
    assert_eq!((gone.changed, site(&store, 1).await.is_none()), (3, true));
}

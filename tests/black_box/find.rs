//! Finding the sites that are meant: filters, orders, and pages of both.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::server::path_of;
use crate::sysadmin::Sysadmin;

impl Sysadmin {
    /// The ids that the pages from `path` on show, to their end.
    fn walk(&self, path: &str) -> Vec<u64> {
        let (mut ids, mut next) = (Vec::new(), Some(path.to_owned()));
        while let Some(path) = next {
            let answer = self.get(&path);
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            ids.extend(ids_of(&answer));
            next = next_of(&answer);
        }
        ids
    }
}

fn ids_of(answer: &Answer) -> Vec<u64> {
    answer.json().as_array().unwrap().iter().map(|site| site["id"].as_u64().unwrap()).collect()
}

/// The path of the next page.
fn next_of(answer: &Answer) -> Option<String> {
    let link = answer.has("Link").then(|| answer.header("Link"))?;
    Some(link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned())
}

/// Six sites: `löwe` and `bär` of two owners, some locked, some heard of.
fn six() -> Sysadmin {
    let admin = Sysadmin::start();
    let mut sites: Vec<Value> = Vec::new();
    for (name, owner, expires) in [
        ("Zum Löwen", "Anna", "2031-01-01T00:00:00Z"),
        ("Bar Centrale", "anna", "2033-01-01T00:00:00Z"),
        ("bar nuovo", "Bruno", "2032-01-01T00:00:00Z"),
        ("Äpfel & Co", "", "2030-06-01T00:00:00Z"),
        ("Osteria", "BRUNO", "2032-01-01T00:00:00Z"),
        ("Bar Centrale", "Carla", "2034-01-01T00:00:00Z"),
    ] {
        let fields = json!({ "name": name, "owner_name": owner, "license_expires_at": expires });
        sites.push(admin.register(fields));
    }
    for site in [&sites[1], &sites[4]] {
        let lock = admin.call("POST", &format!("{}/lock", path_of(site)));
        assert_eq!(lock.json(&json!({ "reason": "unpaid" })).send().status, 200);
    }
    for (site, version) in [(&sites[2], "2.4.1"), (&sites[1], "2.4.1"), (&sites[5], "2.4.10")] {
        let beat = json!({ "version": version, "uptime_seconds": 1 });
        assert_eq!(admin.server.heartbeat(site).json(&beat).send().status, 200);
    }
    admin
}

#[test]
fn each_filter_lets_through_what_it_says_and_several_must_all_hold() {
    let admin = six();
    let past = "2001-01-01T00:00:00Z";
    for (query, ids) in [
        ("status=locked", vec![2, 5]),
        ("status=locked,online", vec![2, 3, 5, 6]),
        ("status=never_seen%2C%20online", vec![1, 3, 4, 6]),
        ("owner=ANNA", vec![1, 2]),
        ("owner=ann", vec![]),
        ("owner=", vec![4]),
        ("q=%C3%A4pfel", vec![4]),
        ("expires_before=2032-01-01T00:00:00Z", vec![1, 4]),
        ("expires_after=2032-01-01T00:00:00Z", vec![2, 6]),
        ("expires_after=2030-12-31T23:59:59Z&expires_before=2032-01-01T01:00:01%2B01:00", vec![1, 3, 5]),
        ("seen_before=2099-01-01T00:00:00Z", vec![2, 3, 6]),
        (&format!("seen_before={past}"), vec![]),
        ("version=2.4.1", vec![2, 3]),
        ("delivery=answered", vec![2, 3, 6]),
        ("delivery=pending,acknowledged", vec![1, 4, 5]),
        ("owner=bruno&status=locked", vec![5]),
        ("version=2.4.1&status=locked&owner=anna&q=bar", vec![2]),
        ("tag=rome", vec![]),
    ] {
        let answer = admin.get(&format!("/api/sites?{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        assert_eq!(ids_of(&answer), ids, "{query}");
        assert_eq!(answer.header("X-Total-Count"), ids.len().to_string(), "{query}");
    }
}

#[test]
fn each_order_is_read_to_its_end_by_links_that_keep_order_and_filter() {
    let admin = six();
    for (sort, ids) in [
        ("id", [1, 2, 3, 4, 5, 6]),
        ("-id", [6, 5, 4, 3, 2, 1]),
        ("name", [2, 6, 3, 5, 1, 4]),
        ("-name", [4, 1, 5, 3, 2, 6]),
        ("owner_name", [4, 1, 2, 3, 5, 6]),
        ("-owner_name", [6, 3, 5, 1, 2, 4]),
        ("license_expires_at", [4, 1, 3, 5, 2, 6]),
        ("-license_expires_at", [6, 2, 3, 5, 1, 4]),
    ] {
        for limit in [1, 2, 4, 6, 100] {
            assert_eq!(admin.walk(&format!("/api/sites?sort={sort}&limit={limit}")), ids, "{sort} {limit}");
        }
        let bars = admin.walk(&format!("/api/sites?sort={sort}&q=bar&limit=1"));
        let expected: Vec<u64> = ids.into_iter().filter(|id| [2, 3, 6].contains(id)).collect();
        assert_eq!(bars, expected, "{sort}");
    }
    // The three that were seen, in one second or in more, and then the others.
    for sort in ["last_seen_at", "-last_seen_at"] {
        let ids = admin.walk(&format!("/api/sites?sort={sort}&limit=2"));
        let (mut seen, unseen) = (ids[..3].to_vec(), &ids[3..]);
        seen.sort_unstable();
        assert_eq!((seen, unseen), (vec![2, 3, 6], &[1, 4, 5][..]), "{sort}");
    }
    let first = admin.get("/api/sites?sort=-name&status=never_seen,locked&owner=&limit=1");
    assert_eq!((ids_of(&first), first.has("Link")), (vec![4], false));
    let first = admin.get("/api/sites?sort=name&status=never_seen,locked&limit=2");
    assert_eq!((ids_of(&first), first.header("X-Total-Count")), (vec![2, 5], "4"));
    assert_eq!(ids_of(&admin.get(&next_of(&first).unwrap())), [1, 4]);
}

#[test]
fn a_page_goes_on_where_its_last_site_was_also_when_that_is_gone() {
    let admin = six();
    let first = admin.get("/api/sites?sort=name&limit=2");
    assert_eq!(ids_of(&first), [2, 6]);
    assert_eq!(admin.call("DELETE", &path_of(&first.json()[1])).send().status, 204);
    admin.register(json!({ "name": "Aal" }));
    admin.register(json!({ "name": "bar centralissimo" }));
    assert_eq!(admin.walk(&next_of(&first).unwrap()), [8, 3, 5, 1, 4]);
}

#[test]
fn what_is_no_filter_and_no_order_is_named_and_so_is_a_cursor_of_another_order() {
    let admin = six();
    for (query, field) in [
        ("status=locked,paid", "status"),
        ("status=", "status"),
        ("delivery=sent", "delivery"),
        ("tag=two%20words", "tag"),
        ("tag=", "tag"),
        ("expires_before=2032-02-30T00:00:00Z", "expires_before"),
        ("expires_after=soon", "expires_after"),
        ("seen_before=", "seen_before"),
        ("version=", "version"),
        ("sort=status", "sort"),
        ("sort=", "sort"),
        ("sort=name&sort=name", "sort"),
        ("after=x", "after"),
        ("after=-1", "after"),
        ("sort=name&after=1", "after"),
        ("owners=anna", "owners"),
    ] {
        admin.get(&format!("/api/sites?{query}")).assert_names(422, &[field]);
    }
    let tags: Vec<String> = (0..21).map(|number| format!("t{number}")).collect();
    admin.get(&format!("/api/sites?tag={}", tags.join(","))).assert_names(422, &["tag"]);
    let long = "x".repeat(201);
    admin.get(&format!("/api/sites?owner={long}&q={long}&sort=x")).assert_names(422, &["q", "owner", "sort"]);
    let next = next_of(&admin.get("/api/sites?sort=name&limit=2")).unwrap();
    for other in ["-name", "owner_name", "id", "last_seen_at"] {
        let answer = admin.get(&next.replace("sort=name", &format!("sort={other}")));
        answer.assert_names(422, &["after"]);
        assert!(answer.text().contains("another order"), "{}", answer.text());
    }
}

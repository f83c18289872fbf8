//! What the pieces of a heartbeat cost, one by one.
//!
//!     cargo bench --bench pieces
//!
//! The whole, with TLS and sockets, is measured by `tests/long/load/compare`;
//! docs/measurements has the figures of both.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that cannot go on has failed")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sitewarden::api::fields::{Fields, Readable};
use sitewarden::api::heartbeat_answer::VerdictAnswer;
use sitewarden::api::object::Object;
use sitewarden::domain::{
    Actor, ActorKind, Delivered, Heartbeat, NewSite, Operation, Rules, SecretKey, Seen, Site, SiteId,
    Timestamp, Verdict,
};
use sitewarden::store::{Call, Store, pieces};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const BODY: &[u8] = br#"{"version": "2.4.1", "uptime_seconds": 86400}"#;
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// Heartbeats that come at the same time.
const BATCH: usize = 64;
/// Sites in a store. The greater number takes a while to fill, which a run
/// that only tries the benches out (`cargo test --benches`) does without.
const SIZES: [usize; 2] = [1_000, 100_000];
/// Writes that wait at the same time while a store is filled.
const FILLING: usize = 512;

fn now() -> Timestamp {
    "2030-06-01T12:00:00Z".parse().unwrap()
}

fn key() -> SecretKey {
    SecretKey::from_random_bits([7; 32])
}

fn heartbeat() -> Heartbeat {
    Heartbeat { version: "2.4.1".parse().unwrap(), uptime_seconds: 86_400 }
}

fn call(site_id: SiteId) -> Call {
    Call { site_id, key: key().hash(), heartbeat: heartbeat(), ip: PEER, applied: None, lease: None }
}

fn new_site() -> NewSite {
    let (name, email) = ("Trattoria Da Mario".parse().unwrap(), "mario@example.com".parse().unwrap());
    let new = NewSite::named(name, email, "2030-12-31T00:00:00Z".parse::<Timestamp>().unwrap());
    NewSite { owner_name: "Mario Rossi".parse().unwrap(), ..new }
}

fn seen() -> Seen {
    Seen {
        at: now(),
        ip: PEER,
        heartbeat: heartbeat(),
        key_generation: 1,
        delivered: Delivered::default(),
        lease: None,
        today: None,
    }
}

fn site() -> Site {
    let (id, utc) = (SiteId::from_u128(1 << 100), Rules::default().calendar(None));
    let site = Site::registered(id, new_site(), key().hash(), &utc, now()).unwrap();
    Site { seen: Some(seen()), ..site }
}

fn codec(c: &mut Criterion) {
    let (site, seen) = (site(), seen());
    let (site_bytes, seen_bytes) = (pieces::encode_site(&site).unwrap(), pieces::encode_seen(&seen).unwrap());
    let mut group = c.benchmark_group("codec");
    group.throughput(Throughput::Bytes(site_bytes.len() as u64));
    group.bench_function("site row, encode", |b| b.iter(|| pieces::encode_site(black_box(&site))));
    group.bench_function("site row, decode", |b| b.iter(|| pieces::decode_site(black_box(&site_bytes))));
    group.throughput(Throughput::Bytes(seen_bytes.len() as u64));
    group.bench_function("seen row, encode", |b| b.iter(|| pieces::encode_seen(black_box(&seen))));
    group.bench_function("seen row, decode", |b| b.iter(|| pieces::decode_seen(black_box(&seen_bytes))));
}

fn rules(c: &mut Criterion) {
    let (site, key) = (site(), key());
    c.bench_function("key check", |b| {
        b.iter(|| {
            let presented = SecretKey::presented(black_box(key.expose()));
            assert!(site.key_matching(&presented.hash(), site.created_at).is_some());
        });
    });
    let rules = Rules::default();
    c.bench_function("verdict", |b| {
        b.iter(|| Verdict::of(black_box(&site.terms), &rules, black_box(site.created_at)))
    });
}

fn json(c: &mut Criterion) {
    let mut group = c.benchmark_group("JSON");
    group.bench_function("heartbeat, read", |b| {
        let known = Heartbeat::IGNORES_ALL_BUT;
        b.iter(|| Fields::read::<Heartbeat>(Object::read(black_box(BODY), known).unwrap()).unwrap());
    });
    let verdict = Verdict::of(&site().terms, &Rules::default(), now());
    group.bench_function("verdict, written", |b| {
        b.iter(|| VerdictAnswer(black_box(verdict.clone())).json());
    });
}

/// A store on disk with sites that all have called before.
struct Filled {
    store: Store,
    sites: Vec<SiteId>,
    next: usize,
    runtime: Runtime,
    _directory: TempDir,
}

impl Filled {
    fn with(count: usize) -> Self {
        let directory = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
        let store = Store::open(&directory.path().join("sitewarden.redb")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // Spread, as random ids are, by an odd factor.
        let id = |number: usize| {
            SiteId::from_u128((number as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835))
        };
        let sites: Vec<_> = (0..count).map(id).collect();
        let mut filled = Self { store, sites, next: 0, runtime, _directory: directory };
        let actor = Actor { kind: ActorKind::System, name: "bench".to_owned(), token: None, ip: None };
        for part in filled.sites.chunks(FILLING) {
            let mut tasks = JoinSet::new();
            for &site in part {
                let (store, actor) = (filled.store.clone(), actor.clone());
                let operation = Operation::Register { new: new_site(), key: key().hash() };
                let register = async move { store.apply(operation.on(site), actor, now()).await };
                tasks.spawn_on(register, filled.runtime.handle());
            }
            for registered in filled.runtime.block_on(tasks.join_all()) {
                registered.unwrap().unwrap();
            }
        }
        for _ in 0..count.div_ceil(FILLING) {
            filled.beat(FILLING);
        }
        filled
    }

    fn next(&mut self) -> SiteId {
        self.next = (self.next + 1) % self.sites.len();
        self.sites[self.next]
    }

    /// So many heartbeats of sites in turn, all waiting together; returns
    /// when each is on disk.
    fn beat(&mut self, count: usize) {
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (store, site) = (self.store.clone(), self.next());
            let beat = async move {
                let admit = |_| Ok::<(), ()>(());
                store.record_heartbeat(call(site), now(), admit).await
            };
            tasks.spawn_on(beat, self.runtime.handle());
        }
        for recorded in self.runtime.block_on(tasks.join_all()) {
            assert!(recorded.unwrap().unwrap().verdict.licensed);
        }
    }
}

fn stores(c: &mut Criterion) {
    let in_earnest = std::env::args().any(|argument| argument == "--bench");
    for size in SIZES.into_iter().filter(|&size| in_earnest || size == SIZES[0]) {
        let mut filled = Filled::with(size);
        let mut group = c.benchmark_group("store");
        group.bench_function(BenchmarkId::new("one site read", size), |b| {
            b.iter(|| {
                let site = filled.next();
                filled.runtime.block_on(filled.store.site(site)).unwrap().unwrap()
            });
        });
        group.bench_function(BenchmarkId::new("one heartbeat, durable", size), |b| b.iter(|| filled.beat(1)));
        group.throughput(Throughput::Elements(BATCH as u64)).measurement_time(Duration::from_secs(10));
        group.bench_function(BenchmarkId::new("64 heartbeats at once, durable", size), |b| {
            b.iter(|| filled.beat(BATCH));
        });
    }
}

criterion_group!(measured, codec, rules, json, stores);
criterion_main!(measured);

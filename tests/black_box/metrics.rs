//! What monitoring reads.

use serde_json::json;

use crate::client::{Answer, Call, Trust};
use crate::server::{Server, Setup, until};

struct Watched {
    server: Server,
    url: String,
}

impl Watched {
    fn start(config: &str) -> Self {
        let server = Setup::new().config(config).metrics().start();
        let url = server.metrics_url();
        Self { server, url }
    }

    fn get(&self, url: &str) -> Answer {
        Call::new(&Trust::certificate(&self.server.certificate()), "GET", url).send()
    }

    /// The value of a sample, given as it stands in the text.
    fn sample(&self, sample: &str) -> Option<f64> {
        let answer = self.get(&self.url);
        let value = |line: &str| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok();
        answer.text().lines().find_map(value)
    }
}

#[test]
fn requests_heartbeats_sites_and_commits_are_counted() {
    let watched = Watched::start("[limits]\nheartbeat_burst = 1\n");
    let token = watched.server.login();
    let site = watched.server.register(&token);
    watched
        .server
        .register_as(&token, &json!({ "license_expires_at": "2001-01-01T00:00:00Z", "allow_past": true }));
    assert_eq!(watched.server.heartbeat(&site).send().status, 200);
    assert_eq!(watched.server.heartbeat(&site).send().status, 429);
    let mut wrong = site.clone();
    wrong["secret_key"] = json!("swk_wrong");
    assert_eq!(watched.server.heartbeat(&wrong).send().status, 401);
    assert_eq!(watched.server.get("/nowhere").send().status, 404);
    for (sample, value) in [
        ("sitewarden_heartbeats_total{outcome=\"licensed\"}", 1.0),
        ("sitewarden_heartbeats_total{outcome=\"throttled\"}", 1.0),
        ("sitewarden_heartbeats_total{outcome=\"refused\"}", 1.0),
        ("sitewarden_throttled_total{limit=\"heartbeat_site\"}", 1.0),
        ("sitewarden_requests_total{method=\"POST\",route=\"/api/sites\",status=\"201\"}", 2.0),
        ("sitewarden_requests_total{method=\"GET\",route=\"-\",status=\"404\"}", 1.0),
        ("sitewarden_request_duration_seconds_count{method=\"POST\",route=\"/api/heartbeat\"}", 3.0),
        ("sitewarden_sites{status=\"online\"}", 1.0),
        ("sitewarden_sites{status=\"expired\"}", 1.0),
        ("sitewarden_sites{status=\"locked\"}", 0.0),
        ("sitewarden_sites_expiring_14d", 0.0),
        ("sitewarden_store_writes_waiting", 0.0),
    ] {
        assert_eq!(watched.sample(sample), Some(value), "{sample}");
    }
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(watched.sample(&format!("sitewarden_build_info{{version=\"{version}\"}}")), Some(1.0));
    assert!(watched.sample("sitewarden_store_commit_writes_count").unwrap() >= 3.0);
    assert!(watched.sample("sitewarden_connections").unwrap() >= 1.0);
    assert!(watched.sample("sitewarden_certificate_expiry_timestamp_seconds").unwrap() > 0.0);
}

#[test]
fn failed_logins_are_counted() {
    let watched = Watched::start("");
    let wrong = json!({ "username": "nobody", "password": "wrong password" });
    assert_eq!(watched.server.post("/api/auth/login").json(&wrong).send().status, 401);
    assert_eq!(watched.sample("sitewarden_failed_logins_total{kept=\"yes\"}"), Some(1.0));
    assert_eq!(watched.sample("sitewarden_failed_logins_total{kept=\"no\"}"), Some(0.0));
}

#[test]
fn the_process_tells_of_itself_by_the_usual_names() {
    let watched = Watched::start("");
    let text = watched.get(&watched.url).text().to_owned();
    for (name, kind) in [
        ("process_cpu_seconds_total", "counter"),
        ("process_open_fds", "gauge"),
        ("process_max_fds", "gauge"),
        ("process_virtual_memory_bytes", "gauge"),
        ("process_resident_memory_bytes", "gauge"),
        ("process_start_time_seconds", "gauge"),
    ] {
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name}: {text}");
        assert!(watched.sample(name).unwrap() > 0.0, "{name}");
    }
    let started = watched.sample("process_start_time_seconds");
    assert_eq!(watched.sample("process_start_time_seconds"), started);
    let fds = watched.sample("process_open_fds").unwrap();
    assert!(fds < watched.sample("process_max_fds").unwrap(), "{fds}");
}

#[test]
fn backups_are_told_of_only_where_they_are_kept() {
    let watched = Watched::start("");
    let made = || watched.sample("sitewarden_backup_last_success_timestamp_seconds").unwrap() > 0.0;
    let holds_all = || watched.sample("sitewarden_backup_waiting_seconds") == Some(0.0);
    until("a backup is made", || made() && holds_all());
    assert_eq!(watched.sample("sitewarden_backup_failed"), Some(0.0));
    let off = Watched::start("[backup]\nevery_minutes = 0\n");
    let text = off.get(&off.url).text().to_owned();
    assert!(text.contains("sitewarden_build_info") && !text.contains("sitewarden_backup"), "{text}");
}

#[test]
fn only_the_metrics_are_served_there_and_only_there() {
    let watched = Watched::start("");
    let answer = watched.get(&watched.url);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let base = watched.url.strip_suffix("/metrics").unwrap();
    assert_eq!(watched.get(&format!("{base}/api/sites")).status, 404);
    assert_eq!(watched.server.get("/metrics").send().status, 404);
}

#[test]
fn a_taken_port_costs_the_metrics_and_nothing_else() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let server = Setup::new().env("SITEWARDEN_METRICS_LISTEN", &address).start();
    server.log_line(|line| line.contains("no metrics") && line.contains(&address));
    assert_eq!(server.get("/health").send().status, 200);
}

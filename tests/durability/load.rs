//! Fills a database for the durability tests, and sends heartbeats to a
//! server that has it open. Plain HTTP, on loopback only.
//!
//!     durability-load seed DATA_DIR SITES
//!     durability-load beat ADDRESS SITES CONNECTIONS SECONDS REPORT
//!
//! REPORT gets one line for each request: when it was sent, in microseconds
//! since 1970, how many microseconds it took, and the status.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sitewarden::domain::{Actor, ActorKind, NewSite, SecretKey, SiteId, Timestamp};
use sitewarden::store::{FILE_NAME, Store};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["seed", data_dir, sites] => seed(data_dir, sites.parse()?),
        ["beat", address, sites, connections, seconds, report] => {
            beat(address, sites.parse()?, connections.parse()?, seconds.parse()?, report)
        }
        _ => Err("see the head of tests/durability/load.rs".into()),
    }
}

/// The key of site `number`.
fn key(number: u64) -> SecretKey {
    let mut bits = [0; 32];
    for (byte, from) in bits.iter_mut().zip(number.to_le_bytes()) {
        *byte = from;
    }
    SecretKey::from_random_bits(bits)
}

#[tokio::main]
async fn seed(data_dir: &str, sites: u64) -> Result<(), Failure> {
    std::fs::create_dir_all(data_dir)?;
    let store = Store::open(&std::path::Path::new(data_dir).join(FILE_NAME))?;
    let now: Timestamp = "2026-01-01T00:00:00Z".parse()?;
    let expires: Timestamp = "2040-01-01T00:00:00Z".parse()?;
    let by = Actor { kind: ActorKind::System, name: "root".to_owned(), ip: None };
    let numbers: Vec<u64> = (1..=sites).collect();
    for some in numbers.chunks(1000) {
        let mut tasks = Vec::new();
        for &number in some {
            let (store, by) = (store.clone(), by.clone());
            let site = NewSite {
                name: format!("Trattoria number {number}").parse()?,
                owner_name: format!("Owner of number {number}").parse()?,
                contact_email: format!("site{number}@example.com").parse()?,
                license_expires_at: expires,
            };
            tasks.push(tokio::spawn(async move {
                store.register_site(SiteId::from_u128(number.into()), site, key(number).hash(), by, now).await
            }));
        }
        for task in tasks {
            task.await??;
        }
    }
    tokio::task::spawn_blocking(move || store.close()).await?;
    Ok(())
}

fn beat(address: &str, sites: u64, connections: u64, seconds: u64, report: &str) -> Result<(), Failure> {
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut report = BufWriter::new(std::fs::File::create(report)?);
    let threads: Vec<_> = (0..connections)
        .map(|connection| {
            let address = address.to_owned();
            std::thread::spawn(move || send(&address, sites, connection, until))
        })
        .collect();
    for thread in threads {
        let lines = thread.join().map_err(|_| "a connection panicked")??;
        for (sent, took, status) in lines {
            writeln!(report, "{sent} {took} {status}")?;
        }
    }
    report.flush()?;
    Ok(())
}

fn send(
    address: &str,
    sites: u64,
    connection: u64,
    until: Instant,
) -> Result<Vec<(u128, u128, u16)>, Failure> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    let mut done = Vec::new();
    let mut number = connection.wrapping_mul(7919);
    while Instant::now() < until {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let site = (number >> 33) % sites + 1;
        let body = r#"{"version":"4.2.0","uptime_seconds":86400}"#;
        let request = format!(
            "POST /api/heartbeat HTTP/1.1\r\nHost: localhost\r\nX-Site-ID: {}\r\nX-Site-Key: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            SiteId::from_u128(site.into()),
            key(site).expose(),
            body.len()
        );
        let sent = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
        let started = Instant::now();
        stream.write_all(request.as_bytes())?;
        let status = read_answer(&mut answers)?;
        done.push((sent, started.elapsed().as_micros(), status));
    }
    Ok(done)
}

fn read_answer(answers: &mut impl BufRead) -> Result<u16, Failure> {
    let (mut status, mut length, mut line) = (0, 0, String::new());
    loop {
        line.clear();
        if answers.read_line(&mut line)? == 0 {
            return Err("the server closed the connection".into());
        }
        let head = line.trim_end();
        if let Some(rest) = head.strip_prefix("HTTP/1.1 ") {
            status = rest.split(' ').next().unwrap_or_default().parse()?;
        } else if let Some((name, value)) = head.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        } else if head.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    answers.read_exact(&mut body)?;
    Ok(status)
}

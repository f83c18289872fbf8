//! Heartbeats over plain HTTP, each of them reported.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Failure;
use super::credentials::Sites;
use super::tls::request;

/// When it was sent, how long it took, in microseconds, and the status.
type Line = (u128, u128, u16);

/// Keeps `connections` connections to `address` busy for `seconds`.
pub(crate) fn beat(
    address: &str,
    sites: Sites,
    connections: u64,
    seconds: u64,
    report: &str,
) -> Result<(), Failure> {
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut report = BufWriter::new(std::fs::File::create(report)?);
    let sites = Arc::new(sites);
    let threads: Vec<_> = (0..connections)
        .map(|connection| {
            let (address, sites) = (address.to_owned(), Arc::clone(&sites));
            std::thread::spawn(move || send(&address, &sites, connection, until))
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

fn send(address: &str, sites: &Sites, connection: u64, until: Instant) -> Result<Vec<Line>, Failure> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    let mut done = Vec::new();
    let mut number = connection.wrapping_mul(7919);
    while Instant::now() < until {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let request = request("/api/heartbeat", &sites.of_turn(number >> 33), false);
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

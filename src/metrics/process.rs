//! What every program tells of itself, by the names that Prometheus'
//! libraries have for it.
//!
//! Read at each scrape, of `/proc/self`, which the hardened unit leaves to be
//! seen (`ProcSubset=pid`), and by calls of the system. What cannot be read is
//! left out: a wrong number is worse than none.

use parking_lot::Mutex;

use prometheus::{Counter, Gauge, Result};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, Timespec, clock_gettime};

use super::registrar::Registrar;

/// The numbers of this process.
pub(super) struct ProcessMetrics {
    cpu_seconds: Counter,
    open_fds: Gauge,
    max_fds: Gauge,
    virtual_memory: Gauge,
    resident_memory: Gauge,
    /// One reading at a time: the counter goes by what has been added to it.
    turn: Mutex<()>,
}

impl ProcessMetrics {
    /// Reads them for the first time.
    ///
    /// # Errors
    /// When one cannot be registered; a bug.
    pub(super) fn new(new: &Registrar) -> Result<Self> {
        let gauge = |name: &str, help: &str, value: Option<f64>| {
            let gauge = Gauge::new(name, help)?;
            if let Some(value) = value {
                gauge.set(value);
                new.add(gauge.clone())?;
            }
            Ok::<_, prometheus::Error>(gauge)
        };
        let cpu_seconds =
            new.seconds_counter("process_cpu_seconds_total", "User and system CPU time spent, in seconds.")?;
        let stat = Stat::read();
        // Once: by a clock that is put right it would seem a restart.
        let started_at = stat.map(|stat| stat.started_at);
        gauge("process_start_time_seconds", "When the process started, in seconds since 1970.", started_at)?;
        let metrics = Self {
            cpu_seconds,
            open_fds: gauge("process_open_fds", "Number of open file descriptors.", open_descriptors())?,
            max_fds: gauge("process_max_fds", "Most file descriptors that may be open.", most_descriptors())?,
            virtual_memory: gauge(
                "process_virtual_memory_bytes",
                "Virtual memory size, in bytes.",
                stat.map(|stat| stat.virtual_bytes),
            )?,
            resident_memory: gauge(
                "process_resident_memory_bytes",
                "Resident memory size, in bytes.",
                stat.map(|stat| stat.resident_bytes),
            )?,
            turn: Mutex::new(()),
        };
        metrics.read();
        Ok(metrics)
    }

    /// Reads them again, but for the time of the start.
    pub(super) fn read(&self) {
        let _turn = self.turn.lock();
        let cpu_seconds = seconds(clock_gettime(ClockId::ProcessCPUTime));
        self.cpu_seconds.inc_by((cpu_seconds - self.cpu_seconds.get()).max(0.0));
        let set = |gauge: &Gauge, value: Option<f64>| {
            if let Some(value) = value {
                gauge.set(value);
            }
        };
        set(&self.open_fds, open_descriptors());
        set(&self.max_fds, most_descriptors());
        if let Some(stat) = Stat::read() {
            self.virtual_memory.set(stat.virtual_bytes);
            self.resident_memory.set(stat.resident_bytes);
        }
    }
}

/// What `/proc/self/stat` tells (`proc_pid_stat(5)`).
#[derive(Debug, Clone, Copy)]
struct Stat {
    virtual_bytes: f64,
    resident_bytes: f64,
    /// Seconds since 1970.
    started_at: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        let (realtime, boottime) = (clock_gettime(ClockId::Realtime), clock_gettime(ClockId::Boottime));
        let ticks = rustix::param::clock_ticks_per_second();
        let page_bytes = rustix::param::page_size();
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        Self::parse(&text, seconds(realtime) - seconds(boottime), whole(ticks), whole(page_bytes as u64))
    }

    /// `booted_at` is in seconds since 1970.
    fn parse(text: &str, booted_at: f64, ticks_a_second: f64, page_bytes: f64) -> Option<Self> {
        // The name of the program, in parentheses, may hold anything.
        let (_, fields) = text.rsplit_once(')')?;
        // The first of them is the third of all.
        let field = |number: usize| fields.split_ascii_whitespace().nth(number - 3)?.parse().ok();
        Some(Self {
            started_at: booted_at + whole(field(22)?) / ticks_a_second,
            virtual_bytes: whole(field(23)?),
            resident_bytes: whole(field(24)?) * page_bytes,
        })
    }
}

fn open_descriptors() -> Option<f64> {
    let listed = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // The listing has one of its own.
    Some(whole(listed.saturating_sub(1) as u64))
}

/// `None` when there is no limit.
fn most_descriptors() -> Option<f64> {
    getrlimit(Resource::Nofile).current.map(whole)
}

#[expect(clippy::cast_precision_loss, reason = "exact to 2^53")]
fn whole(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "exact to 2^53 seconds")]
fn seconds(time: Timespec) -> f64 {
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_stat_are_found_whatever_the_program_is_called() {
        let text = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 50 60 0 0 20 0 9 0 12300 4096000 250 184 1 1\n";
        let stat = Stat::parse(text, 1000.0, 100.0, 4096.0).unwrap();
        assert_eq!(
            (stat.started_at, stat.virtual_bytes, stat.resident_bytes),
            (1123.0, 4_096_000.0, 1_024_000.0)
        );
        assert!(Stat::parse("7 (a) S 1", 0.0, 100.0, 4096.0).is_none());
        assert!(Stat::parse("", 0.0, 100.0, 4096.0).is_none());
    }

    #[test]
    fn this_process_is_measured() {
        let new = Registrar::default();
        let metrics = ProcessMetrics::new(&new).unwrap();
        assert_eq!(new.into_registry().gather().len(), 6);
        let before = metrics.cpu_seconds.get();
        let mut hash = 0_u64;
        while seconds(clock_gettime(ClockId::ProcessCPUTime)) - before < 0.01 {
            hash = std::hint::black_box(hash.wrapping_mul(31).wrapping_add(1));
        }
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        metrics.read();
        assert!(metrics.cpu_seconds.get() >= before + 0.01);
        assert!(metrics.open_fds.get() >= 4.0 && metrics.open_fds.get() <= metrics.max_fds.get());
        assert!(
            metrics.resident_memory.get() > 1e6
                && metrics.virtual_memory.get() >= metrics.resident_memory.get()
        );
        drop(file);
    }
}

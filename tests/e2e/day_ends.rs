//! Prints, for each zone whose name stands on standard input, a digest of the
//! ends of all days from the first argument to the second; `tests/e2e/zones`
//! compares them.

use std::error::Error;
use std::io::{Write as _, stdin, stdout};

use aws_lc_rs::digest::{SHA256, digest};
use jiff::tz::TimeZoneDatabase;
use sitewarden::domain::{Date, Zones};

fn main() -> Result<(), Box<dyn Error>> {
    let days: Vec<Date> = std::env::args().skip(1).map(|day| day.parse()).collect::<Result<_, _>>()?;
    let [first, last] = *days.as_slice() else { return Err("give the first day and the last".into()) };
    let zones = Zones::new(TimeZoneDatabase::from_env());
    for name in stdin().lines() {
        let name = name?;
        let calendar = zones.calendar(&name);
        let mut ends = String::new();
        let mut day = Some(first);
        while let Some(one) = day.filter(|day| *day <= last) {
            match calendar.end_of(one) {
                Ok(end) => ends.push_str(&format!("{}\n", end.unix())),
                Err(_) => ends.push_str("None\n"),
            }
            day = one.next();
        }
        let hash: String =
            digest(&SHA256, ends.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(stdout(), "{name} {hash}")?;
    }
    Ok(())
}

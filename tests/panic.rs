//! What a panic leaves behind. By itself in a process: it takes stderr and
//! panics.

use std::io::{BufRead as _, BufReader};

use serde_json::Value;
use sitewarden::config::Config;
use sitewarden::telemetry;

#[test]
fn a_panic_is_a_line_of_the_log() {
    let (read, write) = rustix::pipe::pipe().unwrap();
    rustix::stdio::dup2_stderr(&write).unwrap();
    drop(write);
    let none = std::iter::empty::<(String, String)>();
    let config = Config::load(None, none, std::iter::empty()).unwrap();
    let _log = telemetry::start(&config.log).unwrap();
    let thread = std::thread::Builder::new().name("victim".into());
    assert!(thread.spawn(|| panic!("of the {}", "test")).unwrap().join().is_err());
    let line = BufReader::new(std::fs::File::from(read)).lines().next().unwrap().unwrap();
    let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    assert_eq!(said["level"], "ERROR");
    assert_eq!(said["reason"], "of the test");
    assert_eq!(said["thread"], "victim");
    assert!(said["place"].as_str().unwrap().starts_with("tests/panic.rs:"), "{line}");
    assert!(said["message"].as_str().unwrap().contains("a bug in sitewarden"), "{line}");
}

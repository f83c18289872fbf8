//! The log, and whoever reads it or does not.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::pipe::pipe;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};

use crate::client::{Call, Trust};
use crate::server::{Server, Setup, run_to_end};

/// Both ends of a pipe.
fn ends() -> (File, OwnedFd) {
    let (read, write) = pipe().unwrap();
    (read.into(), write)
}

#[test]
fn a_log_that_nobody_reads_stops_nothing_and_says_later_how_many_lines_are_missing() {
    let (unread, stderr) = ends();
    let mut setup = Setup::new().config("[limits]\nheartbeats_per_hour = 0\n");
    setup = setup.env("SITEWARDEN_METRICS_LISTEN", "127.0.0.1:0");
    let server = setup.start_with_stderr(Stdio::from(stderr));
    let site = server.register(&server.login());
    for _ in 0..1_000 {
        assert_eq!(server.heartbeat(&site).send().status, 200);
    }
    // More lines than the pipe and the buffer hold.
    for _ in 0..6_000 {
        assert_eq!(server.get("/nowhere").send().status, 404);
    }
    let mut lines = BufReader::new(unread).lines().map(|line| {
        let line = line.unwrap();
        serde_json::from_str::<Value>(&line).unwrap_or_else(|_| panic!("no JSON: {line}"))
    });
    let (mut metrics, mut heartbeats) = (String::new(), 0);
    let missing = loop {
        let line = lines.next().unwrap();
        if line["message"] == "serving metrics" {
            metrics = line["url"].as_str().unwrap().to_owned();
        }
        heartbeats += u32::from(line["route"] == "/api/heartbeat");
        if let Some(missing) = line["missing"].as_u64() {
            assert_eq!(line["level"], "ERROR");
            break missing;
        }
    };
    assert!(missing > 0);
    assert_eq!(heartbeats, 1_000, "the first lines are kept, the last are dropped");
    let answer = Call::new(&Trust::certificate(&server.certificate()), "GET", &metrics).send();
    let counted = format!("sitewarden_log_lines_dropped_total {missing}\n");
    assert!(answer.text().contains(&counted), "{}", answer.text());
}

#[test]
fn a_server_whose_log_is_gone_goes_on() {
    let (read, stderr) = ends();
    let server = Setup::new().start_with_stderr(Stdio::from(stderr));
    drop(read);
    let site = server.register(&server.login());
    assert_eq!(server.heartbeat(&site).send().status, 200);
    server.stop();
}

#[test]
fn what_is_said_on_stdout_and_stderr_is_json_where_the_log_is() {
    let server = Server::start();
    assert_eq!(server.announced().len(), 2, "a certificate and where it listens");
    for said in server.announced() {
        assert!(said["timestamp"].is_string() && said["level"] == "INFO", "{said}");
    }
    // One that cannot start.
    let other = Setup::new();
    let mut second = other.command();
    second.arg("--data-dir").arg(server.data_dir());
    let refused = run_to_end(second);
    assert_eq!(refused.status.code(), Some(1));
    let last = String::from_utf8(refused.stderr).unwrap();
    let said: Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    assert_eq!(said["message"], "the server did not start");
    assert!(said["error"].as_str().unwrap().contains("in use"), "{said}");
    let log = server.stop();
    assert!(log.lines().count() > 1);
    for line in log.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn a_terminal_with_a_log_of_json_is_shown_json_and_no_password() {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let stderr = File::options().write(true).open(name).unwrap();
    let setup = Setup::new().env("SITEWARDEN_LOG__FORMAT", "json");
    let server = setup.start_with_stderr(Stdio::from(stderr));
    let password = server.password();
    server.stop();
    // It ends with an error once nobody holds the other end.
    let shown: Vec<String> = BufReader::new(File::from(terminal)).lines().map_while(Result::ok).collect();
    assert!(shown.len() > 1, "{shown:?}");
    for line in shown {
        assert!(serde_json::from_str::<Value>(&line).is_ok() && !line.contains(&password), "{line}");
    }
}

#[test]
fn the_last_lines_are_written_before_the_end() {
    let log = Server::start().stop();
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!((&last["message"], &last["clean"]), (&json!("stopped"), &json!(true)));
}

#[test]
fn what_is_said_on_stdout_is_words_where_the_log_is() {
    let setup = Setup::new().env("SITEWARDEN_LOG__FORMAT", "text");
    let mut server = setup.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(server.stdout.take().unwrap()).lines();
    let first = said.next().unwrap().unwrap();
    assert!(first.starts_with("certificate ") && first.contains(" SHA-256 "), "{first}");
    let second = said.next().unwrap().unwrap();
    assert!(second.starts_with("listening on https://127.0.0.1:"), "{second}");
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn the_journal_gets_a_priority_with_each_line_and_a_pipe_gets_none() {
    let (read, stderr) = ends();
    let found = rustix::fs::fstat(&stderr).unwrap();
    let named = format!("{}:{}", found.st_dev, found.st_ino);
    let setup = Setup::new().env("JOURNAL_STREAM", &named);
    setup.start_with_stderr(Stdio::from(stderr)).stop();
    let mut log = String::new();
    (&read).read_to_string(&mut log).unwrap();
    assert!(log.lines().count() > 1);
    for line in log.lines() {
        let said: Value = serde_json::from_str(&line[3..]).unwrap_or_else(|_| panic!("{line}"));
        let expected = match said["level"].as_str().unwrap() {
            "ERROR" => "<3>",
            "WARN" => "<4>",
            _ => "<6>",
        };
        assert_eq!(&line[..3], expected, "{line}");
    }
    let log = Setup::new().env("JOURNAL_STREAM", &named).start().stop();
    assert!(log.lines().all(|line| line.starts_with('{')), "{log}");
}

//! A sitewarden that runs for one test.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Answer, Call, Trust};

/// How long an event may take that has to come: long, for slow machines.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const CONFIG_FILE: &str = "sitewarden.toml";

/// Polls until `done`, which must come before [`PATIENCE`] ends.
#[track_caller]
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

/// A command line of the program under test, in a clean environment.
pub(crate) fn sitewarden(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sitewarden"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// A copy of the program in `directory`: where the build directory is, only
/// root may be allowed to look.
pub(crate) fn program_for_anybody(directory: &Path) -> PathBuf {
    let program = directory.join("sitewarden");
    // By another process: were the copy open for writing in this one, a
    // process that another test starts meanwhile would hold it open and
    // nobody could run it.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_sitewarden")).arg(&program).status().unwrap();
    assert!(copied.success());
    program
}

/// How a server is to be started. Its directory outlives it, so that it can
/// be started again.
#[derive(Debug)]
pub(crate) struct Setup {
    directory: Arc<TempDir>,
    config: String,
    environment: HashMap<String, String>,
}

impl Setup {
    /// An empty directory and nothing configured but the address.
    pub(crate) fn new() -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        Self { directory, config: String::new(), environment: HashMap::new() }
    }

    /// With this configuration file (TOML).
    pub(crate) fn config(mut self, toml: &str) -> Self {
        self.config = toml.to_owned();
        self
    }

    /// With the certificate and the key in these files alone.
    pub(crate) fn tls_files(self, cert: &Path, key: &Path) -> Self {
        self.config(&format!("[tls]\nmode = \"files\"\ncert = {cert:?}\nkey = {key:?}\n"))
    }

    /// With metrics on a free port.
    pub(crate) fn metrics(self) -> Self {
        self.env("SITEWARDEN_METRICS_LISTEN", "127.0.0.1:0")
    }

    /// With this environment variable besides.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The directory in which it runs.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where it keeps its data.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory().join("data")
    }

    /// `sitewarden serve` on a free port of 127.0.0.1.
    pub(crate) fn command(&self) -> Command {
        let config = self.directory().join(CONFIG_FILE);
        std::fs::write(&config, &self.config).unwrap();
        let mut command = sitewarden(&["serve", "--listen", "127.0.0.1:0", "--config"]);
        // Servers of several tests run at the same time.
        command.env("SITEWARDEN_METRICS_LISTEN", "");
        command.arg(config).current_dir(self.directory()).envs(&self.environment);
        command
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(self) -> Server {
        let command = self.command();
        Server::run(self, command, Stdio::piped())
    }

    /// As [`Setup::start`], with a log that the test reads by itself, or does
    /// not read.
    pub(crate) fn start_with_stderr(self, stderr: Stdio) -> Server {
        let command = self.command();
        Server::run(self, command, stderr)
    }

    /// Starts it by another command line, whose data are here.
    pub(crate) fn start_with(self, command: Command) -> Server {
        Server::run(self, command, Stdio::piped())
    }

    /// Starts it and waits for its end, which must come by itself.
    pub(crate) fn run_to_end(&self) -> Output {
        run_to_end(self.command())
    }
}

/// Runs a command that must end by itself.
pub(crate) fn run_to_end(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (ended, end) = channel();
    let stdout = collect(child.stdout.take().unwrap(), ended.clone());
    let stderr = collect(child.stderr.take().unwrap(), ended);
    for _ in 0..2 {
        if end.recv_timeout(PATIENCE).is_err() {
            let _ = child.kill();
            panic!("{command:?} did not end");
        }
    }
    let status = child.wait().unwrap();
    Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn collect(mut from: impl Read + Send + 'static, ended: Sender<()>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        let _ = ended.send(());
        bytes
    })
}

/// What the server has written to stderr so far, growing.
#[derive(Debug, Default)]
struct Log {
    text: Mutex<String>,
    grown: Condvar,
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    setup: Setup,
    child: Child,
    stdout: Mutex<Receiver<String>>,
    announced: Vec<Value>,
    log: Arc<Log>,
    log_reader: Option<JoinHandle<()>>,
    url: String,
    trust: Trust,
}

impl Server {
    /// A server with nothing configured.
    pub(crate) fn start() -> Self {
        Setup::new().start()
    }

    /// A server with this configuration file (TOML).
    pub(crate) fn configured(toml: &str) -> Self {
        Setup::new().config(toml).start()
    }

    fn run(setup: Setup, mut command: Command, stderr: Stdio) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        // It keeps a pipe that it was given open.
        drop(command);
        let log = Arc::new(Log::default());
        let log_reader = child.stderr.take().map(|stderr| {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    *log.text.lock().unwrap() += &(line + "\n");
                    log.grown.notify_all();
                }
            })
        });
        let (line, stdout) = channel();
        let out = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for text in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = line.send(text);
            }
        });
        let mut announced = Vec::new();
        let url = loop {
            let Ok(line) = stdout.recv_timeout(PATIENCE) else {
                let _ = child.kill();
                panic!("it did not start: {:?}\n{}", child.wait(), log.text.lock().unwrap());
            };
            let said = serde_json::from_str(&line).unwrap_or_else(|_| in_words(&line));
            announced.push(said.clone());
            if said["message"] == "listening on" {
                break said["url"].as_str().unwrap().to_owned();
            }
        };
        let trust = Trust::certificate(&setup.data_dir().join("tls-certificate.pem"));
        Self { setup, child, stdout: Mutex::new(stdout), announced, log, log_reader, url, trust }
    }

    /// Where it serves: `https://127.0.0.1:…`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The port it serves on.
    pub(crate) fn port(&self) -> u16 {
        self.url.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// The address it serves on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.url.rsplit_once('/').unwrap().1.parse().unwrap()
    }

    /// What it printed on stdout until it listened.
    pub(crate) fn announced(&self) -> &[Value] {
        &self.announced
    }

    /// What it says next on stdout.
    pub(crate) fn next_announced(&self) -> Value {
        serde_json::from_str(&self.stdout.lock().unwrap().recv_timeout(PATIENCE).unwrap()).unwrap()
    }

    /// What it holds in memory, and the most that it held so far, in MiB.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() / 1024
        };
        (of("VmRSS:"), of("VmHWM:"))
    }

    /// The directory in which it runs.
    pub(crate) fn directory(&self) -> &Path {
        self.setup.directory()
    }

    /// The file that configures it.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.directory().join(CONFIG_FILE)
    }

    /// Where it keeps its data.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.setup.data_dir()
    }

    /// Where it serves its metrics, which [`Setup::metrics`] asks for.
    pub(crate) fn metrics_url(&self) -> String {
        let line = self.log_line(|line| line.contains("serving metrics"));
        line.split('"').find(|part| part.ends_with("/metrics")).unwrap().to_owned()
    }

    /// All of its metrics.
    pub(crate) fn metrics(&self) -> Answer {
        Call::new(&self.trust, "GET", &self.metrics_url()).send()
    }

    /// The certificate to trust it by.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.data_dir().join("tls-certificate.pem")
    }

    /// What it has written to stderr so far.
    pub(crate) fn log(&self) -> String {
        self.log.text.lock().unwrap().clone()
    }

    /// Waits for a line on stderr that `is_it`.
    pub(crate) fn log_line(&self, is_it: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut text = self.log.text.lock().unwrap();
        loop {
            if let Some(line) = text.lines().find(|line| is_it(line)) {
                return line.to_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let (grown, waited) = self.log.grown.wait_timeout(text, left).unwrap();
            text = grown;
            assert!(!waited.timed_out(), "no such line in the log:\n{text}");
        }
    }

    /// The password that the first start left in its file.
    pub(crate) fn password(&self) -> String {
        let path = self.data_dir().join("initial-admin-password");
        std::fs::read_to_string(path).unwrap().trim_end().to_owned()
    }

    /// Tries to log in.
    pub(crate) fn try_login(&self, username: &str, password: &str) -> Answer {
        self.post("/api/auth/login").json(&json!({ "username": username, "password": password })).send()
    }

    /// An access token of the first admin.
    pub(crate) fn login(&self) -> String {
        let answer = self.try_login("sysadmin", &self.password());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// A request to it.
    pub(crate) fn call(&self, method: &str, path: &str) -> Call {
        Call::new(&self.trust, method, &format!("{}{path}", self.url))
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.call("GET", path)
    }

    pub(crate) fn post(&self, path: &str) -> Call {
        self.call("POST", path)
    }

    pub(crate) fn put(&self, path: &str) -> Call {
        self.call("PUT", path)
    }

    pub(crate) fn delete(&self, path: &str) -> Call {
        self.call("DELETE", path)
    }

    /// Registers a site with nothing special about it.
    pub(crate) fn register(&self, token: &str) -> Value {
        self.register_as(token, &json!({}))
    }

    /// Registers a site with these fields in place of the usual.
    pub(crate) fn register_as(&self, token: &str, fields: &Value) -> Value {
        let mut site = new_site();
        site.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = self.post("/api/sites").bearer(token).json(&site).send();
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    /// A heartbeat of `site`, as it was registered.
    pub(crate) fn heartbeat(&self, site: &Value) -> Call {
        self.post("/api/heartbeat")
            .header("X-Site-ID", site["site_id"].as_str().unwrap())
            .header("X-Site-Key", site["secret_key"].as_str().unwrap())
            .json(&json!({ "version": "2.4.1", "uptime_seconds": 86400 }))
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end, which must be a good one, and gives the log.
    pub(crate) fn wait_for_end(mut self) -> String {
        self.wait();
        self.log()
    }

    /// Stops it in good order (SIGTERM) and gives the log.
    pub(crate) fn stop(mut self) -> String {
        self.end_well();
        self.log()
    }

    /// Stops it in good order and starts it again on the same data.
    pub(crate) fn restart(mut self) -> Self {
        self.end_well();
        self.take_setup().start()
    }

    /// Stops it in good order and gives what it takes to start it again.
    pub(crate) fn stop_for_another_start(mut self) -> Setup {
        self.end_well();
        self.take_setup()
    }

    /// Kills it, as a power cut would, and gives what it takes to start it
    /// again.
    pub(crate) fn kill(mut self) -> Setup {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.take_setup()
    }

    /// Trusts the certificates in this file in place of the server's own.
    pub(crate) fn trusting(mut self, pem: &Path) -> Self {
        self.trust = Trust::certificate(pem);
        self
    }

    fn take_setup(&mut self) -> Setup {
        Setup {
            directory: Arc::clone(&self.setup.directory),
            config: self.setup.config.clone(),
            environment: self.setup.environment.clone(),
        }
    }

    fn end_well(&mut self) {
        self.signal(Signal::TERM);
        self.wait();
    }

    fn wait(&mut self) {
        // Its stdout closes when it ends.
        loop {
            match self.stdout.lock().unwrap().recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it did not stop:\n{}", self.log()),
            }
        }
        let status = self.child.wait().unwrap();
        if let Some(reader) = self.log_reader.take() {
            reader.join().unwrap();
        }
        assert!(status.success(), "{status}\n{}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a server whose log is text says on stdout.
fn in_words(line: &str) -> Value {
    match line.strip_prefix("listening on ") {
        Some(url) => json!({ "message": "listening on", "url": url }),
        None => json!({ "message": line }),
    }
}

/// The path of a site, as it was answered.
pub(crate) fn path_of(site: &Value) -> String {
    format!("/api/sites/{}", site["site_id"].as_str().unwrap())
}

/// A site to register, with nothing special about it.
pub(crate) fn new_site() -> Value {
    json!({
        "name": "Trattoria Da Mario",
        "owner_name": "Mario Rossi",
        "contact_email": "mario@example.com",
        "license_expires_at": "2099-12-31T00:00:00Z",
    })
}

//! `sitewarden backup`

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::daemon::{CallError, Target};
use super::{Ended, complain, print};
use crate::outbound::ClientError;
use crate::store::FILE_NAME;
use crate::store::inspect::{self, Report};
use crate::store::restore::{self, RestoreError};

/// Copy the whole database into one file, while the server runs or while it
/// is down
///
/// The file holds everything, the server's secrets too, but for the key that
/// signs logins and the logins that failed; only you can read it. `sitewarden
/// restore` puts it back.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Backup {
    /// The file to write
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace FILE where there is one
    #[arg(long)]
    force: bool,
    /// Where the database lies, for when the server is down [default: as
    /// configured]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
}

impl Backup {
    pub(super) fn run(&self, target: &Target) -> Ended {
        if !self.force && self.file.exists() {
            complain(format!("{} exists already: give --force to replace it", self.file.display()));
            return Ended::Failed;
        }
        let mut part = self.file.clone().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        let report = self.write(target, &part).and_then(|()| {
            let report = inspect::check(&part).map_err(|error| CallError::Setup(error.to_string()))?;
            let directory = self.file.parent().filter(|parent| !parent.as_os_str().is_empty());
            std::fs::rename(&part, &self.file)
                .and_then(|()| File::open(directory.unwrap_or(Path::new(".")))?.sync_all())
                .map_err(|error| cannot_write(&self.file, &error))?;
            Ok(report)
        });
        match report {
            Ok(report) => self.tell(target, &report),
            Err(error) => {
                let _ = std::fs::remove_file(&part);
                error.tell()
            }
        }
    }

    fn write(&self, target: &Target, part: &Path) -> Result<(), CallError> {
        let from_server = download(target, part);
        let Err(CallError::Client(ClientError::Unreachable { .. })) = &from_server else {
            return from_server;
        };
        if target.url.is_some() {
            return from_server;
        }
        // Nobody answers: the server is down, or we may not speak to it. A
        // server that runs holds a lock.
        let database = super::data_dir(target.config.as_deref(), self.data_dir.clone())?.join(FILE_NAME);
        if !database.exists() {
            return from_server;
        }
        restore::copy_at_rest(&database, part).or_else(|error| {
            let not_ours = match &error {
                RestoreError::Running(_) => true,
                RestoreError::Io { path, source } => {
                    *path == database && source.kind() == io::ErrorKind::PermissionDenied
                }
                RestoreError::Check(_) => false,
            };
            // Who may not read the file is to be let in by the server.
            if not_ours { from_server } else { Err(CallError::Setup(error.to_string())) }
        })
    }

    fn tell(&self, target: &Target, report: &Report) -> Ended {
        let path = self.file.display();
        if target.json {
            return print(&format!("{}\n", json!({ "file": self.file, "bytes": report.bytes })));
        }
        let sites = report.counts.iter().find(|(name, _)| *name == "sites").map_or(0, |(_, count)| *count);
        print(&format!("{path}: {} bytes, {sites} sites, checked\n", report.bytes))
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> CallError {
    CallError::Setup(format!("cannot write {}: {error}", path.display()))
}

/// Takes the backup that the running server makes.
fn download(target: &Target, part: &Path) -> Result<(), CallError> {
    let daemon = target.daemon()?;
    let mut file: Option<File> = None;
    let mut progress = Progress::default();
    daemon.download("/api/backup", |bytes, whole| {
        let file = match &mut file {
            Some(file) => file,
            None => {
                let created = File::options().write(true).create(true).truncate(true).mode(0o600).open(part);
                file.insert(created.map_err(|error| cannot_write(part, &error))?)
            }
        };
        file.write_all(bytes).map_err(|error| cannot_write(part, &error))?;
        progress.add(bytes.len() as u64, whole);
        Ok(())
    })?;
    progress.end();
    match file {
        Some(file) => file.sync_all().map_err(|error| cannot_write(part, &error)),
        None => Err(CallError::Setup("the server sent an empty backup".to_owned())),
    }
}

/// How much has come, for the person who looks on.
#[derive(Default)]
struct Progress {
    done: u64,
    shown: Option<u64>,
}

impl Progress {
    /// Shows whole percents; nothing where nobody looks on.
    #[expect(clippy::print_stderr, reason = "progress for the person at the terminal")]
    fn add(&mut self, bytes: u64, whole: Option<u64>) {
        self.done += bytes;
        let percent = whole.filter(|&whole| whole > 0).map(|whole| self.done.saturating_mul(100) / whole);
        if percent != self.shown && io::stderr().is_terminal() {
            self.shown = percent;
            eprint!("\r{:>3} % of {} bytes", percent.unwrap_or(0), whole.unwrap_or(0));
        }
    }

    #[expect(clippy::print_stderr, reason = "progress for the person at the terminal")]
    fn end(&self) {
        if self.shown.is_some() {
            eprint!("\r{:40}\r", "");
        }
    }
}

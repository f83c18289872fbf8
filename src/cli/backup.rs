//! `sitewarden backup`

use std::fs::File;
use std::io::{self, IsTerminal, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::client::{Target, no_database};
use super::error::CommandError;
use super::host;
use super::progress::Download;
use super::screen::{Ended, complain, print, print_json};
use crate::outbound::ClientError;
use crate::store::FILE_NAME;
use crate::store::inspect::{self, Report};
use crate::store::restore::{self, RestoreError};

/// How a database begins (redb's file format).
const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";

// Its help stands at the command, where the flags for the server join it.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Backup {
    /// The file to write, or - for standard output
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
        if self.file == Path::new("-") {
            return self.print(target).map_or_else(|error| error.tell(), |()| Ended::Done);
        }
        if let Err(reason) = self.check_place() {
            complain(reason);
            return Ended::Failed;
        }
        let mut part = self.file.clone().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        let report = self.write(target, &part).and_then(|copy| {
            let report =
                inspect::check_open(&copy, &part).map_err(|error| CommandError::Failed(error.to_string()))?;
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

    /// Refuses a place where no backup can be put, or where one would take the
    /// place of something else.
    fn check_place(&self) -> Result<(), String> {
        let file = self.file.display();
        // Never replaced by a file: other programs write there.
        if self.file.starts_with("/dev") && !self.file.starts_with("/dev/shm") {
            return Err(format!("{file} is a device: give - to write to standard output"));
        }
        match self.file.metadata() {
            Ok(there) if there.is_dir() => Err(format!(
                "{file} is a directory: name the file to write, such as {}",
                self.file.join(FILE_NAME).display()
            )),
            Ok(there) if !there.is_file() => {
                Err(format!("{file} is no regular file: give - to write to standard output"))
            }
            Ok(_) if !self.force => Err(format!("{file} exists already: give --force to replace it")),
            _ => Ok(()),
        }
    }

    /// To standard output, as it comes.
    fn print(&self, target: &Target) -> Result<(), CommandError> {
        let usage = |words: &str| Err(CommandError::Usage(words.to_owned()));
        if target.json {
            return usage("--json and - both want standard output: give one of them");
        }
        if io::stdout().is_terminal() {
            return usage("a backup is no text for a terminal: redirect standard output, or name a file");
        }
        let mut out = io::stdout().lock();
        let broken =
            |error: io::Error| CommandError::Failed(format!("cannot write to standard output: {error}"));
        let from_server = self.download(target, |bytes| out.write_all(bytes).map_err(broken));
        let Err(refusal) = from_server else {
            return out.flush().map_err(broken);
        };
        let database = self.database_at_rest(target, &refusal)?;
        let Some(database) = database else { return Err(refusal) };
        let room = PrivateRoom::new()?;
        let part = room.0.join(FILE_NAME);
        let mut copy = copy_at_rest(&database, &part, refusal)?;
        inspect::check_open(&copy, &part).map_err(|error| CommandError::Failed(error.to_string()))?;
        copy.rewind().map_err(broken)?;
        io::copy(&mut copy, &mut out).and_then(|_| out.flush()).map_err(broken)
    }

    fn write(&self, target: &Target, part: &Path) -> Result<File, CommandError> {
        let mut file: Option<File> = None;
        let from_server = self.download(target, |bytes| {
            let file = match &mut file {
                Some(file) => file,
                None => file.insert(restore::create(part).map_err(|error| cannot_write(part, &error))?),
            };
            file.write_all(bytes).map_err(|error| cannot_write(part, &error))
        });
        match (from_server, file) {
            (Ok(()), Some(file)) => {
                file.sync_all().map_err(|error| cannot_write(part, &error))?;
                Ok(file)
            }
            (Ok(()), None) => Err(empty()),
            (Err(refusal), _) => match self.database_at_rest(target, &refusal)? {
                Some(database) => copy_at_rest(&database, part, refusal),
                None => Err(refusal),
            },
        }
    }

    /// The database on this host, where nobody answers: the server is down, or
    /// we may not speak to it. A server that runs holds a lock.
    fn database_at_rest(
        &self,
        target: &Target,
        refusal: &CommandError,
    ) -> Result<Option<PathBuf>, CommandError> {
        if !matches!(refusal, CommandError::Client(ClientError::Unreachable { .. })) {
            return Ok(None);
        }
        if target.url(self.data_dir.as_deref()).is_some() {
            return Ok(None);
        }
        let directory = host::data_dir(target.config.as_deref(), self.data_dir.clone())?;
        let database = directory.join(FILE_NAME);
        match database.exists() {
            true => Ok(Some(database)),
            false if self.data_dir.is_some() => Err(no_database(&directory)),
            false => Ok(None),
        }
    }

    /// Takes the backup that the running server makes.
    fn download(
        &self,
        target: &Target,
        mut take: impl FnMut(&[u8]) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let client = target.client_of(self.data_dir.as_deref())?;
        let mut progress = Download::default();
        client.download("/api/backup", MAGIC, |bytes, whole| {
            take(bytes)?;
            progress.add(bytes.len() as u64, whole);
            Ok(())
        })?;
        progress.end();
        match progress.bytes() {
            0 => Err(empty()),
            _ => Ok(()),
        }
    }

    fn tell(&self, target: &Target, report: &Report) -> Ended {
        let path = self.file.display();
        if target.json {
            return print_json(&json!({ "file": self.file, "bytes": report.bytes }));
        }
        let sites = report.counts.iter().find(|(name, _)| *name == "sites").map_or(0, |(_, count)| *count);
        print(&format!("{path}: {} bytes, {sites} sites, checked\n", report.bytes))
    }
}

fn empty() -> CommandError {
    CommandError::Failed("the server sent an empty backup".to_owned())
}

fn cannot_write(path: &Path, error: &io::Error) -> CommandError {
    CommandError::Failed(format!("cannot write {}: {error}", path.display()))
}

/// Copies the database of a server that is down; `refusal` is why the server
/// was not asked, which is told where the copy is not ours to make.
fn copy_at_rest(database: &Path, part: &Path, refusal: CommandError) -> Result<File, CommandError> {
    restore::copy_at_rest(database, part).map_err(|error| {
        let not_ours = match &error {
            RestoreError::Running(_) => true,
            RestoreError::Io { path, source } => {
                path == database && source.kind() == io::ErrorKind::PermissionDenied
            }
            RestoreError::Check(_) => false,
        };
        // Who may not read the file is to be let in by the server.
        if not_ours { refusal } else { CommandError::Failed(error.to_string()) }
    })
}

/// A directory for a copy that is only passed on. Goes when dropped.
struct PrivateRoom(PathBuf);

impl PrivateRoom {
    fn new() -> Result<Self, CommandError> {
        let path = std::env::temp_dir().join(format!("sitewarden-backup-{}", Uuid::new_v4()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map(|()| Self(path.clone()))
            .map_err(|error| CommandError::Failed(format!("cannot make {}: {error}", path.display())))
    }
}

impl Drop for PrivateRoom {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

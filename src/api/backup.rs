//! A backup over the wire.

use std::fs::File;
use std::io;
use std::sync::Arc;

use poem::Body;
use poem::web::Data;
use poem_openapi::payload::Binary;
use poem_openapi::{ApiResponse, OpenApi};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::io::ReaderStream;

use super::app::App;
use super::authority::Authority;
use super::problem::{Failure, Problem, failure};
use super::scope;
use super::tag::Group;
use crate::clock::now;

/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// A backup.
#[derive(ApiResponse)]
enum BackupAnswer {
    /// The database as it was when it was asked for, as one file.
    #[oai(status = 200)]
    Backup(
        Binary<Body>,
        /// Proposes a dated file name.
        #[oai(header = "Content-Disposition")]
        String,
        /// Bytes of the file.
        #[oai(header = "Content-Length")]
        u64,
    ),
}

/// The route `/api/backup`.
pub struct BackupApi;

#[OpenApi(prefix_path = "/api/backup", tag = "Group::Backup")]
impl BackupApi {
    /// Take a backup
    ///
    /// Everything that the server keeps, as of this moment and while it goes
    /// on working: one file, which `sitewarden restore` or a plain copy puts
    /// in place. It holds the server's secrets, but for the key that signs
    /// access tokens: a server on which it is put makes its own, and logins
    /// end. One at a time: 503 while another is under way. Who took it is in
    /// the audit trail.
    #[oai(path = "/", method = "get", operation_id = "get_backup")]
    async fn get(
        &self,
        admin: Authority<scope::Backup>,
        app: Data<&Arc<App>>,
    ) -> Result<BackupAnswer, Failure<{ failure::SYSADMIN }>> {
        admin.with_recent_code(&app).await?;
        let turn = Arc::clone(&app.backup_turn.0).try_acquire_owned();
        let turn = turn.map_err(|_| Problem::another_backup())?;
        let (file, bytes) = app.store.snapshot(&app.data_dir).await.map_err(Problem::from)?;
        let actor = admin.actor();
        if let Err(error) = app.store.record_backup(actor.clone(), now()).await {
            // Where the disk fails, a backup is what is needed most.
            let ip = actor.ip.map(|ip| ip.to_string());
            tracing::error!(%error, admin = actor.name, ip, "a backup was taken, which is not in the audit trail");
        }
        let name = format!("attachment; filename=\"sitewarden-{}.redb\"", now().to_string().replace(':', ""));
        Ok(BackupAnswer::Backup(Binary(stream(file, turn)), name, bytes))
    }
}

/// The file from its beginning; the next one's turn comes when it has been
/// sent or given up.
fn stream(file: File, turn: OwnedSemaphorePermit) -> Body {
    let file = Reading { file: tokio::fs::File::from_std(file), _turn: turn };
    Body::from_bytes_stream(ReaderStream::with_capacity(file, CHUNK))
}

struct Reading {
    file: tokio::fs::File,
    _turn: OwnedSemaphorePermit,
}

impl tokio::io::AsyncRead for Reading {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.file).poll_read(context, buffer)
    }
}

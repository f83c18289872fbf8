//! The end of a connection on which nothing is left to be answered, and time
//! limits without which it would not come.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// For a client to take the end of a connection on which there is no request.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);
/// Bytes that are still read before a connection is cut whose client has been told
/// why.
const UNWANTED_BYTES: u64 = 64 << 10;

/// Sends a last word and waits for the end of what the client sends: bytes that
/// were not read would make the system drop it.
pub(super) async fn part<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
    word: &[u8],
) -> std::io::Result<()> {
    socket.write_all(word).await?;
    socket.shutdown().await?;
    tokio::io::copy(&mut socket.take(UNWANTED_BYTES), &mut tokio::io::sink()).await.map(|_| ())
}

/// Waits for `work`, at most `limit`; `None` when the time was not enough.
pub(super) async fn limited<T>(limit: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, work).await.ok(),
        None => Some(work.await),
    }
}

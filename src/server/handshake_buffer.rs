//! A socket under TLS that sends what ends a handshake together with what
//! comes after it.
//!
//! The server's last word in a TLS 1.3 handshake is a session ticket, which
//! no client waits for. Sent by itself it costs a call of the system and a
//! packet for each connection (docs/measurements/what-helped.md). So what is
//! written during a handshake is held back until the client has to say
//! something or until the next write; after it, the ticket waits for the first
//! answer, unless there is no request to be answered.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::patience::Activity;

/// The socket.
pub(super) struct HandshakeBuffer<S> {
    socket: S,
    held: Vec<u8>,
    /// `None` during the handshake.
    activity: Option<Arc<Activity>>,
}

impl<S: AsyncWrite + Unpin> HandshakeBuffer<S> {
    /// `socket` before its handshake.
    pub(super) fn new(socket: S) -> Self {
        Self { socket, held: Vec::new(), activity: None }
    }

    /// The handshake is over; `activity` tells of requests from now on.
    pub(super) fn shaken(&mut self, activity: Arc<Activity>) {
        self.activity = Some(activity);
    }

    /// Sends what was held.
    fn release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let sent = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.held))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.drain(..sent.min(self.held.len()));
        }
        // Its room is not needed again.
        self.held = Vec::new();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for HandshakeBuffer<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        // The client may be waiting for us.
        let waits = self.activity.as_ref().is_none_or(|activity| activity.rests());
        if read.is_pending() && !self.held.is_empty() && waits {
            // When the socket is full, what is polled next wakes for both.
            if let Poll::Ready(Err(error)) = self.release(cx) {
                return Poll::Ready(Err(error));
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HandshakeBuffer<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.activity.is_none() {
            bufs.iter().for_each(|buf| self.held.extend_from_slice(buf));
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        if self.held.is_empty() {
            return Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        }
        let held = std::mem::take(&mut self.held);
        let all: Vec<_> = std::iter::once(IoSlice::new(&held)).chain(bufs.iter().copied()).collect();
        let sent = Pin::new(&mut self.socket).poll_write_vectored(cx, &all);
        match sent {
            Poll::Ready(Ok(sent)) if sent > held.len() => Poll::Ready(Ok(sent - held.len())),
            Poll::Ready(Ok(sent)) => {
                self.held = held.get(sent..).unwrap_or_default().to_vec();
                // None of `bufs` was taken: on with what is left.
                ready!(self.release(cx))?;
                Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
            }
            other => {
                self.held = held;
                other
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.activity.is_none() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.release(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.release(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    fn pair() -> (HandshakeBuffer<DuplexStream>, DuplexStream, Arc<Activity>) {
        let (ours, theirs) = tokio::io::duplex(8);
        let activity = Activity::new(false);
        (HandshakeBuffer::new(ours), theirs, activity)
    }

    /// Reads once without waiting: `None` when there is nothing.
    async fn seen(theirs: &mut DuplexStream) -> Option<String> {
        let mut bytes = [0; 100];
        let read = futures_poll(theirs.read(&mut bytes)).await?;
        Some(String::from_utf8(bytes[..read.unwrap()].to_vec()).unwrap())
    }

    async fn futures_poll<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    #[tokio::test]
    async fn in_a_handshake_what_is_written_goes_when_the_client_is_waited_for() {
        let (mut held, mut theirs, _activity) = pair();
        held.write_all(b"hello").await.unwrap();
        held.flush().await.unwrap();
        assert_eq!(seen(&mut theirs).await, None);
        assert!(futures_poll(held.read(&mut [0; 8])).await.is_none());
        assert_eq!(seen(&mut theirs).await.unwrap(), "hello");
    }

    #[tokio::test]
    async fn a_ticket_goes_with_the_first_answer_in_full_though_the_socket_takes_a_part() {
        let (mut held, mut theirs, activity) = pair();
        held.write_all(b"ticket").await.unwrap();
        held.shaken(Arc::clone(&activity));
        let request = super::super::patience::Request::begin(&activity);
        assert!(futures_poll(held.read(&mut [0; 8])).await.is_none());
        assert_eq!(seen(&mut theirs).await, None, "there is a request to answer");
        let writer = tokio::spawn(async move {
            held.write_all(b"answer").await.unwrap();
            held.shutdown().await.unwrap();
        });
        let mut all = String::new();
        theirs.read_to_string(&mut all).await.unwrap();
        writer.await.unwrap();
        assert_eq!(all, "ticketanswer");
        drop(request);
    }

    #[tokio::test]
    async fn a_ticket_goes_by_itself_where_no_request_comes() {
        let (mut held, mut theirs, activity) = pair();
        held.write_all(b"ticket").await.unwrap();
        held.shaken(Arc::clone(&activity));
        assert!(futures_poll(held.read(&mut [0; 8])).await.is_none());
        assert_eq!(seen(&mut theirs).await.unwrap(), "ticket");
        held.write_all(b"next").await.unwrap();
        assert_eq!(seen(&mut theirs).await.unwrap(), "next");
    }
}

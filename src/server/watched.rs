//! A socket that notes what is read and written, so that a connection's
//! [`Activity`] tells how long its client takes, and that stops at a head that
//! is refused before hyper has it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head::HeadScan;
use super::patience::{Activity, Bad};

/// A socket whose reads and writes are noted.
pub(super) struct Watched<S> {
    socket: S,
    activity: Arc<Activity>,
    head: HeadScan,
}

impl<S> Watched<S> {
    /// Notes what `socket` does in `activity`.
    pub(super) fn new(socket: S, activity: Arc<Activity>) -> Self {
        Self { socket, activity, head: HeadScan::default() }
    }

    /// The socket.
    pub(super) fn into_inner(self) -> S {
        self.socket
    }

    /// The end of what is read, behind a head that was refused: it never gets
    /// to hyper. A request before it is answered first.
    fn refused(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if self.activity.is_busy_before_fault(cx) {
            return Poll::Pending;
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a bad request head")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.activity.bad().is_some() {
            return self.refused(cx);
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        let Some(read) = buf.filled().get(before..).filter(|read| !read.is_empty()) else {
            return Poll::Ready(Ok(()));
        };
        self.activity.read();
        if self.activity.is_multiplexed() {
            return Poll::Ready(Ok(()));
        }
        let Err(refused) = self.head.scan(read) else {
            return Poll::Ready(Ok(()));
        };
        self.activity.refuse(Bad { fault: refused.fault, in_body: refused.good.is_none() });
        match refused.good {
            Some(0) => {
                buf.set_filled(before);
                self.refused(cx)
            }
            Some(good) => {
                buf.set_filled(before + good);
                Poll::Ready(Ok(()))
            }
            // Within a body, whose reader has to fail.
            None => Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a bad line in a body"))),
        }
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) => self.activity.wrote(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.activity.blocked(),
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        match &flushed {
            Poll::Ready(_) => self.activity.flushed(),
            Poll::Pending => self.activity.blocked(),
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper is done with it, and the answer to a bad head is not.
        if self.activity.bad().is_some_and(|bad| !bad.in_body) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

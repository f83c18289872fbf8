//! One connection, from the handshake to its end.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::admission::Place;
use super::door::Door;
use super::handshake::{Shaken, shake};
use super::parting::{FAREWELL, limited, part};
use super::protocol::speak;
use super::tls::ACME_TLS;

/// For who speaks plain HTTP to the TLS port.
const USE_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 34\r\nConnection: close\r\n\r\nThis port speaks HTTPS: use https\n";

/// Serves a connection to its end. It holds its place until then.
pub(super) async fn serve(door: Arc<Door>, socket: TcpStream, remote: SocketAddr, place: Place) {
    if door.proxies_only && !door.proxies.trust(remote.ip()) && !remote.ip().is_loopback() {
        tracing::debug!(%remote, "closed: not a listed proxy, and tls.mode is off");
        return;
    }
    let activity = &place.activity;
    let Some(acceptor) = &door.acceptor else {
        speak(&door, socket, remote, activity, false).await;
        return;
    };
    let handshake = limited(door.limits.handshake, shake(acceptor, socket));
    let shaken = tokio::select! {
        shaken = handshake => shaken,
        () = activity.dismissed() => {
            tracing::debug!(%remote, "closed in its TLS handshake: its place was needed");
            return;
        }
    };
    match shaken {
        None => tracing::debug!(%remote, "closed: the TLS handshake took too long"),
        // An ACME server has seen what it came for (RFC 8737, section 3).
        Some(Shaken::Tls(mut stream)) if stream.get_ref().1.alpn_protocol() == Some(ACME_TLS) => {
            let _ = limited(Some(FAREWELL), stream.shutdown()).await;
        }
        Some(Shaken::Tls(mut stream)) => {
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            activity.shaken(h2);
            stream.get_mut().0.shaken(Arc::clone(activity));
            speak(&door, *stream, remote, activity, h2).await;
        }
        Some(Shaken::Plain(mut socket)) => {
            tracing::debug!(%remote, "closed: plain HTTP on the TLS port");
            let _ = limited(Some(FAREWELL), part(&mut socket, USE_HTTPS)).await;
        }
        Some(Shaken::Failed(error, mut socket)) => {
            tracing::debug!(%remote, %error, "the TLS handshake failed");
            // With the alert that says why (RFC 8446, section 6.2), which is
            // in the socket's hands.
            let _ = limited(Some(FAREWELL), part(&mut socket, b"")).await;
        }
        Some(Shaken::Gone(error)) => tracing::debug!(%remote, %error, "the client left before its handshake"),
    }
}

//! The TLS handshake of a connection.

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::handshake_buffer::HandshakeBuffer;

/// Bytes of an answer that wait in the TLS layer of a connection, for a client
/// that reads slowly.
const TLS_BUFFER: usize = 16 << 10;

/// How a handshake ended.
pub(super) enum Shaken {
    /// The client may speak.
    Tls(Box<TlsStream<HandshakeBuffer<TcpStream>>>),
    /// Somebody speaks plain HTTP.
    Plain(TcpStream),
    /// One of us refused the other.
    Failed(std::io::Error, HandshakeBuffer<TcpStream>),
    /// The client left.
    Gone(std::io::Error),
}

/// Takes a handshake, however it ends.
pub(super) async fn shake(acceptor: &TlsAcceptor, socket: TcpStream) -> Shaken {
    // Seen before rustls, whose alert would spoil the answer.
    let mut first = [0];
    match socket.peek(&mut first).await {
        Err(error) => return Shaken::Gone(error),
        Ok(read) if read > 0 && first.iter().all(u8::is_ascii_alphabetic) => return Shaken::Plain(socket),
        Ok(_) => {}
    }
    let bounded = |tls: &mut rustls::ServerConnection| tls.set_buffer_limit(Some(TLS_BUFFER));
    match acceptor.accept_with(HandshakeBuffer::new(socket), bounded).into_fallible().await {
        Ok(stream) => Shaken::Tls(Box::new(stream)),
        Err((error, socket)) => Shaken::Failed(error, socket),
    }
}

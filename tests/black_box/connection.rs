//! Connections, byte by byte: each limit fires, and bad input is refused or the
//! connection is closed, while others are served.

mod admission;
mod handshake;
mod heads;
mod held_bytes;
mod http2;
mod limits;

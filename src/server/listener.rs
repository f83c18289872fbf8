//! Listening sockets and the loop that accepts.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::admission::TooMany;
use super::connection;
use super::door::Door;
use super::error::StartError;
use crate::domain::Network;
use crate::metrics::Throttle;

/// Connections that may wait to be accepted; the system caps it at
/// `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Bytes of an answer that wait in the system for a client that reads slowly,
/// beside what is on its way: without it they are as many as the socket's
/// buffer can grow to, megabytes for each.
const UNSENT: u32 = 64 << 10;
/// How long `accept` rests when the system has no descriptor or memory left,
/// at first and at most.
const REST: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A bound address.
pub(super) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

/// Binds every address, or none. A connection whose client takes nothing for
/// `write` is given up by the system.
pub(super) fn bind_all(
    addresses: &[SocketAddr],
    write: Option<Duration>,
) -> Result<Vec<Listener>, StartError> {
    addresses.iter().map(|address| Listener::bind(*address, write)).collect()
}

impl Listener {
    fn bind(address: SocketAddr, write: Option<Duration>) -> Result<Self, StartError> {
        let bound = match bind_socket(address, write) {
            // A host without IPv6: "every address" means those that it has.
            Err(error)
                if error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
                    && address.ip().is_unspecified() =>
            {
                bind_socket(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port()), write)
            }
            bound => bound,
        };
        let (socket, address) =
            bound.map_err(|source| StartError::Listen { address, reason: advice(&source, address) })?;
        Ok(Self { socket, address })
    }

    /// The URL that it serves; for "every address" that of this host to
    /// itself.
    pub(super) fn url(&self, scheme: &str) -> String {
        if self.address.ip().is_unspecified() {
            format!("{scheme}://localhost:{}", self.address.port())
        } else {
            format!("{scheme}://{}", self.address)
        }
    }

    /// The port that it got.
    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Accepts until the door is stopping. One that has come waits here for
    /// its place, and all others in the system's queue.
    pub(super) async fn accept_into(self, door: Arc<Door>) {
        let mut rest = REST.0;
        loop {
            let accepted = tokio::select! {
                () = door.stopping.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((socket, remote)) => {
                    rest = REST.0;
                    let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
                    let network = (!door.proxies.trust(remote.ip())).then(|| Network::of(remote.ip()));
                    let place = tokio::select! {
                        () = door.stopping.cancelled() => return,
                        place = door.admission.place(network, |left| door.dismissed(left)) => place,
                    };
                    match place {
                        Ok(place) => {
                            door.connections.spawn(connection::serve(
                                Arc::clone(&door),
                                socket,
                                remote,
                                place,
                            ));
                        }
                        // The socket is closed by being dropped.
                        Err(TooMany) => {
                            door.throttled(Throttle::Connection, 1);
                            tracing::debug!(%remote, "closed: too many connections from this address");
                        }
                    }
                }
                // The client has gone already (accept(2)).
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    if rest == REST.0 {
                        tracing::warn!(%error, "cannot accept connections; trying again");
                    }
                    tokio::time::sleep(rest).await;
                    rest = (rest * 2).min(REST.1);
                }
            }
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

fn bind_socket(address: SocketAddr, write: Option<Duration>) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // A restart must not wait for connections of the last run to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // What connections have from the beginning, without a call for each. All
    // make things better and are nothing to fail for.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_user_timeout(write);
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Refuses an address that this host does not have: at a free port, which is
/// given back at once, so that a server that runs is in nobody's way.
///
/// # Errors
/// [`StartError::Listen`].
pub(super) fn check(address: SocketAddr) -> Result<(), StartError> {
    match std::net::TcpListener::bind(SocketAddr::new(address.ip(), 0)) {
        Err(source) if source.kind() == io::ErrorKind::AddrNotAvailable => {
            Err(StartError::Listen { address, reason: advice(&source, address) })
        }
        _ => Ok(()),
    }
}

fn advice(error: &io::Error, address: SocketAddr) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "the port is in use: stop what uses it (ss -ltnp 'sport = :{}' tells), or set listen",
                address.port()
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!(
                "port {} needs the right to bind low ports (CAP_NET_BIND_SERVICE), or set listen to a port from 1024",
                address.port()
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            "this host has no such address: set listen to one that it has".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Raises the limit on descriptors to what this process may have, and tells
/// it.
pub(super) fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    now.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX)
}

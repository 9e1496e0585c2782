//! The sockets of a listener: bound here, or handed over by the service manager.

use std::{
    fs::{self, Permissions},
    io,
    net::{IpAddr, SocketAddr},
    os::unix::{fs::PermissionsExt as _, net::UnixStream as BlockingUnixStream},
    path::{Path, PathBuf},
    sync::Arc,
};

use listenfd::ListenFd;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

use crate::config::settings::Address;

/// A connection, over TCP or within this machine.
pub(super) type Stream = Either<TcpStream, UnixStream>;

/// One listening socket.
#[derive(Debug)]
pub(super) struct Socket {
    listening: Either<TcpListener, UnixListener>,
    /// What is to be removed with it.
    path: Option<PathBuf>,
}

impl Socket {
    /// Binds a socket of its own; one of the service manager's is not bound here.
    fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Systemd(_) => Err(io::ErrorKind::NotFound.into()),
            Address::Tcp(address) => Ok(Self {
                listening: Either::Left(listen(*address)?),
                path: None,
            }),
            Address::Unix(path) => {
                remove_stale(path);
                let listening = UnixListener::bind(path)?;
                // The documents are for everybody.
                fs::set_permissions(path, Permissions::from_mode(0o666))?;
                Ok(Self {
                    listening: Either::Right(listening),
                    path: Some(path.clone()),
                })
            }
        }
    }

    /// The next connection, and the address it comes from unless that is this machine.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match &self.listening {
            Either::Left(listening) => {
                let (stream, peer) = listening.accept().await?;
                // It fails where the connection has ended already, which is found out soon enough.
                _ = stream.set_nodelay(true);
                Ok((Either::Left(stream), Some(peer.ip().to_canonical())))
            }
            Either::Right(listening) => {
                let (stream, _) = listening.accept().await?;
                Ok((Either::Right(stream), None))
            }
        }
    }

    /// Its IP address and port, with the real port where 0 was asked for.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match &self.listening {
            Either::Left(listening) => listening.local_addr().ok(),
            Either::Right(_) => None,
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // What cannot be removed is found stale by the next one to bind it.
            _ = fs::remove_file(path);
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart need not wait for the connections of before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Removes a socket on which nobody listens: its process was killed.
fn remove_stale(path: &Path) {
    let connected = BlockingUnixStream::connect(path);
    if connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        _ = fs::remove_file(path);
    }
}

/// The sockets at some addresses, by the address that was asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Sockets(Vec<(Address, Arc<Socket>)>);

impl Sockets {
    /// Binds every address, or takes it from those that were handed over. It shares what `present`
    /// has for the same addresses, so that one takes over from the other without anybody being
    /// refused.
    ///
    /// Other addresses are to be chosen with `flag`, which is for errors.
    pub(super) fn open(
        addresses: &[Address],
        flag: &'static str,
        activated: &Activated,
        present: Option<&Self>,
    ) -> Result<Self, BindError> {
        let mut sockets = Vec::with_capacity(addresses.len());
        for address in addresses {
            let found = match address {
                Address::Systemd(name) => activated.named(name),
                Address::Tcp(_) | Address::Unix(_) => {
                    let mut present = present.iter().flat_map(|present| &present.0);
                    let shared = present.find(|(it, _)| it == address);
                    shared
                        .map(|(_, socket)| Arc::clone(socket))
                        .into_iter()
                        .collect()
                }
            };
            if found.is_empty() {
                let bound = Socket::bind(address);
                let bound = bound.map_err(|source| {
                    let advice = match address {
                        Address::Systemd(_) => activated.advice(),
                        Address::Tcp(_) | Address::Unix(_) => advice(&source, flag),
                    };
                    let address = address.clone();
                    BindError {
                        address,
                        advice,
                        source,
                    }
                })?;
                sockets.push((address.clone(), Arc::new(bound)));
            }
            let found = found.into_iter();
            sockets.extend(found.map(|socket| (address.clone(), socket)));
        }
        Ok(Self(sockets))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(Address, Arc<Socket>)> {
        self.0.iter()
    }

    pub(super) fn into_iter(self) -> impl Iterator<Item = (Address, Arc<Socket>)> {
        self.0.into_iter()
    }
}

fn advice(error: &io::Error, flag: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(" (another process has it; stop that one or choose another with {flag})")
        }
        io::ErrorKind::AddrNotAvailable => " (this host has no such address)".to_owned(),
        io::ErrorKind::PermissionDenied => {
            " (ports below 1024 need a socket unit or CAP_NET_BIND_SERVICE)".to_owned()
        }
        _ => String::new(),
    }
}

/// Why nothing can listen at an address.
#[derive(Debug, Error)]
#[error("could not listen on {address}{advice}")]
pub struct BindError {
    address: Address,
    /// What to do, in brackets.
    advice: String,
    source: io::Error,
}

impl BindError {
    /// Whether another process may give the address back.
    pub fn may_pass(&self) -> bool {
        self.source.kind() != io::ErrorKind::PermissionDenied
    }
}

/// The sockets that the service manager has handed over (`sd_listen_fds_with_names(3)`).
#[derive(Clone, Debug, Default)]
pub struct Activated(Vec<(String, Arc<Socket>)>);

impl Activated {
    /// Takes the sockets that this process was started with, if any. Once in a process.
    ///
    /// # Errors
    ///
    /// When one of them is no listening stream socket, or the environment contradicts itself.
    pub fn from_env() -> io::Result<Self> {
        let names = sd_notify::listen_fds_with_names()?.map(|(_, name)| name);
        let names: Vec<_> = names.collect();
        if names.is_empty() {
            return Ok(Self::default());
        }
        let mut handed_over = ListenFd::from_env();
        let sockets = names.into_iter().enumerate().map(|(number, name)| {
            let socket = take(&mut handed_over, number)?;
            Ok((name, Arc::new(socket)))
        });
        sockets.collect::<io::Result<_>>().map(Self)
    }

    /// Those of one name.
    fn named(&self, name: &str) -> Vec<Arc<Socket>> {
        let named = self.0.iter().filter(|(it, _)| it == name);
        named.map(|(_, socket)| Arc::clone(socket)).collect()
    }

    /// Why one may not be there, in brackets.
    fn advice(&self) -> String {
        let names: Vec<_> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        if names.is_empty() {
            return " (no socket was handed over: start the socket unit, not the service)"
                .to_owned();
        }
        let names = names.join(", ");
        format!(" (the sockets that were handed over are named {names})")
    }
}

fn take(handed_over: &mut ListenFd, number: usize) -> io::Result<Socket> {
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let listening = if let Ok(tcp) = handed_over.take_tcp_listener(number) {
        let tcp = tcp.ok_or_else(missing)?;
        tcp.set_nonblocking(true)?;
        Either::Left(TcpListener::from_std(tcp)?)
    } else {
        let unix = handed_over.take_unix_listener(number)?;
        let unix = unix.ok_or_else(missing)?;
        unix.set_nonblocking(true)?;
        Either::Right(UnixListener::from_std(unix)?)
    };
    Ok(Socket {
        listening,
        path: None,
    })
}

/// Connections that wait to be accepted; the kernel may allow fewer (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

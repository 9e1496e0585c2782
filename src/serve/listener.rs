//! Accepting connections, for as long as the process lives.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::ServerConfig;
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, error, warn};

use super::{
    Routes,
    connection::Shared,
    tls::{self, TlsError},
};
use crate::{accept::is_peers_fault, config::settings};

/// The bound sockets of a process, and how to answer on them.
#[derive(Clone, Debug)]
pub struct Listener {
    /// By the address that was asked for.
    sockets: Vec<(SocketAddr, Arc<TcpListener>)>,
    tls: Option<Arc<ServerConfig>>,
    settings: settings::Serve,
}

impl Listener {
    /// Loads the certificate and binds every address.
    ///
    /// # Errors
    ///
    /// [`ServeError`] when the certificate is unusable or an address is not to be had.
    pub async fn bind(settings: settings::Serve) -> Result<Self, ServeError> {
        Self::bind_beside(settings, None).await
    }

    /// As [`bind`](Self::bind), sharing the sockets that `present` has for the same addresses, so
    /// that one takes over from the other without anybody being refused.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind); `present` is as it was.
    pub async fn bind_beside(
        settings: settings::Serve,
        present: Option<&Self>,
    ) -> Result<Self, ServeError> {
        let tls = settings.tls.as_ref().map(tls::load).transpose()?;
        let mut sockets = Vec::with_capacity(settings.listen.len());
        for address in &settings.listen {
            let mut shared = present.iter().flat_map(|present| &present.sockets);
            let socket = match shared.find(|(shared, _)| shared == address) {
                Some((_, socket)) => Arc::clone(socket),
                None => {
                    let bound = TcpListener::bind(address).await;
                    Arc::new(bound.map_err(|source| ServeError::Bind {
                        address: *address,
                        source,
                    })?)
                }
            };
            sockets.push((*address, socket));
        }
        Ok(Self {
            sockets,
            tls,
            settings,
        })
    }

    /// The addresses bound, in the order configured; with real ports where 0 was asked for.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets
            .iter()
            .filter_map(|(_, socket)| socket.local_addr().ok())
            .collect()
    }

    /// Whether it speaks plain HTTP.
    pub fn is_plain(&self) -> bool {
        self.tls.is_none()
    }

    /// Serves what `routes` holds at each moment until one of `ends` comes.
    pub async fn run(self, routes: watch::Receiver<Arc<Routes>>, ends: Ends) {
        let grace = self.settings.shutdown_grace;
        let acceptor = Acceptor {
            shared: Arc::new(Shared::new(routes, &self.settings)),
            tls: self.tls.map(TlsAcceptor::from),
            permits: Arc::new(Semaphore::new(self.settings.max_connections)),
            ends: ends.clone(),
        };
        let accepting = self
            .sockets
            .into_iter()
            .map(|(_, socket)| acceptor.clone().accept(socket));
        let connections = futures_util::future::join_all(accepting).await;
        let ended = connections.into_iter().map(JoinSet::join_all);
        let mut ended = std::pin::pin!(futures_util::future::join_all(ended));
        let mut stop = ends.stop;
        tokio::select! {
            _ = &mut ended => return,
            _ = stop.wait_for(|stop| *stop) => {}
        }
        if timeout(grace, ended).await.is_err() {
            warn!(
                ?grace,
                "connections were cut: they outlasted the grace period"
            );
        }
    }
}

/// The two ends of a listener.
#[derive(Clone, Debug)]
pub struct Ends {
    /// When it becomes true another listener takes over: no more connections are accepted here,
    /// and those that are open go on for as long as they would.
    pub handed_over: watch::Receiver<bool>,
    /// When it becomes true the process ends: requests in flight are finished.
    pub stop: watch::Receiver<bool>,
}

impl Ends {
    /// Waits for the first of them. When nobody can say so any more the process is ending.
    async fn either(&mut self) {
        tokio::select! {
            _ = self.handed_over.wait_for(|end| *end) => {}
            _ = self.stop.wait_for(|end| *end) => {}
        }
    }
}

#[derive(Clone)]
struct Acceptor {
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    permits: Arc<Semaphore>,
    ends: Ends,
}

impl Acceptor {
    /// Accepts until told to end; gives back the connections that are still open.
    async fn accept(mut self, socket: Arc<TcpListener>) -> JoinSet<()> {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                Some(_) = connections.join_next() => continue,
                () = self.ends.either() => return connections,
            };
            match accepted {
                Ok((stream, _)) => {
                    // At the limit one accepted connection waits here and the others in the kernel.
                    let permit = tokio::select! {
                        permit = Arc::clone(&self.permits).acquire_owned() => permit,
                        _ = self.ends.stop.wait_for(|stop| *stop) => return connections,
                    };
                    let connection = self.clone();
                    connections.spawn(async move {
                        connection.serve(stream).await;
                        drop(permit);
                    });
                }
                Err(error) if is_peers_fault(&error) => {
                    debug!(%error, "a connection was not accepted");
                }
                Err(error) => {
                    error!(%error, "no connection can be accepted; raise the limit of open files (LimitNOFILE)");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(self, stream: TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "a connection ended before it began");
        }
        self.shared
            .serve(stream, self.tls.as_ref(), self.ends.stop)
            .await;
    }
}

/// Why nothing can be served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is not to be had.
    #[error("could not listen on {address}{}", advice(.source))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            " (another process has it; stop that one or choose another with --listen)"
        }
        io::ErrorKind::AddrNotAvailable => " (this host has no such address)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need CAP_NET_BIND_SERVICE)",
        _ => "",
    }
}

/// How long to wait for descriptors to come free: also bounds how often that is logged.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

//! Accepting connections, for as long as the process lives.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use thiserror::Error;
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use super::{
    Activated, Counters, Routes,
    certificates::{CertificateStatus, Certificates, TlsError},
    connection::{Peer, Shared},
    counters::Tally,
    crowd::Crowd,
    socket::{BindError, Socket, Sockets, Stream},
};
use crate::{accept, config::settings};

/// The bound sockets of a process, and how to answer on them.
#[derive(Clone, Debug)]
pub struct Listener {
    sockets: Sockets,
    certificates: Option<Certificates>,
    crowd: Arc<Crowd>,
    settings: settings::Serve,
}

impl Listener {
    /// Loads the certificates and binds every address, or takes it from those that were handed
    /// over. It shares the sockets that `present` has for the same addresses, so that one takes
    /// over from the other without anybody being refused.
    ///
    /// # Errors
    ///
    /// [`ServeError`] when the certificate is unusable or an address is not to be had; `present`
    /// is as it was.
    pub async fn bind(
        settings: settings::Serve,
        activated: &Activated,
        present: Option<&Self>,
    ) -> Result<Self, ServeError> {
        let certificates = match &settings.tls {
            Some(tls) => {
                let present = present.and_then(|present| present.certificates.as_ref());
                Some(Certificates::open(tls, activated, present).await?)
            }
            None => None,
        };
        let sockets = present.map(|present| &present.sockets);
        let sockets = Sockets::open(&settings.listen, "--listen", activated, sockets)?;
        // Connections of before count, so that a reload doubles nobody's share.
        let crowd = present.map(|present| &present.crowd);
        let crowd = crowd.filter(|crowd| crowd.has(&settings.limits));
        Ok(Self {
            sockets,
            certificates,
            crowd: crowd.map_or_else(|| Arc::new(Crowd::new(&settings.limits)), Arc::clone),
            settings,
        })
    }

    /// The addresses bound, in the order configured; with real ports where 0 was asked for.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let sockets = self.sockets.iter();
        sockets.filter_map(|(_, socket)| socket.address()).collect()
    }

    /// The addresses in words, in the order configured.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let sockets = self.sockets.iter();
        sockets.map(|(address, socket)| match socket.address() {
            Some(bound) => bound.to_string(),
            None => address.to_string(),
        })
    }

    /// Whether it speaks plain HTTP.
    pub fn is_plain(&self) -> bool {
        self.certificates.is_none()
    }

    /// How the certificates are; `None` for plain HTTP.
    pub fn certificates(&self) -> Option<watch::Receiver<Arc<Vec<CertificateStatus>>>> {
        self.certificates.as_ref().map(Certificates::statuses)
    }

    /// Keeps the certificates fresh, for ever; `None` for plain HTTP. May be cut at any moment.
    pub fn keep_certificates(&self) -> Option<impl Future<Output = ()> + use<>> {
        self.certificates.clone().map(Certificates::keep)
    }

    /// Serves what `routes` holds at each moment until one of `ends` comes.
    pub async fn run(
        self,
        routes: watch::Receiver<Arc<Routes>>,
        counters: Counters,
        mut ends: Ends,
    ) {
        let grace = self.settings.shutdown_grace;
        let door = Door {
            shared: Arc::new(Shared::new(routes, &self.settings)),
            tls: self.certificates.map(|it| TlsAcceptor::from(it.config())),
            crowd: Arc::clone(&self.crowd),
        };
        let mut accepting = JoinSet::new();
        // Each goes with its loop, so that nobody connects in vain to a process that ends.
        for (address, socket) in self.sockets.into_iter() {
            let tally = Arc::new(counters.of(&address.to_string()));
            accepting.spawn(door.clone().accept(socket, tally, ends.clone()));
        }
        let mut ended = std::pin::pin!(accepting.join_all());
        tokio::select! {
            _ = &mut ended => return,
            () = ends.stopped() => {}
        }
        self.crowd.end();
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

    async fn stopped(&mut self) {
        _ = self.stop.wait_for(|end| *end).await;
    }
}

/// What all sockets of a listener share.
#[derive(Clone)]
struct Door {
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    crowd: Arc<Crowd>,
}

impl Door {
    /// Accepts on one socket until told to end, and then until the last connection has ended.
    async fn accept(self, socket: Arc<Socket>, tally: Arc<Tally>, mut ends: Ends) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                Some(_) = connections.join_next() => continue,
                () = ends.either() => break,
            };
            match accepted {
                Ok((stream, client)) => {
                    let permit = tokio::select! {
                        permit = self.crowd.permit() => permit,
                        () = ends.stopped() => break,
                    };
                    let (door, tally) = (self.clone(), Arc::clone(&tally));
                    connections.spawn(async move {
                        door.serve(stream, client, tally).await;
                        drop(permit);
                    });
                }
                Err(error) => accept::failed(&error, "").await,
            }
        }
        // With it goes this listener's share of the socket.
        drop(socket);
        connections.join_all().await;
    }

    async fn serve(self, mut stream: Stream, mut client: Option<IpAddr>, tally: Arc<Tally>) {
        let _open = tally.connected();
        if self.shared.speaks_proxy() {
            match self.shared.proxied(&mut stream).await {
                // A load balancer that asks on its own behalf is nobody's client.
                Ok(proxied) => client = proxied,
                Err(error) => {
                    tally.not_proxied.inc();
                    return debug!(%error, "a connection does not begin with a header of the PROXY protocol");
                }
            }
        }
        let Some(_place) = self.crowd.admit(client) else {
            tally.crowded_out.inc();
            return debug!("a client has more connections than one address may have");
        };
        let peer = Peer {
            address: client,
            mood: self.crowd.mood(),
            tally,
        };
        self.shared.serve(stream, self.tls.as_ref(), peer).await;
    }
}

/// Why nothing can be served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An address is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

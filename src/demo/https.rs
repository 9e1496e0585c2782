//! A small HTTPS server for loopback: HTTP/1.1 and HTTP/2, ends when it is dropped.
//!
//! It is not what the mirror serves with: it knows no limit but the handshake's.

use std::{
    error::Error,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use rustls::{ServerConfig, crypto::aws_lc_rs, server::VerifierBuilderError};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::{Authority, Certificate};
use crate::Report;

/// A server on one listener; dropping it closes the listener and every connection.
#[derive(Debug)]
pub struct Https {
    accepting: JoinSet<()>,
}

impl Https {
    /// Serves every request on `listener` with what `answer` returns; an error of `answer` closes
    /// the connection without an answer.
    pub fn start<A, F, B, E>(listener: TcpListener, tls: ServerConfig, answer: A) -> Self
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Result<Response<B>, E>> + Send + 'static,
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                while connections.try_join_next().is_some() {}
                match listener.accept().await {
                    Ok((stream, _)) => {
                        connections.spawn(serve(stream, acceptor.clone(), answer.clone()));
                    }
                    Err(error) => {
                        debug!(error = %Report(&error), "could not accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
        Self { accepting }
    }

    /// Closes the listener and returns once connecting is refused.
    pub async fn stop(mut self) {
        self.accepting.shutdown().await;
    }
}

async fn serve<A, F, B, E>(stream: TcpStream, acceptor: TlsAcceptor, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>> + 'static,
{
    let Ok(handshake) = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await else {
        return debug!("a TLS handshake took too long");
    };
    let stream = match handshake {
        Ok(stream) => TokioIo::new(stream),
        Err(error) => return debug!(error = %Report(&error), "a TLS handshake failed"),
    };
    let mut builder = Builder::new(TokioExecutor::new());
    // As Go writes them; HTTP/2 has no upper case.
    builder.http1().title_case_headers(true);
    let served = builder.serve_connection(stream, service_fn(answer)).await;
    if let Err(error) = served {
        debug!(error = %Report(&*error), "a connection ended early");
    }
}

/// A loopback port kept for one server, also while that is down: connecting is refused then.
#[derive(Debug)]
pub struct Port {
    #[expect(
        dead_code,
        reason = "bound but never listening: the port is given to nobody else"
    )]
    reservation: TcpSocket,
    address: SocketAddr,
}

impl Port {
    /// Takes a free port.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn reserve() -> io::Result<Self> {
        let reservation = bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = reservation.local_addr()?;
        Ok(Self {
            reservation,
            address,
        })
    }

    /// The address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens on the port.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn listen(&self) -> io::Result<TcpListener> {
        bind(self.address)?.listen(BACKLOG)
    }
}

/// Binds a socket that shares its port with others bound like this.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// The TLS settings of a server with this certificate; with `clients`, only clients whose
/// certificate that authority has signed are served.
///
/// # Errors
///
/// [`TlsError`] when the certificate or the authority does not suit TLS.
pub fn tls(
    certificate: &Certificate,
    clients: Option<&Authority>,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(authority.der().clone())?;
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    let mut config = builder.with_single_cert(vec![certificate.der()], certificate.key_der())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Why a certificate cannot be served.
#[derive(Debug, Error)]
#[error("could not set up TLS")]
#[non_exhaustive]
pub enum TlsError {
    /// The authority of the clients cannot be used.
    Clients(#[from] VerifierBuilderError),
    /// The certificate or an authority cannot be used.
    Rustls(#[from] rustls::Error),
}

/// Deadline of a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Rest after a failed accept, which may mean that file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 128;

//! The listener: few connections, one request each, all within a deadline.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tracing::debug;

use super::{
    Views,
    respond::{Question, fault},
};
use crate::{Report, accept, clock, config::settings};

/// The bound socket.
#[derive(Debug)]
pub struct Admin {
    socket: TcpListener,
}

/// Why the operator cannot ask.
#[derive(Debug, Error)]
#[error("could not listen on {address} for admin.listen{}", advice(.source))]
pub struct AdminError {
    address: SocketAddr,
    source: io::Error,
}

impl AdminError {
    /// Whether another process may give the address back.
    pub fn may_pass(&self) -> bool {
        self.source.kind() != io::ErrorKind::PermissionDenied
    }
}

impl Admin {
    /// Binds the address.
    ///
    /// # Errors
    ///
    /// [`AdminError`] when the address is not to be had.
    pub async fn bind(settings: settings::Admin) -> Result<Self, AdminError> {
        let address = settings.listen;
        match TcpListener::bind(address).await {
            Ok(socket) => Ok(Self { socket }),
            Err(source) => Err(AdminError { address, source }),
        }
    }

    /// The address bound, with its real port where 0 was asked for.
    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    /// Answers until `stop` becomes true, then finishes what it is asked.
    pub async fn run(self, views: watch::Receiver<Arc<Views>>, mut stop: watch::Receiver<bool>) {
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&self.socket, &permits) => accepted,
                Some(_) = connections.join_next() => continue,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            match accepted {
                Ok((stream, permit)) => {
                    let views = views.clone();
                    connections.spawn(async move {
                        serve(stream, views).await;
                        drop(permit);
                    });
                }
                Err(error) => accept::failed(&error, " on admin.listen").await,
            }
        }
        let ended = timeout(GRACE, async {
            while connections.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            debug!("connections of the operator were cut");
        }
    }
}

/// Accepts when there is room: at the limit connections wait in the kernel.
async fn accept(
    socket: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = socket.accept().await?;
    Ok((stream, permit))
}

/// Serves one connection: one request, then it is closed.
async fn serve(stream: TcpStream, views: watch::Receiver<Arc<Views>>) {
    let service = service_fn(|request| {
        let views = Arc::clone(&views.borrow());
        async { Ok::<_, Infallible>(answer(request, views).await) }
    });
    let connection = http1::Builder::new()
        // Without a timer hyper's timeouts do nothing.
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            debug!(error = %Report(&error), "a connection of the operator ended badly");
        }
        Err(_) => debug!("a connection of the operator took too long"),
    }
}

async fn answer(request: Request<Incoming>, views: Arc<Views>) -> Response<Full<Bytes>> {
    let question = Question::of(&request);
    // With thousands of mirrors this takes long enough to keep relying parties waiting.
    tokio::task::spawn_blocking(move || question.answer(&views, clock::now()))
        .await
        .unwrap_or_else(|_| fault())
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (another process has it; stop that one or choose another)",
        io::ErrorKind::AddrNotAvailable => " (this host has no such address)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need CAP_NET_BIND_SERVICE)",
        _ => "",
    }
}

/// A request and its answer, however slow the peer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long answers under way may take when the process ends.
const GRACE: Duration = Duration::from_secs(2);
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_CONNECTIONS: usize = 64;
/// The longest request head.
const MAX_HEAD_BYTES: usize = 16 * 1024;

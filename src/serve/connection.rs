//! One connection: handshake, requests, idle time, end. Each with its deadline.

use std::{pin::pin, sync::Arc, time::Duration};

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::{Routes, respond::respond};
use crate::{Report, config::settings};

/// What every connection of a listener shares.
#[derive(Debug)]
pub(super) struct Shared {
    routes: watch::Receiver<Arc<Routes>>,
    http: auto::Builder<TokioExecutor>,
    handshake_timeout: Duration,
    header_timeout: Duration,
    idle_timeout: Duration,
}

impl Shared {
    pub(super) fn new(routes: watch::Receiver<Arc<Routes>>, settings: &settings::Serve) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        // Without a timer hyper's timeouts do nothing.
        http.http1()
            .timer(TokioTimer::new())
            // To hyper the time between two requests is time spent on a head.
            .header_read_timeout(settings.idle_timeout)
            .max_buf_size(MAX_HEAD_BYTES);
        http.http2()
            .timer(TokioTimer::new())
            .max_header_list_size(MAX_HEAD_BYTES.try_into().unwrap_or(u32::MAX))
            .max_concurrent_streams(MAX_STREAMS);
        Self {
            routes,
            http,
            handshake_timeout: settings.handshake_timeout,
            header_timeout: settings.header_timeout,
            idle_timeout: settings.idle_timeout,
        }
    }

    /// Serves one connection until it ends, idles too long or `stop` becomes true.
    pub(super) async fn serve<S>(
        &self,
        stream: S,
        tls: Option<&TlsAcceptor>,
        mut stop: watch::Receiver<bool>,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Some(tls) = tls else {
            return self.serve_http(stream, stop).await;
        };
        let handshake = tokio::select! {
            handshake = timeout(self.handshake_timeout, tls.accept(stream)) => handshake,
            // No request has come yet, so none is lost.
            _ = stop.wait_for(|stop| *stop) => return debug!("a TLS handshake was cut short"),
        };
        match handshake {
            Ok(Ok(stream)) => self.serve_http(stream, stop).await,
            Ok(Err(error)) => debug!(error = %Report(&error), "a TLS handshake failed"),
            Err(_) => debug!("a TLS handshake took too long"),
        }
    }

    async fn serve_http<S>(&self, stream: S, mut stop: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (active, mut activity) = watch::channel(());
        let service = service_fn(|request: Request<Incoming>| {
            active.send_replace(());
            let response = respond(&self.routes.borrow(), &request);
            std::future::ready(Ok::<_, std::convert::Infallible>(response))
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        // Until its first request a peer has as long as for a head, then as long as it may idle.
        let mut patience = self.header_timeout;
        let ending = loop {
            tokio::select! {
                result = connection.as_mut() => return log_end(result),
                _ = activity.changed() => patience = self.idle_timeout,
                // Responses are ready at once, so only bytes on their way are left to send.
                () = sleep(patience) => break LAST_WORDS,
                _ = stop.wait_for(|stop| *stop) => break self.header_timeout,
            }
        };
        connection.as_mut().graceful_shutdown();
        match timeout(ending, connection).await {
            Ok(result) => log_end(result),
            Err(_) => debug!("a connection did not end when asked to"),
        }
    }
}

fn log_end<E: Into<Box<dyn std::error::Error + Send + Sync>>>(result: Result<(), E>) {
    if let Err(error) = result {
        let error = error.into();
        debug!(error = %Report(error.as_ref()), "a connection ended badly");
    }
}

/// How long the last bytes to a peer that idled too long may take.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The longest request head: the two documents need no more.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// HTTP/2 requests at one time on one connection.
const MAX_STREAMS: u32 = 32;

//! Answers the one question of http-01 (RFC 8555 section 8.3), over plain HTTP: few connections,
//! one request each, all within a deadline.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    Method, Request, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};
use tracing::debug;

use super::challenges::Challenges;
use crate::{
    Report, accept,
    serve::socket::{Socket, Stream},
};

/// Answers on `socket` for ever.
pub(super) async fn answer(socket: &Socket, challenges: &Challenges) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(socket, &permits) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, permit)) => {
                let challenges = challenges.clone();
                connections.spawn(async move {
                    serve(stream, &challenges).await;
                    drop(permit);
                });
            }
            Err(error) => accept::failed(&error, " on serve.acme.http-listen").await,
        }
    }
}

/// Accepts when there is room: at the limit connections wait in the kernel.
async fn accept(
    socket: &Socket,
    permits: &Arc<Semaphore>,
) -> io::Result<(Stream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await;
    let permit = permit.map_err(io::Error::other)?;
    let (stream, _) = socket.accept().await?;
    Ok((stream, permit))
}

async fn serve(stream: Stream, challenges: &Challenges) {
    let service = service_fn(|request| {
        let response = respond(&request, challenges);
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let connection = http1::Builder::new()
        // Without a timer hyper's timeouts do nothing.
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(error = %Report(&error), "a connection for http-01 ended badly"),
        Err(_) => debug!("a connection for http-01 took too long"),
    }
}

/// The answer to a pending challenge; 404 for all else, since nothing else is here.
fn respond<B>(request: &Request<B>, challenges: &Challenges) -> Response<Full<Bytes>> {
    let token = request.uri().path().strip_prefix(PREFIX);
    let answer = token.and_then(|token| challenges.file(token));
    let (status, answer) = match answer {
        Some(answer) if request.method() == Method::GET => (StatusCode::OK, answer),
        _ => (StatusCode::NOT_FOUND, String::new()),
    };
    let mut response = Response::new(Full::from(answer));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

const PREFIX: &str = "/.well-known/acme-challenge/";
/// A request and its answer, however slow the peer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// A CA looks from a few places at a time.
const MAX_CONNECTIONS: usize = 64;
/// The longest request head.
const MAX_HEAD_BYTES: usize = 16 * 1024;

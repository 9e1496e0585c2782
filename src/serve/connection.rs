//! One connection: handshake, requests, idle time, end. Each with its deadline.

use std::{
    borrow::Cow,
    convert::Infallible,
    error::Error,
    future::poll_fn,
    io,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode, Version,
    header::{CONNECTION, USER_AGENT},
};
use http_body_util::Full;
use hyper::{
    body::{Body as _, Incoming},
    rt::Executor,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info};

use super::{
    Routes,
    certificates::ACME_TLS,
    cork::{Corked, Turns},
    counters::{Failure, Tally},
    crowd::Mood,
    proxy,
    respond::{host, respond},
    socket::Stream,
};
use crate::{
    Report,
    config::settings::{Limits, Serve},
};

/// What every connection of a listener shares.
#[derive(Debug)]
pub(super) struct Shared {
    routes: watch::Receiver<Arc<Routes>>,
    limits: Limits,
    speaks_proxy: bool,
    is_logged: bool,
    any: Builder,
    http1: Builder,
    http2: Builder,
}

type Builder = auto::Builder<AtOnce>;

/// Which HTTP is spoken, as far as TLS has settled that.
#[derive(Clone, Copy, Debug)]
enum Http {
    Any,
    One,
    Two,
}

impl Shared {
    pub(super) fn new(routes: watch::Receiver<Arc<Routes>>, settings: &Serve) -> Self {
        let any = http(&settings.limits);
        Self {
            routes,
            limits: settings.limits.clone(),
            speaks_proxy: settings.proxy_protocol,
            is_logged: settings.access_log,
            http1: any.clone().http1_only(),
            http2: any.clone().http2_only(),
            any,
        }
    }

    /// Whether each connection begins with the address of its client.
    pub(super) fn speaks_proxy(&self) -> bool {
        self.speaks_proxy
    }

    /// The client behind a load balancer, in its own words.
    pub(super) async fn proxied(&self, stream: &mut Stream) -> io::Result<Option<IpAddr>> {
        match timeout(self.limits.handshake_timeout, proxy::read(stream)).await {
            Ok(read) => read,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Serves one connection until it ends, idles too long or the process ends.
    pub(super) async fn serve<S>(&self, stream: S, tls: Option<&TlsAcceptor>, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Some(tls) = tls else {
            return self.serve_http(stream, Http::Any, peer).await;
        };
        let start = Instant::now();
        let mut mood = peer.mood.clone();
        let handshake = tokio::select! {
            handshake = timeout(self.limits.handshake_timeout, Box::pin(tls.accept(stream))) => handshake,
            // No request has come yet, so none is lost.
            _ = mood.wait_for(|mood| *mood == Mood::Ending) => {
                return debug!("a TLS handshake was cut short");
            }
        };
        match handshake {
            // RFC 8737 section 3: a CA that looks whether a domain is ours has seen all it needs.
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(ACME_TLS) => {
                debug!("a CA has looked whether a domain is ours");
            }
            Ok(Ok(stream)) => {
                peer.tally.shook_hands(start.elapsed());
                let http = match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") => Http::Two,
                    _ => Http::One,
                };
                // It is moved around by those who use it, and its room would be kept in each place.
                self.serve_http(Box::new(stream), http, peer).await;
            }
            Ok(Err(error)) => {
                peer.tally.failed(Failure::from(&error));
                debug!(error = %Report(&error), "a TLS handshake failed");
            }
            Err(_) => {
                peer.tally.failed(Failure::Timeout);
                debug!("a TLS handshake took too long");
            }
        }
    }

    async fn serve_http<S>(&self, stream: S, http: Http, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let activity = Activity::begin();
        let mut mood = peer.mood.clone();
        let service = service_fn(|request: Request<Incoming>| {
            let count = activity.note();
            std::future::ready(Ok::<_, Infallible>(self.answer(&request, count, &peer)))
        });
        let turns = Turns::default();
        let (http, corked) = match http {
            Http::Any => (&self.any, None),
            Http::One => (&self.http1, None),
            Http::Two => (&self.http2, Some(turns.clone())),
        };
        let stream = TokioIo::new(Corked::new(stream, corked));
        let mut connection = pin!(http.serve_connection(stream, service));
        let ending = loop {
            let present = *mood.borrow_and_update();
            let deadline = activity.last() + self.patience(present, &activity);
            if present == Mood::Ending {
                break self.limits.header_timeout;
            }
            if Instant::now() >= deadline {
                // Responses are ready at once, so only bytes on their way are left to send.
                break LAST_WORDS;
            }
            tokio::select! {
                biased;
                result = turns.run(connection.as_mut()) => return log_end(result, &peer.tally),
                // Only what the connection did just now can have used it up.
                () = poll_fn(|_| ready_if(self.is_last(activity.requests()))) => {
                    break self.limits.header_timeout;
                }
                () = sleep_until(deadline) => {}
                changed = mood.changed() => {
                    // Nobody can say any more how the listener does: the process ends.
                    if changed.is_err() {
                        break self.limits.header_timeout;
                    }
                }
            }
        };
        connection.as_mut().graceful_shutdown();
        match timeout(ending, turns.run(connection)).await {
            Ok(result) => log_end(result, &peer.tally),
            Err(_) => debug!("a connection did not end when asked to"),
        }
    }

    /// How long a connection may be silent: until its first request as long as for a head, then as
    /// long as it may idle.
    fn patience(&self, mood: Mood, activity: &Activity) -> Duration {
        match (activity.requests(), mood) {
            (0, _) => self.limits.header_timeout,
            (_, Mood::Crowded) => self.limits.idle_timeout.min(CROWDED_PATIENCE),
            _ => self.limits.idle_timeout,
        }
    }

    /// Whether a connection that has had so many requests gets no more.
    fn is_last(&self, requests: u64) -> bool {
        let most = self.limits.max_requests_per_connection;
        most > 0 && requests >= most
    }

    /// Answers a request, the `count`th of its connection.
    fn answer(
        &self,
        request: &Request<Incoming>,
        count: u64,
        peer: &Peer,
    ) -> Response<Full<Bytes>> {
        let start = Instant::now();
        let (page, mut response) = respond(&self.routes.borrow(), request);
        let status = response.status();
        // Nobody has anything to upload, and where a body ends is what smuggled requests are about.
        let ends = self.is_last(count) || !request.body().is_end_stream();
        // HTTP/2 has frames for both.
        if ends && request.version() < Version::HTTP_2 {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        peer.tally.answered(page, status, Some(start.elapsed()));
        if self.is_logged {
            log_access(request, status, peer.address);
        }
        response
    }
}

/// The other side of a connection, and what is to be known and counted about it.
#[derive(Debug)]
pub(super) struct Peer {
    /// Where it comes from; `None` for this machine.
    pub(super) address: Option<IpAddr>,
    pub(super) mood: watch::Receiver<Mood>,
    pub(super) tally: Arc<Tally>,
}

/// What a connection has been asked, and when.
struct Activity {
    begin: Instant,
    requests: AtomicU64,
    /// Since `begin`, in milliseconds.
    last: AtomicU64,
}

impl Activity {
    fn begin() -> Self {
        Self {
            begin: Instant::now(),
            requests: AtomicU64::new(0),
            last: AtomicU64::new(0),
        }
    }

    /// Notes a request; gives back how many there were.
    fn note(&self) -> u64 {
        let since = self.begin.elapsed().as_millis();
        self.last
            .store(u64::try_from(since).unwrap_or(u64::MAX), Relaxed);
        self.requests.fetch_add(1, Relaxed) + 1
    }

    fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// When the last request came or, without any, when the connection began.
    fn last(&self) -> Instant {
        self.begin + Duration::from_millis(self.last.load(Relaxed))
    }
}

fn http(limits: &Limits) -> Builder {
    let mut http = auto::Builder::new(AtOnce);
    // Time is kept here and not by hyper, which would set a timer for each request.
    http.http1()
        .header_read_timeout(None)
        .max_buf_size(limits.max_header_bytes);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits.max_header_bytes.try_into().unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.max_streams)
        .max_pending_accept_reset_streams(limits.max_resets)
        .max_local_error_reset_streams(limits.max_resets)
        // Nobody has anything to upload.
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    http
}

/// Runs what becomes of an HTTP/2 stream on the spot, where it is done as a rule: so a task for
/// each request is saved, and the answers to all requests that came together leave together.
#[derive(Clone, Copy, Debug)]
struct AtOnce;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for AtOnce {
    fn execute(&self, stream: F) {
        let mut stream = Box::pin(stream);
        let mut context = Context::from_waker(Waker::noop());
        if stream.as_mut().poll(&mut context).is_pending() {
            // The client has no room for the answer yet. A task asks again, so nothing was missed.
            tokio::spawn(stream);
        }
    }
}

fn ready_if(holds: bool) -> Poll<()> {
    if holds {
        Poll::Ready(())
    } else {
        Poll::Pending
    }
}

fn log_end(result: Result<(), Box<dyn Error + Send + Sync>>, tally: &Tally) {
    let Err(error) = result else { return };
    if let Some(error) = error
        .downcast_ref::<hyper::Error>()
        .filter(|it| it.is_parse())
    {
        // As hyper has answered it.
        let status = if error.is_parse_too_large() {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        } else {
            StatusCode::BAD_REQUEST
        };
        tally.answered(None, status, None);
    }
    debug!(error = %Report(error.as_ref()), "a connection ended badly");
}

fn log_access(request: &Request<Incoming>, status: StatusCode, client: Option<IpAddr>) {
    let client = client.map_or_else(|| "local".to_owned(), |it| it.to_string());
    let agent = request.headers().get(USER_AGENT);
    info!(
        client,
        method = &*shown(request.method().as_str().as_bytes()),
        host = &*shown(host(request).as_bytes()),
        path = &*shown(request.uri().path().as_bytes()),
        version = ?request.version(),
        status = status.as_u16(),
        agent = &*shown(agent.map(HeaderValue::as_bytes).unwrap_or_default()),
        "access"
    );
}

/// As much of what a client wrote as a log line shows; the log escapes it.
fn shown(text: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(text.get(..SHOWN_BYTES).unwrap_or(text))
}

/// How long a connection may idle when others wait for its place.
const CROWDED_PATIENCE: Duration = Duration::from_secs(2);
/// How long the last bytes to a peer that idled too long may take.
const LAST_WORDS: Duration = Duration::from_secs(1);
const SHOWN_BYTES: usize = 200;
/// The least that HTTP/2 allows without more ado (RFC 9113 section 6.9.2).
const WINDOW_BYTES: u32 = 65_535;

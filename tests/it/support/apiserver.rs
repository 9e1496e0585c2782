//! A fake API server over real TLS: answers as a real one does, or by script.

use std::{
    borrow::Borrow,
    collections::{HashMap, VecDeque},
    fs, io,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION},
    request::Parts,
};
use hyper::body::{Body, Frame, SizeHint};
use oidc_mirror::demo::{Apiserver, Authority, Certificate, Https, Port, SigningKey, respond, tls};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};
use tempfile::TempDir;
use url::Url;

/// Where a kube-apiserver serves its discovery document.
pub(crate) const DISCOVERY: &str = "/.well-known/openid-configuration";
/// Where a kube-apiserver serves its JWKS.
pub(crate) const JWKS: &str = "/openid/v1/jwks";

/// A running fake API server, its files in a directory of its own; ends when dropped.
///
/// It starts with the issuer `https://oidc.example.com` and no keys.
pub(crate) struct ApiServer {
    authority: Authority,
    directory: TempDir,
    port: Port,
    running: Option<Https>,
    state: Arc<Mutex<State>>,
    tls: rustls::ServerConfig,
}

/// What is odd about the server's certificate, or demanded of the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    /// Only clients with the certificate in `client_cert_file` are served, without a token.
    ClientCertificate,
    /// The certificate has expired.
    Expired,
    /// Nothing is odd.
    Right,
    /// Another CA than the one in `ca_file` has signed the certificate.
    WrongAuthority,
    /// The certificate is for `api.example.com` only.
    WrongName,
}

struct State {
    apiserver: Apiserver,
    /// Whether a request may come without token because TLS has authenticated it.
    trusting: bool,
    scripts: HashMap<String, Script>,
    requests: Vec<Recorded>,
}

#[derive(Default)]
struct Script {
    /// Replies to the next requests, each used once.
    next: VecDeque<Reply>,
    /// Reply to all requests after that; `None` for the normal answer.
    always: Option<Reply>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) host: String,
    pub(crate) headers: HeaderMap,
}

impl ApiServer {
    /// Starts with a right certificate.
    pub(crate) fn start() -> Self {
        Self::start_with(Tls::Right)
    }

    /// Starts a server of this issuer that lists these keys.
    pub(crate) fn listing(issuer: &str, keys: &[impl Borrow<SigningKey>]) -> Self {
        let server = Self::start();
        server.set_issuer(issuer);
        server.set_keys(keys);
        server
    }

    /// Starts with this certificate.
    pub(crate) fn start_with(kind: Tls) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let authority = Authority::new("kubernetes").unwrap();
        fs::write(path("ca.crt"), authority.pem()).unwrap();
        fs::write(path("token"), "token-1").unwrap();
        let certificate = certificate(&authority, kind);
        let clients = (kind == Tls::ClientCertificate).then(|| {
            let mut params = CertificateParams::default();
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            let client = authority.sign(&params).unwrap();
            client
                .write(&path("client.crt"), &path("client.key"))
                .unwrap();
            &authority
        });

        let port = Port::reserve().unwrap();
        let apiserver = Apiserver {
            anonymous: false,
            issuer: "https://oidc.example.com".to_owned(),
            jwks_uri: format!("https://{}{JWKS}", port.address()),
            keys: Vec::new(),
            token: "token-1".to_owned(),
        };
        let mut server = Self {
            port,
            running: None,
            state: Arc::new(Mutex::new(State {
                apiserver,
                trusting: clients.is_some(),
                scripts: HashMap::new(),
                requests: Vec::new(),
            })),
            tls: tls(&certificate, clients).unwrap(),
            authority,
            directory,
        };
        server.restart();
        server
    }

    /// Closes all connections and listens again with this certificate.
    pub(crate) async fn restart_with(&mut self, kind: Tls) {
        self.stop().await;
        self.tls = tls(&certificate(&self.authority, kind), None).unwrap();
        self.restart();
    }

    /// Listens again after [`Self::stop`].
    pub(crate) fn restart(&mut self) {
        let listener = self.port.listen().unwrap();
        let state = Arc::clone(&self.state);
        self.running = Some(Https::start(listener, self.tls.clone(), move |request| {
            answer(Arc::clone(&state), request)
        }));
    }

    /// Closes all connections; the port refuses new ones until [`Self::restart`].
    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The address as a URL: `https://127.0.0.1:<port>`.
    pub(crate) fn url(&self) -> Url {
        Url::parse(&format!("https://{}", self.address())).unwrap()
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.directory.path().join("token")
    }

    /// Exists with [`Tls::ClientCertificate`].
    pub(crate) fn client_cert_file(&self) -> PathBuf {
        self.directory.path().join("client.crt")
    }

    /// Exists with [`Tls::ClientCertificate`].
    pub(crate) fn client_key_file(&self) -> PathBuf {
        self.directory.path().join("client.key")
    }

    /// From now on only this token is accepted; [`Self::write_token`] tells the client.
    pub(crate) fn set_token(&self, token: &str) {
        token.clone_into(&mut self.state.lock().unwrap().apiserver.token);
    }

    /// Writes the token that is accepted to the token file.
    pub(crate) fn write_token(&self) {
        let token = self.state.lock().unwrap().apiserver.token.clone();
        fs::write(self.token_file(), token).unwrap();
    }

    pub(crate) fn set_keys(&self, keys: &[impl Borrow<SigningKey>]) {
        let keys = keys.iter().map(|key| key.borrow().jwk().clone()).collect();
        self.state.lock().unwrap().apiserver.keys = keys;
    }

    /// Sets the first `--service-account-issuer`; one that is not https removes both documents.
    pub(crate) fn set_issuer(&self, issuer: &str) {
        issuer.clone_into(&mut self.state.lock().unwrap().apiserver.issuer);
    }

    pub(crate) fn set_jwks_uri(&self, jwks_uri: &str) {
        jwks_uri.clone_into(&mut self.state.lock().unwrap().apiserver.jwks_uri);
    }

    /// Lets anonymous requests read, as a relying party's are.
    pub(crate) fn allow_anonymous(&self) {
        self.state.lock().unwrap().apiserver.anonymous = true;
    }

    /// Replies to the next requests for `path` with these, one each, before anything else.
    pub(crate) fn script(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        let mut state = self.state.lock().unwrap();
        let script = state.scripts.entry(path.to_owned()).or_default();
        script.next.extend(replies);
    }

    /// Replies to every further request for `path` with this.
    pub(crate) fn always(&self, path: &str, reply: Reply) {
        let mut state = self.state.lock().unwrap();
        state.scripts.entry(path.to_owned()).or_default().always = Some(reply);
    }

    /// Forgets every script: normal answers from now on.
    pub(crate) fn behave(&self) {
        self.state.lock().unwrap().scripts.clear();
    }

    /// The requests so far, in the order of their arrival.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.state.lock().unwrap().requests.clone()
    }
}

/// A server certificate with what is odd about it.
fn certificate(authority: &Authority, kind: Tls) -> Certificate {
    let mut params = CertificateParams::new(match kind {
        Tls::WrongName => vec!["api.example.com".to_owned()],
        _ => ["localhost", "127.0.0.1", "kubernetes"]
            .map(str::to_owned)
            .to_vec(),
    })
    .unwrap();
    if kind == Tls::Expired {
        params.not_after = date_time_ymd(2020, 1, 1);
    }
    match kind {
        Tls::WrongAuthority => Authority::new("kubernetes").unwrap().sign(&params),
        _ => authority.sign(&params),
    }
    .unwrap()
}

/// How a request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// This response.
    Answer(Response<Bytes>),
    /// The connection is closed without an answer.
    Close,
    /// The normal answer's head and the first half of its body, then the connection is closed.
    CutOff,
    /// The other reply, later.
    Delay(Duration, Box<Self>),
    /// As a real API server.
    Normal,
    /// An endless body, whose head says nothing about its length.
    Oversize,
    /// An endless body, whose head declares a length far over every limit.
    OversizeDeclared,
}

impl Reply {
    /// Status 200 with this body and the content type of a JWKS or a discovery document.
    pub(crate) fn body(body: impl Into<Bytes>) -> Self {
        Self::status(200, body).header(CONTENT_TYPE, "application/json")
    }

    /// Any status and body, without further headers.
    pub(crate) fn status(status: u16, body: impl Into<Bytes>) -> Self {
        let mut response = Response::new(body.into());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        Self::Answer(response)
    }

    /// A redirect to this URL.
    pub(crate) fn redirect(location: &str) -> Self {
        Self::status(302, "").header(LOCATION, location)
    }

    /// A small gzip body that unpacks to 16 MiB of the beginning of a JWKS.
    pub(crate) fn gzip_bomb() -> Self {
        let bomb: &[u8] = include_bytes!("../../fixtures/bomb.json.gz");
        Self::body(bomb).header(CONTENT_ENCODING, "gzip")
    }

    /// The normal answer after this time.
    pub(crate) fn late(delay: Duration) -> Self {
        Self::Delay(delay, Box::new(Self::Normal))
    }

    /// Adds a header to an answer.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Self::Answer(response) = &mut self {
            let value = HeaderValue::from_str(value).unwrap();
            response.headers_mut().insert(name, value);
        }
        self
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<hyper::body::Incoming>,
) -> io::Result<Response<Content>> {
    let (mut parts, _) = request.into_parts();
    let (normal, mut reply) = {
        let mut state = state.lock().unwrap();
        state.requests.push(Recorded::new(&parts));
        if state.trusting {
            let bearer = format!("Bearer {}", state.apiserver.token);
            let bearer = HeaderValue::from_str(&bearer).unwrap();
            parts.headers.entry(AUTHORIZATION).or_insert(bearer);
        }
        let script = state.scripts.get_mut(parts.uri.path());
        let reply =
            script.and_then(|script| script.next.pop_front().or_else(|| script.always.clone()));
        (respond(&state.apiserver, &parts), reply)
    };
    while let Some(Reply::Delay(delay, after)) = reply {
        tokio::time::sleep(delay).await;
        reply = Some(*after);
    }
    Ok(match reply.unwrap_or(Reply::Normal) {
        Reply::Answer(response) => response.map(Content::Whole),
        Reply::Close => return Err(io::ErrorKind::ConnectionAborted.into()),
        Reply::CutOff => {
            let (mut head, body) = normal.into_parts();
            head.headers.insert(CONTENT_LENGTH, body.len().into());
            Response::from_parts(head, Content::CutOff(body.slice(..body.len() / 2)))
        }
        Reply::Normal | Reply::Delay(..) => normal.map(Content::Whole),
        Reply::Oversize => normal.map(|_| Content::Endless),
        Reply::OversizeDeclared => {
            let mut response = normal.map(|_| Content::Endless);
            response
                .headers_mut()
                .insert(CONTENT_LENGTH, (1_u64 << 40).into());
            response
        }
    })
}

impl Recorded {
    fn new(parts: &Parts) -> Self {
        // HTTP/2 has the host in the URL, HTTP/1.1 in a header.
        let host = parts.uri.authority().map(ToString::to_string);
        let header = || Some(parts.headers.get(HOST)?.to_str().ok()?.to_owned());
        Self {
            method: parts.method.clone(),
            path: Uri::path(&parts.uri).to_owned(),
            host: host.or_else(header).unwrap_or_default(),
            headers: parts.headers.clone(),
        }
    }
}

/// A body that may misbehave.
enum Content {
    /// The first bytes, then, in the form of an empty `CutOff`, an error.
    CutOff(Bytes),
    Endless,
    Whole(Bytes),
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::CutOff(bytes) if bytes.is_empty() => {
                Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())))
            }
            Self::Endless => {
                // Other tasks, the client among them, get their turn in between.
                context.waker().wake_by_ref();
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; 16384])))))
            }
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::CutOff(bytes) | Self::Whole(bytes) => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::CutOff(_) | Self::Endless => SizeHint::default(),
        }
    }
}

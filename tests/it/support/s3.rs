//! An S3 server in the process: the real protocol and real signatures over a real socket, objects
//! in memory, faults by script, a log of the requests.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, IF_MATCH},
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use oidc_mirror::oidc::KeySet;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use s3s::{
    Body, S3, S3Request, S3Response, S3Result,
    access::{S3Access, S3AccessContext},
    auth::SimpleAuth,
    dto::{
        ETag, ETagCondition, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput,
        PutObjectInput, PutObjectOutput, StreamingBlob,
    },
    s3_error,
    service::{S3Service, S3ServiceBuilder},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
    time::sleep,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};
use url::Url;

/// The access key that the server knows.
pub(crate) const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
/// Its secret.
pub(crate) const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// The region of the server's bucket.
pub(crate) const REGION: &str = "eu-central-1";
/// The server's one bucket.
pub(crate) const BUCKET: &str = "example-oidc";

/// A running S3 server with one empty bucket; ends when dropped.
pub(crate) struct S3Server {
    url: Url,
    state: Arc<State>,
    task: JoinHandle<()>,
    certificate: Option<TempDir>,
}

/// An object as it was put.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) body: Bytes,
    pub(crate) content_type: Option<String>,
    pub(crate) cache_control: Option<String>,
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
}

/// What is done to a request instead of answering it well.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The answer comes this late.
    Delay(Duration),
    /// The connection ends without an answer.
    Reset,
    /// The request is carried out, and the connection ends without an answer.
    ResetAfter,
    /// This status, with this error code; the message is a secret.
    Status(u16, &'static str),
}

/// How a request signed for another region is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WrongRegion {
    /// 400 `AuthorizationHeaderMalformed`, the right region in the body.
    Malformed,
    /// 301 `PermanentRedirect`, the right region in a header.
    Redirect,
}

/// What the store makes of `If-Match` and `If-None-Match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conditions {
    /// What S3 does.
    Heeded,
    /// Nothing: every write succeeds, as with Garage.
    Ignored,
    /// Entity tags are compared without their quotes, as with Ceph.
    Bare,
}

/// What the policy denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Reading, and so listing.
    Get,
    /// Listing: a missing key is answered 403 as well.
    List,
    /// Writing.
    Put,
}

struct State {
    objects: Mutex<BTreeMap<String, Stored>>,
    denied: Mutex<Vec<Denied>>,
    faults: Mutex<VecDeque<Fault>>,
    wrong_region: Mutex<WrongRegion>,
    conditions: Mutex<Conditions>,
    log: watch::Sender<Vec<Recorded>>,
}

impl S3Server {
    /// Starts a server without TLS.
    pub(crate) async fn start() -> Self {
        Self::serve(None).await
    }

    /// Starts a server with a certificate of its own CA for `127.0.0.1`.
    pub(crate) async fn start_tls() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("ca.crt"), ca.pem()).unwrap();
        let issuer = Issuer::new(params, key);

        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let leaf = params.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        Self::serve(Some((directory, tls))).await
    }

    async fn serve(tls: Option<(TempDir, ServerConfig)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state = Arc::new(State {
            objects: Mutex::default(),
            denied: Mutex::default(),
            faults: Mutex::default(),
            wrong_region: Mutex::new(WrongRegion::Redirect),
            conditions: Mutex::new(Conditions::Heeded),
            log: watch::Sender::default(),
        });
        let (certificate, acceptor) = tls
            .map(|(directory, tls)| (directory, TlsAcceptor::from(Arc::new(tls))))
            .unzip();
        Self {
            url: format!("{scheme}://{address}").parse().unwrap(),
            task: tokio::spawn(accept(listener, acceptor, Arc::clone(&state))),
            state,
            certificate,
        }
    }

    /// The endpoint.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The certificate of the server's CA.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.certificate.as_ref().unwrap().path().join("ca.crt")
    }

    /// The address, which refuses connections once the server is dropped.
    pub(crate) fn address(&self) -> SocketAddr {
        self.url.socket_addrs(|| None).unwrap()[0]
    }

    /// Denies an action from now on.
    pub(crate) fn deny(&self, denied: Denied) {
        lock(&self.state.denied).push(denied);
    }

    /// Does this to the next requests, one after the other.
    pub(crate) fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.state.faults).extend(faults);
    }

    /// Does nothing more to requests than they ask for.
    pub(crate) fn forget_faults(&self) {
        lock(&self.state.faults).clear();
    }

    /// Answers requests for other regions so.
    pub(crate) fn answer_other_regions(&self, how: WrongRegion) {
        *lock(&self.state.wrong_region) = how;
    }

    /// Treats conditions so from now on.
    pub(crate) fn treat_conditions(&self, how: Conditions) {
        *lock(&self.state.conditions) = how;
    }

    /// The object at `key`.
    pub(crate) fn object(&self, key: &str) -> Option<Stored> {
        lock(&self.state.objects).get(key).cloned()
    }

    /// The kids in the key set at `key`; none while nothing is there.
    pub(crate) fn kids(&self, key: &str) -> BTreeSet<String> {
        let Some(object) = self.object(key) else {
            return BTreeSet::new();
        };
        let (keys, _) = KeySet::parse(&object.body).unwrap();
        let kids = keys.keys().iter().map(|key| key.kid().as_str().to_owned());
        kids.collect()
    }

    /// Puts an object there, past the protocol.
    pub(crate) fn store(&self, key: &str, object: Stored) {
        lock(&self.state.objects).insert(key.to_owned(), object);
    }

    /// Removes an object, past the protocol.
    pub(crate) fn remove(&self, key: &str) {
        assert!(lock(&self.state.objects).remove(key).is_some());
    }

    /// All requests so far.
    pub(crate) fn log(&self) -> Vec<Recorded> {
        self.state.log.borrow().clone()
    }

    /// Forgets the requests so far and returns them as "METHOD /path".
    pub(crate) fn take_log(&self) -> Vec<String> {
        let log = self.state.log.send_replace(Vec::new());
        log.iter()
            .map(|request| format!("{} {}", request.method, request.path))
            .collect()
    }

    /// Waits until the requests so far are as wanted.
    pub(crate) async fn wait(&self, wanted: impl FnMut(&Vec<Recorded>) -> bool) {
        let mut log = self.state.log.subscribe();
        log.wait_for(wanted).await.unwrap();
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    let mut builder = S3ServiceBuilder::new(Memory(Arc::clone(&state)));
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    builder.set_access(Policy(Arc::clone(&state)));
    let service = builder.build();
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (service, state) = (service.clone(), Arc::clone(&state));
        let tls = tls.clone();
        connections.spawn(async move {
            match tls {
                None => serve_connection(stream, service, state).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve_connection(stream, service, state).await;
                    }
                }
            }
        });
    }
}

async fn serve_connection<Io>(io: Io, service: S3Service, state: Arc<State>)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = service_fn(move |request| answer(request, service.clone(), Arc::clone(&state)));
    // A client may leave at any time.
    _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(io), answer)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    service: S3Service,
    state: Arc<State>,
) -> Result<Response<Body>, io::Error> {
    let path = request.uri().path().to_owned();
    state.log.send_modify(|log| {
        log.push(Recorded {
            method: request.method().clone(),
            path: path.clone(),
            headers: request.headers().clone(),
        });
    });
    let fault = lock(&state.faults).pop_front();
    let resets = matches!(fault, Some(Fault::ResetAfter));
    match fault {
        Some(Fault::Delay(time)) => sleep(time).await,
        Some(Fault::Reset) => return Err(io::ErrorKind::ConnectionReset.into()),
        Some(Fault::Status(status, code)) => return Ok(error(status, code, "")),
        Some(Fault::ResetAfter) | None => {}
    }
    if path.split('/').nth(1) != Some(BUCKET) {
        return Ok(error(404, "NoSuchBucket", ""));
    }
    if let Some(region) = signed_region(request.headers())
        && region != REGION
    {
        let how = *lock(&state.wrong_region);
        return Ok(elsewhere(how));
    }
    // Only the bare form of a tag is understood there.
    let is_quoted = |tag: &HeaderValue| tag.as_bytes().starts_with(b"\"");
    if *lock(&state.conditions) == Conditions::Bare
        && request.headers().get(IF_MATCH).is_some_and(is_quoted)
    {
        return Ok(error(412, "PreconditionFailed", ""));
    }
    let answer = service.call(request.map(Body::from)).await.unwrap();
    if resets {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    Ok(answer)
}

/// The region in the credential scope of a signed request.
fn signed_region(headers: &HeaderMap) -> Option<&str> {
    let (_, scope) = headers
        .get(AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once("Credential=")?;
    scope.split('/').nth(2)
}

fn elsewhere(how: WrongRegion) -> Response<Body> {
    match how {
        WrongRegion::Malformed => {
            let region = format!("<Region>{REGION}</Region>");
            error(400, "AuthorizationHeaderMalformed", &region)
        }
        WrongRegion::Redirect => {
            let mut response = error(301, "PermanentRedirect", "");
            let region = REGION.parse().unwrap();
            response.headers_mut().insert("x-amz-bucket-region", region);
            response
        }
    }
}

fn error(status: u16, code: &str, more: &str) -> Response<Body> {
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>SECRET-MESSAGE</Message>{more}<RequestId>1</RequestId></Error>"
    );
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header("content-type", "application/xml")
        .body(Body::from(document))
        .unwrap()
}

/// Who may do what: anyone may read, the one key may read and write, as far as nothing is denied.
struct Policy(Arc<State>);

#[async_trait::async_trait]
impl S3Access for Policy {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let denied = |what| lock(&self.0.denied).contains(&what);
        let allowed = match context.s3_op().name() {
            "GetObject" | "HeadObject" => !denied(Denied::Get),
            "PutObject" => context.credentials().is_some() && !denied(Denied::Put),
            _ => false,
        };
        if allowed {
            Ok(())
        } else {
            Err(s3_error!(AccessDenied, "SECRET-MESSAGE"))
        }
    }
}

struct Memory(Arc<State>);

impl Memory {
    fn find(&self, key: &str) -> S3Result<Stored> {
        let found = lock(&self.0.objects).get(key).cloned();
        found.ok_or_else(|| {
            if lock(&self.0.denied).contains(&Denied::List) {
                s3_error!(AccessDenied, "SECRET-MESSAGE")
            } else {
                s3_error!(NoSuchKey)
            }
        })
    }
}

#[async_trait::async_trait]
impl S3 for Memory {
    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let object = self.find(&request.input.key)?;
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some(object.body.len().try_into().unwrap()),
            content_type: object.content_type.clone(),
            cache_control: object.cache_control.clone(),
            e_tag: Some(etag(&object)),
            body: Some(StreamingBlob::from(Body::from(object.body))),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let object = self.find(&request.input.key)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(object.body.len().try_into().unwrap()),
            content_type: object.content_type.clone(),
            cache_control: object.cache_control.clone(),
            e_tag: Some(etag(&object)),
            ..HeadObjectOutput::default()
        }))
    }

    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let mut body = Body::from(input.body.unwrap());
        let object = Stored {
            body: body.store_all_limited(1 << 20).await.unwrap(),
            content_type: input.content_type,
            cache_control: input.cache_control,
        };
        let written = etag(&object);
        let ignores = *lock(&self.0.conditions) == Conditions::Ignored;
        let mut objects = lock(&self.0.objects);
        let present = objects.get(&input.key).map(etag).filter(|_| !ignores);
        let if_match = input.if_match.filter(|_| !ignores);
        match (if_match, &present) {
            (Some(_), None) => return Err(s3_error!(NoSuchKey)),
            (Some(condition), Some(present)) if !matches(&condition, present) => {
                return Err(s3_error!(PreconditionFailed));
            }
            _ => {}
        }
        if let (Some(condition), Some(present)) = (&input.if_none_match, &present)
            && matches(condition, present)
        {
            return Err(s3_error!(PreconditionFailed));
        }
        objects.insert(input.key, object);
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(written),
            ..PutObjectOutput::default()
        }))
    }
}

fn matches(condition: &ETagCondition, present: &ETag) -> bool {
    condition.is_any() || condition.as_etag() == Some(present)
}

/// A digest of the body in the form that S3 gives its MD5.
fn etag(object: &Stored) -> ETag {
    let digest = digest(&SHA256, &object.body);
    ETag::Strong(
        digest.as_ref()[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

//! The API servers of many clusters: one listener, an address for each cluster.

use std::{
    convert::Infallible,
    fmt::Write as _,
    fs,
    future::ready,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use oidc_mirror::demo::{Apiserver, Authority, Jwk, respond, tls};
use rustls::{crypto::aws_lc_rs::Ticketer, server::NoServerSessionStorage};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::{Result, process::Process};

/// Clusters that can be asked until this is dropped.
pub(crate) struct Clusters {
    all: Arc<Vec<Cluster>>,
    port: u16,
    log: Arc<Log>,
    _accepting: JoinSet<()>,
}

struct Cluster {
    apiserver: Apiserver,
    tls: TlsAcceptor,
    ca_file: PathBuf,
    token_file: PathBuf,
}

/// What happened at the API servers so far.
#[derive(Default)]
struct Log {
    open: AtomicUsize,
    accepted: Mutex<Vec<Instant>>,
    requests: Mutex<Vec<Instant>>,
}

/// What the API servers saw in some time.
pub(crate) struct Seen {
    /// Connections open at its end.
    pub(crate) open: usize,
    /// Connections made in it.
    pub(crate) accepted: usize,
    took: Duration,
    /// Requests in each second.
    seconds: Vec<u32>,
}

impl Seen {
    pub(crate) fn mean(&self) -> f64 {
        f64::from(self.seconds.iter().sum::<u32>()) / self.took.as_secs_f64()
    }

    pub(crate) fn busiest(&self) -> u32 {
        self.seconds.iter().copied().max().unwrap_or_default()
    }
}

impl Clusters {
    /// Starts `count` clusters and writes the files that are needed to read them to `directory`.
    pub(crate) async fn start(count: u32, own_credentials: bool, directory: &Path) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        let port = listener.local_addr()?.port();
        // As a kube-apiserver: what a session needs is in its ticket.
        let ticketer = Ticketer::new()?;
        let mut credentials = Credentials::new(directory, 0)?;
        let mut all = Vec::new();
        for number in 0..count {
            if own_credentials && number > 0 {
                credentials = Credentials::new(directory, number)?;
            }
            let address = address(number).to_string();
            let certificate = credentials.authority.issue(&[&address])?;
            let mut tls = tls(&certificate, None)?;
            tls.ticketer = Arc::clone(&ticketer);
            tls.session_storage = Arc::new(NoServerSessionStorage {});
            tls.send_tls13_tickets = 1;
            all.push(Cluster {
                apiserver: Apiserver {
                    anonymous: false,
                    issuer: format!("https://{HOST}/{number}"),
                    jwks_uri: format!("https://{address}:{port}{JWKS_PATH}"),
                    keys: (0..KEYS).map(|_| key()).collect::<Result<_>>()?,
                    token: credentials.token.clone(),
                },
                tls: TlsAcceptor::from(Arc::new(tls)),
                ca_file: credentials.ca_file.clone(),
                token_file: credentials.token_file.clone(),
            });
        }
        let (all, log) = (Arc::new(all), Arc::new(Log::default()));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&all), Arc::clone(&log)));
        Ok(Self {
            all,
            port,
            log,
            _accepting: accepting,
        })
    }

    /// A configuration that mirrors them all.
    pub(crate) fn config(&self, state_dir: Option<&Path>) -> String {
        let mut config = String::new();
        if let Some(path) = state_dir {
            _ = writeln!(config, "state-dir = {path:?}");
        }
        for (number, cluster) in (0..).zip(self.all.iter()) {
            _ = writeln!(
                config,
                "[[mirror]]\nname = \"cluster-{number}\"\nissuer = {:?}\n\
                 upstreams = [\"https://{}:{}\"]\nca-file = {:?}\ntoken-file = {:?}\n\
                 poll-interval = \"1m\"\nread-back = false",
                cluster.apiserver.issuer,
                address(number),
                self.port,
                cluster.ca_file,
                cluster.token_file,
            );
        }
        config
    }

    /// What they saw since `start`.
    pub(crate) fn seen_since(&self, start: Instant) -> Seen {
        let mut seconds = Vec::new();
        for offset in since(&self.log.requests, start) {
            let second = usize::try_from(offset.as_secs()).unwrap_or_default();
            if seconds.len() <= second {
                seconds.resize(second + 1, 0);
            }
            seconds[second] += 1;
        }
        Seen {
            open: self.log.open.load(Relaxed),
            accepted: since(&self.log.accepted, start).len(),
            took: start.elapsed(),
            seconds,
        }
    }

    /// Fails unless `process` serves the keys of this cluster byte for byte.
    pub(crate) async fn check(&self, number: u32, process: &Process) -> Result<()> {
        let cluster = &self.all[usize::try_from(number)?];
        let keys = serde_json::to_string(&cluster.apiserver.keys)?;
        let served = process
            .served(HOST, &format!("/{number}{JWKS_PATH}"))
            .await?;
        if served != format!("{{\"keys\":{keys}}}").as_bytes() {
            return Err(format!("cluster {number} is not served as it is").into());
        }
        Ok(())
    }
}

/// The offsets from `start` of what happened later.
fn since(times: &Mutex<Vec<Instant>>, start: Instant) -> Vec<Duration> {
    let times = times.lock().unwrap_or_else(PoisonError::into_inner);
    times
        .iter()
        .filter_map(|it| it.checked_duration_since(start))
        .collect()
}

fn note(times: &Mutex<Vec<Instant>>) {
    times
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(Instant::now());
}

/// Who signs the certificates of a cluster, and what it asks for.
struct Credentials {
    authority: Authority,
    token: String,
    ca_file: PathBuf,
    token_file: PathBuf,
}

impl Credentials {
    fn new(directory: &Path, number: u32) -> Result<Self> {
        let made = Self {
            authority: Authority::new("kubernetes")?,
            token: random(TOKEN_BYTES),
            ca_file: directory.join(format!("ca-{number}.crt")),
            token_file: directory.join(format!("token-{number}")),
        };
        fs::write(&made.ca_file, made.authority.pem())?;
        fs::write(&made.token_file, &made.token)?;
        Ok(made)
    }
}

async fn accept(listener: TcpListener, clusters: Arc<Vec<Cluster>>, log: Arc<Log>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if let Ok((stream, _)) = listener.accept().await {
            note(&log.accepted);
            let (clusters, log) = (Arc::clone(&clusters), Arc::clone(&log));
            connections.spawn(async move {
                log.open.fetch_add(1, Relaxed);
                serve(stream, clusters, Arc::clone(&log)).await;
                log.open.fetch_sub(1, Relaxed);
            });
        }
    }
}

/// Answers on one connection as the cluster to which it was made.
async fn serve(stream: TcpStream, clusters: Arc<Vec<Cluster>>, log: Arc<Log>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let number = number(stream.local_addr().ok()?)?;
    let stream = clusters.get(number)?.tls.accept(stream).await.ok()?;
    let answer = service_fn(move |request: Request<Incoming>| {
        note(&log.requests);
        let (parts, _) = request.into_parts();
        let answer: Response<Bytes> = respond(&clusters[number].apiserver, &parts);
        ready(Ok::<_, Infallible>(answer.map(Full::new)))
    });
    let server = Builder::new(TokioExecutor::new());
    server
        .serve_connection(TokioIo::new(stream), answer)
        .await
        .ok()
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(FIRST) + number)
}

fn number(address: SocketAddr) -> Option<usize> {
    let IpAddr::V4(address) = address.ip() else {
        return None;
    };
    usize::try_from(u32::from(address).checked_sub(u32::from(FIRST))?).ok()
}

/// An RSA key of 2048 bits. Nobody signs with it, so any odd number does as its modulus.
fn key() -> Result<Jwk> {
    let mut modulus = [0; 256];
    fastrand::fill(&mut modulus);
    modulus[0] |= 0x80;
    modulus[255] |= 1;
    let n = URL_SAFE_NO_PAD.encode(modulus);
    let key = json!({
        "use": "sig", "kty": "RSA", "kid": random(32), "alg": "RS256", "n": n, "e": "AQAB",
    });
    Ok(serde_json::from_value(key)?)
}

fn random(length: usize) -> String {
    let bytes: Vec<_> = (0..length).map(|_| fastrand::u8(..)).collect();
    URL_SAFE_NO_PAD.encode(bytes)
}

const FIRST: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 0);
const HOST: &str = "oidc.example.com";
const JWKS_PATH: &str = "/openid/v1/jwks";
const KEYS: usize = 3;
/// As long as the token of a service account.
const TOKEN_BYTES: usize = 700;

//! The settings as meant: what the rest of the program may believe.
//!
//! Everything here was checked by [`Settings::load`]; a value of these types
//! needs no further validation. Durations are positive, paths are as the operator wrote them.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use http::HeaderValue;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

pub use super::address::Address;
use crate::{
    cache_control,
    oidc::{Issuer, Policy},
};

/// Everything the process was asked to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the ledgers are kept; `None` keeps them in memory only.
    pub state_dir: Option<PathBuf>,
    /// The name of this process among those that publish to one place; `None` for the host's.
    pub publisher: Option<String>,
    /// The mirrors of this process, at least one, with distinct names and routes.
    pub mirrors: Vec<Mirror>,
    /// Where and how to serve; `None` when nothing listens.
    pub serve: Option<Serve>,
    /// Where the operator asks how it goes; `None` when nothing answers.
    pub admin: Option<Admin>,
}

/// One cluster mirrored to one issuer.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// The name used in logs.
    pub name: String,
    /// The public issuer.
    pub issuer: Issuer,
    /// The addresses of the API servers, scheme `https`, no path; empty means the one address that
    /// the kubeconfig or the in-cluster environment names.
    pub upstreams: Vec<Url>,
    /// How to authenticate to the upstreams and whom to trust there.
    pub credentials: Credentials,
    /// Time between two rounds of polling, before jitter.
    pub poll_interval: Duration,
    /// Deadline of one read from an upstream, connection included.
    pub timeout: Duration,
    /// What to do when an upstream names another issuer than the public one.
    pub on_issuer_mismatch: OnIssuerMismatch,
    /// HTTP metadata of both documents, served and published alike.
    pub metadata: Metadata,
    /// Members added to the discovery document, sorted by name.
    pub discovery_members: Vec<(String, Value)>,
    /// Where the documents are published to.
    pub targets: Vec<Target>,
    /// How the targets are kept as they should be.
    pub upkeep: Upkeep,
    /// Which keys are published, and for how long.
    pub keys: Keys,
}

/// How the targets of a mirror are kept as they should be.
#[derive(Clone, Copy, Debug)]
pub struct Upkeep {
    /// Time between two comparisons of what is published with what should be.
    pub reconcile_interval: Duration,
    /// What to do when somebody else changed what is published.
    pub on_drift: OnDrift,
    /// How long a silent publisher to the same place is counted on; at least the retention.
    pub publisher_expiry: Duration,
    /// Whether the documents are read back from the public issuer after each change.
    pub read_back: bool,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            reconcile_interval: Duration::from_mins(5),
            on_drift: OnDrift::default(),
            publisher_expiry: Duration::from_hours(7 * 24),
            read_back: true,
        }
    }
}

/// What to do when somebody else changed what is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDrift {
    /// Say so and write what should be there.
    #[default]
    Repair,
    /// Say so and leave it, until there is something new to publish.
    Report,
}

/// Which keys are published, and for how long.
#[derive(Clone, Debug)]
pub struct Keys {
    /// What the settings say about each key; later decisions of the operator come on top.
    pub policy: Policy,
    /// Files of public keys, PEM or JWKS, that are published beside those of the upstreams.
    pub extra_files: Vec<PathBuf>,
    /// How old the last answer of an upstream may be while the documents are still given out;
    /// `None` for any age.
    pub max_stale: Option<Duration>,
    /// How long the slowest relying party goes on using a key set that it has read.
    pub relying_party_cache: Duration,
}

/// How to authenticate to the upstreams of a mirror and whom to trust there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing was configured: the in-cluster service account when there is one, otherwise the
    /// current kubeconfig.
    Ambient,
    /// Explicit files.
    Files(CredentialFiles),
    /// A kubeconfig: the one named, or those that `KUBECONFIG` or the home directory name.
    Kubeconfig {
        /// The kubeconfig file; `None` for the usual places.
        file: Option<PathBuf>,
        /// The context to use; `None` for `current-context`.
        context: Option<String>,
    },
}

/// Explicit credential files. Every one is read again when it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialFiles {
    /// PEM bundle of the CAs that sign the upstreams' certificates; `None` for the system's.
    pub ca_file: Option<PathBuf>,
    /// File with the bearer token.
    pub token_file: Option<PathBuf>,
    /// Client certificate chain and private key, both PEM.
    pub client_certificate: Option<KeyPairFiles>,
    /// The DNS name to expect in the upstreams' certificates instead of the address.
    pub server_name: Option<String>,
}

/// A certificate chain and its private key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPairFiles {
    /// The certificate chain, leaf first.
    pub cert_file: PathBuf,
    /// The private key of the leaf.
    pub key_file: PathBuf,
}

/// What to do when an upstream names another issuer than the public one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnIssuerMismatch {
    /// Publish and warn: the documents must exist before the API server's flag is switched.
    #[default]
    Publish,
    /// Keep the last good snapshot until the issuers agree.
    Refuse,
}

/// HTTP metadata of the documents, served and published alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// `Cache-Control` of both documents.
    pub cache_control: HeaderValue,
    /// `Content-Type` of the JWKS; the discovery document is always `application/json`.
    pub jwks_content_type: HeaderValue,
}

impl Metadata {
    /// How long a relying party may go on without reading a document again.
    pub(crate) fn max_age(&self) -> Duration {
        let text = self.cache_control.to_str().ok();
        text.and_then(cache_control::max_age).unwrap_or_default()
    }
}

/// A place the documents are published to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A directory that a web server serves.
    Directory(PathBuf),
    /// A bucket of an S3 or S3-compatible store.
    S3(S3Target),
}

impl Target {
    /// What tells two targets apart: the URL and, for a store of its own, the endpoint.
    pub(super) fn place(&self) -> (String, Option<&Url>) {
        let endpoint = match self {
            Self::Directory(_) => None,
            Self::S3(target) => target.endpoint.as_ref(),
        };
        (self.to_string(), endpoint)
    }
}

/// The URL as configured.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "file://{}", path.display()),
            Self::S3(target) => target.fmt(f),
        }
    }
}

/// A bucket of an S3 or S3-compatible store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Target {
    /// The bucket.
    pub bucket: String,
    /// What object keys start with, without leading or trailing slash; may be empty.
    pub prefix: String,
    /// The region; `None` for what the environment or the profile says.
    pub region: Option<String>,
    /// The endpoint of a compatible store; `None` for AWS.
    pub endpoint: Option<Url>,
    /// PEM bundle of the CAs that sign the endpoint's certificate; `None` for the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether the bucket stands in the path instead of the host name.
    pub path_style: bool,
    /// The AWS profile; `None` for the usual credential chain.
    pub profile: Option<String>,
    /// Server-side encryption asked for with each write.
    pub encryption: Encryption,
}

/// The URL as configured.
impl fmt::Display for S3Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix.as_str() {
            "" => write!(f, "s3://{}", self.bucket),
            prefix => write!(f, "s3://{}/{prefix}", self.bucket),
        }
    }
}

/// Server-side encryption asked for with each write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    /// `AES256` (SSE-S3): readable without credentials, which SSE-KMS is not.
    #[default]
    Aes256,
    /// Nothing is asked for: what the bucket does by default, or for stores that refuse the header.
    BucketDefault,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            extra_files: Vec::new(),
            max_stale: None,
            relying_party_cache: Duration::from_mins(15),
        }
    }
}

/// Where the operator asks how it goes.
#[derive(Clone, Copy, Debug)]
pub struct Admin {
    /// The address, in plain HTTP: meant for loopback or the network of the pod.
    pub listen: SocketAddr,
}

/// Where and how to serve.
#[derive(Clone, Debug)]
pub struct Serve {
    /// Where to listen: at least one address.
    pub listen: Vec<Address>,
    /// Where the certificates come from; `None` serves plain HTTP, for use behind a proxy.
    pub tls: Option<Tls>,
    /// Whether each connection begins with the address of the client, by the PROXY protocol.
    pub proxy_protocol: bool,
    /// Whether each request is logged.
    pub access_log: bool,
    /// What one client, or all of them, may take.
    pub limits: Limits,
    /// How long requests in flight may take after SIGTERM.
    pub shutdown_grace: Duration,
}

/// What clients may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at one time; further ones wait to be accepted.
    pub max_connections: usize,
    /// Connections at one time from one IPv4 address or IPv6 network of 64 bits; further ones are
    /// closed. 0 for any number.
    pub max_connections_per_address: usize,
    /// Deadline of the TLS handshake.
    pub handshake_timeout: Duration,
    /// Deadline of the first request's head.
    pub header_timeout: Duration,
    /// The longest head of a request.
    pub max_header_bytes: usize,
    /// How long a connection may stay open without a further request.
    pub idle_timeout: Duration,
    /// HTTP/2 requests at one time on one connection.
    pub max_streams: u32,
    /// HTTP/2 streams that a client may reset before they are answered.
    pub max_resets: usize,
    /// Requests after which a connection is closed, in good order. 0 for any number.
    pub max_requests_per_connection: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            max_connections_per_address: 1024,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            max_header_bytes: 16 * 1024,
            idle_timeout: Duration::from_mins(1),
            max_streams: 32,
            max_resets: 20,
            max_requests_per_connection: 10_000,
        }
    }
}

/// Where the certificates of the listeners come from.
#[derive(Clone, Debug)]
pub enum Tls {
    /// An ACME server (RFC 8555) issues them.
    Acme(Box<Acme>),
    /// Somebody else puts them there and renews them.
    Files(KeyPairFiles),
}

/// How certificates are had from an ACME server.
#[derive(Clone, Debug)]
pub struct Acme {
    /// The URL of the server's directory, scheme `https`.
    pub directory: Url,
    /// PEM bundle of the CAs that sign the server's own certificate; `None` for the system's.
    pub ca_file: Option<PathBuf>,
    /// Whom the CA may write to, as URLs.
    pub contact: Vec<String>,
    /// How the CA sees that the domains are ours.
    pub challenge: Challenge,
    /// The account at the CA that the ACME account belongs to.
    pub external_account: Option<ExternalAccount>,
    /// The DNS names to have a certificate for each, at least one, lower-case.
    pub domains: Vec<String>,
    /// Where the account and the certificates are kept.
    pub keep_in: PathBuf,
}

/// How a CA sees that a domain is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// By a file that is fetched over plain HTTP from port 80 (RFC 8555 section 8.3).
    Http01 {
        /// Where to answer: at least one address.
        listen: Vec<Address>,
    },
    /// By a TLS handshake on port 443, on the listeners themselves (RFC 8737).
    TlsAlpn01,
}

/// The account at a CA that an ACME account belongs to (RFC 8555 section 7.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccount {
    /// What the CA calls the key.
    pub key_id: String,
    /// File with the key, base64url.
    pub key_file: PathBuf,
}

//! A simulated control plane: several API servers over TLS, each with its own keys.
//!
//! As with file keys of a real one, an API server reads its keys when it starts, so rotating a key
//! means restarting the API servers one after the other.

use std::{
    convert::Infallible,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::header::CONTENT_TYPE;
use http_body_util::Full;
use thiserror::Error;

use super::{
    Apiserver, Authority, Certificate, CertificateError, Claims, Https, KeyError, KeyKind, Port,
    ServiceAccount, SigningKey, TlsError, apiserver::JWK_SET, respond, tls,
};

/// A running cluster; dropping it ends its API servers.
#[derive(Debug)]
pub struct Cluster {
    issuer: String,
    certificate: Certificate,
    token: String,
    directory: PathBuf,
    servers: Vec<Server>,
}

/// One API server of the cluster.
#[derive(Debug)]
struct Server {
    port: Port,
    keys: Vec<SigningKey>,
    signing: SigningKey,
    /// How often its JWKS was read since it was last started.
    reads: Arc<AtomicU64>,
    /// `None` while the API server is down.
    running: Option<Https>,
}

impl Cluster {
    /// Starts `count` API servers that share one key, and writes to `directory` what a client
    /// needs: the CA as `ca.crt` and the bearer token of the mirror's service account as `token`.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] when a file cannot be written or an API server cannot be started.
    pub async fn start(
        count: usize,
        issuer: &str,
        directory: &Path,
        now: SystemTime,
    ) -> Result<Self, ClusterError> {
        let authority = Authority::new("kubernetes")?;
        let certificate = authority.issue(&["kubernetes", "localhost", "127.0.0.1"])?;
        let key = SigningKey::generate(KeyKind::Rsa2048)?;
        let claims = Claims::new(issuer, &account(MIRROR), issuer, TOKEN_LIFETIME, now);
        let mut cluster = Self {
            issuer: issuer.to_owned(),
            certificate,
            token: key.sign(&claims)?,
            directory: directory.to_owned(),
            servers: Vec::with_capacity(count),
        };
        write(&cluster.ca_file(), &authority.pem())?;
        write(&cluster.token_file(), &cluster.token)?;
        for index in 0..count {
            cluster.servers.push(Server {
                port: Port::reserve().map_err(ClusterError::Bind)?,
                keys: Vec::new(),
                signing: key.clone(),
                reads: Arc::default(),
                running: None,
            });
            cluster
                .restart(index, vec![key.clone()], key.clone())
                .await?;
        }
        Ok(cluster)
    }

    /// The addresses of the API servers.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.servers
            .iter()
            .map(|server| server.port.address())
            .collect()
    }

    /// PEM file of the CA that signed the API servers' certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// File with the bearer token of the mirror's service account.
    pub fn token_file(&self) -> PathBuf {
        self.directory.join("token")
    }

    /// The keys that an API server lists, in order.
    ///
    /// # Panics
    ///
    /// When there is no such API server.
    pub fn keys(&self, index: usize) -> &[SigningKey] {
        &self.servers[index].keys
    }

    /// The key that an API server signs with.
    ///
    /// # Panics
    ///
    /// When there is no such API server.
    pub fn signing_key(&self, index: usize) -> &SigningKey {
        &self.servers[index].signing
    }

    /// How often the keys of an API server were read since it was last started.
    ///
    /// # Panics
    ///
    /// When there is no such API server.
    pub fn reads(&self, index: usize) -> u64 {
        self.servers[index].reads.load(Ordering::Relaxed)
    }

    /// Stops an API server: until it is restarted its port refuses connections.
    ///
    /// # Panics
    ///
    /// When there is no such API server.
    pub async fn stop(&mut self, index: usize) {
        if let Some(running) = self.servers[index].running.take() {
            running.stop().await;
        }
    }

    /// Starts an API server again on its port: it lists `keys` and signs with `signing`.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] when its port cannot be listened on.
    ///
    /// # Panics
    ///
    /// When there is no such API server.
    pub async fn restart(
        &mut self,
        index: usize,
        keys: Vec<SigningKey>,
        signing: SigningKey,
    ) -> Result<(), ClusterError> {
        self.stop(index).await;
        let tls = tls(&self.certificate, None)?;
        let server = &mut self.servers[index];
        let apiserver = Arc::new(Apiserver {
            anonymous: false,
            issuer: self.issuer.clone(),
            jwks_uri: format!("https://{}/openid/v1/jwks", server.port.address()),
            keys: keys.iter().map(|key| key.jwk().clone()).collect(),
            token: self.token.clone(),
        });
        let listener = server.port.listen().map_err(ClusterError::Bind)?;
        server.keys = keys;
        server.signing = signing;
        // A new one: a request that the stopped server still had in hand must not count.
        let reads = Arc::<AtomicU64>::default();
        server.reads = Arc::clone(&reads);
        server.running = Some(Https::start(listener, tls, move |request| {
            let response = respond(&apiserver, &request.into_parts().0);
            if response
                .headers()
                .get(CONTENT_TYPE)
                .is_some_and(|value| value == JWK_SET)
            {
                reads.fetch_add(1, Ordering::Relaxed);
            }
            async { Ok::<_, Infallible>(response.map(Full::new)) }
        }));
        Ok(())
    }

    /// A token of a workload's service account for `audience`, signed by one API server.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] when signing fails.
    ///
    /// # Panics
    ///
    /// When there is no such API server.
    pub fn mint(
        &self,
        index: usize,
        audience: &str,
        now: SystemTime,
    ) -> Result<String, ClusterError> {
        let account = account(WORKLOAD);
        let claims = Claims::new(&self.issuer, &account, audience, TOKEN_LIFETIME, now);
        Ok(self.servers[index].signing.sign(&claims)?)
    }
}

fn account((namespace, name, uid): (&str, &str, &str)) -> ServiceAccount {
    ServiceAccount {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
    }
}

fn write(path: &Path, text: &str) -> Result<(), ClusterError> {
    fs::write(path, text).map_err(|source| ClusterError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Why the cluster could not be started, or an API server of it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// No loopback port can be listened on.
    #[error("could not listen on a loopback port for a simulated API server")]
    Bind(#[source] io::Error),
    /// The CA or a certificate cannot be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A key cannot be made or used.
    #[error("could not make or use a signing key")]
    Key(#[from] KeyError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A file cannot be written.
    #[error("could not write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How long tokens are valid, as the EKS pod identity webhook asks for.
const TOKEN_LIFETIME: Duration = Duration::from_hours(24);
/// Namespace, name and uid of the service account that the mirror reads with.
const MIRROR: (&str, &str, &str) = (
    "kube-system",
    "oidc-mirror",
    "0d6b8b2e-6c1f-4c39-9f0e-6d0a7f6f3a51",
);
/// Namespace, name and uid of the service account whose tokens relying parties see.
const WORKLOAD: (&str, &str, &str) = (
    "default",
    "workload",
    "7f0e5a0c-3c1d-4f5e-8f1b-2b9a4a1f0c63",
);

#[cfg(test)]
mod tests {
    use std::{io::ErrorKind, time::UNIX_EPOCH};

    use tokio::net::TcpStream;

    use super::*;

    async fn start(directory: &Path) -> Cluster {
        Cluster::start(2, "https://localhost:8443", directory, UNIX_EPOCH)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_stopped_api_server_refuses_connections_until_it_is_back() {
        let directory = tempfile::tempdir().unwrap();
        let mut cluster = start(directory.path()).await;
        let [first, second] = cluster.addresses()[..] else {
            panic!("there are two");
        };
        let key = SigningKey::generate(KeyKind::P256).unwrap();

        cluster.stop(0).await;
        let error = TcpStream::connect(first).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        TcpStream::connect(second).await.unwrap();

        cluster
            .restart(0, vec![key.clone()], key.clone())
            .await
            .unwrap();
        TcpStream::connect(first).await.unwrap();
        assert_eq!(cluster.keys(0)[0].kid(), key.kid());
        assert_ne!(cluster.keys(1)[0].kid(), key.kid());
    }

    #[tokio::test]
    async fn dropping_the_cluster_ends_it() {
        let directory = tempfile::tempdir().unwrap();
        let cluster = start(directory.path()).await;
        let address = cluster.addresses()[0];
        TcpStream::connect(address).await.unwrap();
        drop(cluster);
        // The tasks end when the runtime next runs them.
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

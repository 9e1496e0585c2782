//! The whole service, set up by settings as on a command line, and clients of it.

use std::{
    collections::BTreeSet,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::ETAG};
use oidc_mirror::{
    cli::service::{Service, TaskDied},
    config::{Override, settings::Settings},
    demo::Authority,
    oidc::Issuer,
};
use reqwest::{Certificate, Client, ClientBuilder};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName},
    version::TLS12,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpStream, sync::oneshot, task::JoinHandle};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{ApiServer, DISCOVERY, JWKS};

/// What a service is asked to do: settings, each written as for `--set`, and the files they name.
pub(crate) struct Plan {
    authority: Authority,
    directory: TempDir,
    hosts: BTreeSet<String>,
    mirrors: usize,
    file: Option<PathBuf>,
    settings: Vec<String>,
}

impl Plan {
    /// Serves over TLS on a free port; mirrors nothing yet.
    pub(crate) fn new() -> Self {
        let mut plan = Self::plain();
        let [cert_file, key_file] = plan.tls_files().map(|path| path.display().to_string());
        plan.add(format!("serve.tls.cert-file={cert_file}"));
        plan.add(format!("serve.tls.key-file={key_file}"));
        plan
    }

    /// Serves over plain HTTP on a free port; mirrors nothing yet.
    pub(crate) fn plain() -> Self {
        Self {
            authority: Authority::new("public").unwrap(),
            directory: tempfile::tempdir().unwrap(),
            hosts: BTreeSet::from([STRANGER.to_owned()]),
            mirrors: 0,
            file: None,
            settings: vec![r#"serve.listen=["127.0.0.1:0"]"#.to_owned()],
        }
    }

    /// Mirrors these API servers, in this order, to this issuer, which nobody can reach.
    pub(crate) fn mirror(mut self, issuer: &str, servers: &[&ApiServer]) -> Self {
        let at = self.mirrors;
        self.mirrors += 1;
        let host = Issuer::parse(issuer).unwrap().host().to_owned();
        self.hosts.insert(host);
        let path = |name: &str| self.directory.path().join(format!("{name}-{at}"));
        let (ca_file, token_file) = (path("ca.crt"), path("token"));
        let authorities = servers.iter().map(|it| fs::read(it.ca_file()).unwrap());
        fs::write(&ca_file, authorities.collect::<Vec<_>>().concat()).unwrap();
        if let Some(server) = servers.first() {
            fs::copy(server.token_file(), &token_file).unwrap();
        }
        let upstreams: Vec<_> = servers.iter().map(|it| it.url()).collect();
        let upstreams = serde_json::to_string(&upstreams).unwrap();
        for setting in [
            format!("name=mirror-{at}"),
            format!("issuer={issuer}"),
            format!("upstreams={upstreams}"),
            format!("ca-file={}", ca_file.display()),
            format!("token-file={}", token_file.display()),
            "read-back=false".to_owned(),
        ] {
            self.add(format!("mirror.{at}.{setting}"));
        }
        self
    }

    /// Replaces the token that the mirror with this number shows to its API servers.
    pub(crate) fn write_token(&self, mirror: usize, token: &str) {
        fs::write(self.directory.path().join(format!("token-{mirror}")), token).unwrap();
    }

    /// Adds a setting, or replaces one.
    pub(crate) fn set(mut self, setting: &str) -> Self {
        self.add(setting.to_owned());
        self
    }

    fn add(&mut self, setting: String) {
        self.settings.push(setting);
    }

    /// Takes everything about mirrors from this file, and only how to serve from the plan.
    pub(crate) fn configured_by(mut self, file: &Path) -> Self {
        self.settings.retain(|it| it.starts_with("serve."));
        self.file = Some(file.to_owned());
        self
    }

    /// The arguments of `oidc-mirror run`, whose files are there from now on.
    pub(crate) fn arguments(&self) -> Vec<String> {
        self.write_certificate();
        let file = self.file.iter();
        let file = file.flat_map(|it| ["--config".to_owned(), it.display().to_string()]);
        let sets = self
            .settings
            .iter()
            .flat_map(|it| ["--set".to_owned(), it.clone()]);
        file.chain(sets).collect()
    }

    /// Starts the service in this process, polling much faster than an operator may ask for.
    pub(crate) async fn start(self) -> Running {
        self.start_with(|_| ()).await
    }

    /// As [`Self::start`], after changing what cannot be written in a configuration.
    pub(crate) async fn start_with(self, change: impl FnOnce(&mut Settings)) -> Running {
        self.write_certificate();
        let overrides: Vec<_> = self
            .settings
            .iter()
            .map(|setting| Override::parse(setting).unwrap())
            .collect();
        let mut settings = Settings::load(None, &overrides).unwrap();
        for mirror in &mut settings.mirrors {
            mirror.poll_interval = POLL_INTERVAL;
        }
        change(&mut settings);
        let service = Service::bind(settings).await.unwrap();
        let addresses = service.addresses();
        let admin = service.admin_address();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(service.run(async {
            _ = stopped.await;
        }));
        Running {
            addresses,
            admin,
            stop,
            task,
            plan: self,
        }
    }

    /// A client that trusts the certificate and finds every host at `address`.
    pub(crate) fn client(&self, address: SocketAddr) -> ClientBuilder {
        // reqwest takes the provider of the process; an error says that there is one already.
        _ = aws_lc_rs::default_provider().install_default();
        let ca = Certificate::from_pem(self.authority.pem().as_bytes()).unwrap();
        let builder = Client::builder()
            .no_proxy()
            .timeout(DEADLINE)
            .tls_certs_only([ca]);
        self.hosts
            .iter()
            .fold(builder, |builder, host| builder.resolve(host, address))
    }

    /// TLS of one version for `protocols`, trusting the certificate.
    pub(crate) fn tls(
        &self,
        version: &'static SupportedProtocolVersion,
        protocols: &[&str],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        config
    }

    /// The certificate that is served for `host` at `address`.
    pub(crate) async fn served(&self, address: SocketAddr, host: &str) -> CertificateDer<'static> {
        let stream = Self::connect_for(address, host, self.tls(&TLS12, &[])).await;
        certificate_of(&stream.unwrap())
    }

    /// A TLS connection for `host`, by this configuration.
    pub(crate) async fn connect_for(
        address: SocketAddr,
        host: &str,
        config: impl Into<Arc<ClientConfig>>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(host.to_owned()).unwrap();
        TlsConnector::from(config.into())
            .connect(name, stream)
            .await
    }

    /// A TLS connection on which nothing was sent yet. Version 1.2, in which the server has
    /// finished the handshake when the client has.
    pub(crate) async fn connect(&self, address: SocketAddr) -> TlsStream<TcpStream> {
        let config = self.tls(&TLS12, &["http/1.1"]);
        let stream = Self::connect_for(address, STRANGER, config).await;
        stream.unwrap()
    }

    /// A directory that is there as long as the plan.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Who signs the certificates.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Where the certificate and its key are.
    pub(crate) fn tls_files(&self) -> [PathBuf; 2] {
        ["tls.crt", "tls.key"].map(|name| self.directory.path().join(name))
    }

    fn write_certificate(&self) {
        let names: Vec<_> = self.hosts.iter().map(String::as_str).collect();
        let [cert_file, key_file] = self.tls_files();
        let certificate = self.authority.issue(&names).unwrap();
        certificate.write(&cert_file, &key_file).unwrap();
    }
}

/// The certificate that a server has shown.
pub(crate) fn certificate_of(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let (_, session) = stream.get_ref();
    session.peer_certificates().unwrap()[0].clone().into_owned()
}

/// A running service; its tasks end with the test.
pub(crate) struct Running {
    pub(crate) addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), TaskDied>>,
    plan: Plan,
}

impl Running {
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where the operator asks: with the setting `admin.listen=127.0.0.1:0`.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin.unwrap()
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// A client that finds every host at the first address.
    pub(crate) fn client(&self) -> Client {
        self.plan.client(self.address()).build().unwrap()
    }

    /// One GET on a connection of its own.
    pub(crate) async fn get(&self, url: &str) -> Answer {
        answer(self.client().get(url)).await
    }

    /// Both documents of an issuer, as soon as they are there.
    pub(crate) async fn documents(&self, issuer: &str) -> Documents {
        eventually("the documents are there", async || {
            self.present(issuer).await
        })
        .await
    }

    /// Both documents of an issuer as soon as these keys, in this order, are in them.
    pub(crate) async fn documents_with(&self, issuer: &str, kids: &[&str]) -> Documents {
        eventually(&format!("the keys are {kids:?}"), async || {
            let documents = self.present(issuer).await?;
            (documents.kids() == kids).then_some(documents)
        })
        .await
    }

    /// Both documents of an issuer, if there are any at this moment.
    pub(crate) async fn present(&self, issuer: &str) -> Option<Documents> {
        let issuer = Issuer::parse(issuer).unwrap();
        let discovery = self.get(&issuer.discovery_url()).await;
        let jwks = self.get(&issuer.jwks_url()).await;
        let found = [&discovery, &jwks].map(|answer| answer.status == StatusCode::OK);
        (found == [true; 2]).then_some(Documents { discovery, jwks })
    }

    /// Tells the service to stop and waits until it has.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap().unwrap();
    }
}

/// An answer, read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Sends a request and reads the answer.
pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer {
        status: response.status(),
        headers: response.headers().clone(),
        body: response.bytes().await.unwrap(),
    }
}

/// The two documents as served.
#[derive(Clone, Debug)]
pub(crate) struct Documents {
    pub(crate) discovery: Answer,
    pub(crate) jwks: Answer,
}

impl Documents {
    /// The ids of the keys, in their order.
    pub(crate) fn kids(&self) -> Vec<String> {
        let jwks: Value = serde_json::from_slice(&self.jwks.body).unwrap();
        let keys = jwks["keys"].as_array().unwrap();
        keys.iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// Equal when bytes and entity tags are.
impl PartialEq for Documents {
    fn eq(&self, other: &Self) -> bool {
        let essence = |it: &Self| {
            [&it.discovery, &it.jwks].map(|it| (it.body.clone(), it.headers[ETAG].clone()))
        };
        essence(self) == essence(other)
    }
}

/// Waits until what `server` answers from now on was read and handed over: until it is asked again
/// after one whole round, or one that had begun and a whole one.
pub(crate) async fn rounds_pass(server: &ApiServer) {
    // A round begins with the discovery document, and may end there.
    let before = count(server, DISCOVERY);
    eventually("the API server is asked again and again", async || {
        (count(server, DISCOVERY) >= before + 3).then_some(())
    })
    .await;
}

/// How often `server` was asked for its keys.
pub(crate) fn asked(server: &ApiServer) -> usize {
    count(server, JWKS)
}

fn count(server: &ApiServer, path: &str) -> usize {
    let requests = server.requests();
    requests.iter().filter(|it| it.path == path).count()
}

/// Tries until there is something, for as long as even a slow machine needs.
pub(crate) async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let trying = async {
        loop {
            if let Some(found) = attempt().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(DEADLINE, trying).await {
        Ok(found) => found,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}

/// A host that the certificate names and no issuer has.
pub(crate) const STRANGER: &str = "stranger.example.net";
/// Far longer than anything that goes well takes.
const DEADLINE: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

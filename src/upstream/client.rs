//! One API server: the connections to it, and a round of reading it.

use std::{panic, sync::Arc};

use http::{
    HeaderValue,
    header::{ACCEPT, AUTHORIZATION},
};
use reqwest::{
    Client,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use tokio::{
    net::lookup_host,
    task::spawn_blocking,
    time::{Duration, Instant, timeout_at},
};
use url::{Host, Url};

use super::{
    credentials::{Environment, Identity, Material, Source},
    error::{CredentialError, FetchError},
    plugin::Issued,
    response::{self, Document},
    tls,
};
use crate::{
    config::settings::Mirror,
    oidc::{self, KeySet, LeftOut},
};

/// The upstreams of `mirror`, one per address in the order configured; without any, the one that
/// the kubeconfig or the in-cluster environment names. Nothing is sent yet and no plugin runs.
///
/// # Errors
///
/// [`CredentialError`] when the credentials cannot be used as they are.
pub async fn connect(mirror: &Mirror) -> Result<Vec<Upstream>, CredentialError> {
    let (source, server) = Source::locate(&mirror.credentials, &Environment::of_process())?;
    let material = Arc::new(read(&source).await?);
    let mut urls = mirror.upstreams.clone();
    if urls.is_empty() {
        urls.extend(server.or_else(|| material.server.clone()));
    }
    if urls.is_empty() {
        return Err(CredentialError::NoServer);
    }
    urls.into_iter()
        .map(|url| {
            if !is_usable(&url) {
                return Err(CredentialError::Server {
                    // Not the whole: it may hold a password.
                    url: url.origin().ascii_serialization(),
                    from: "the settings or the kubeconfig".to_owned(),
                });
            }
            Ok(Upstream {
                session: Session::open(&url, Arc::clone(&material), None)?,
                source: source.clone(),
                timeout: mirror.timeout,
                url,
            })
        })
        .collect()
}

/// One API server address.
#[derive(Debug)]
pub struct Upstream {
    url: Url,
    source: Source,
    timeout: Duration,
    session: Session,
}

impl Upstream {
    /// The address as configured.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Reads both documents, within the deadline configured.
    ///
    /// # Errors
    ///
    /// [`FetchError`]; the upstream may be asked again.
    pub async fn fetch(&mut self) -> Result<Answer, FetchError> {
        let deadline = Instant::now() + self.timeout;
        let outcome = match timeout_at(deadline, self.fetch_before(deadline)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(FetchError::Timeout {
                url: self.url.to_string(),
                limit: self.timeout,
            }),
        };
        if outcome.as_ref().is_err_and(FetchError::is_of_connection) {
            // A connection that went silent would be used again and again until the kernel gives
            // up on it, a quarter of an hour later: start over with a new one.
            self.session.reconnect(&self.url);
        }
        outcome
    }

    async fn fetch_before(&mut self, deadline: Instant) -> Result<Answer, FetchError> {
        let renewed = self.renew(Renew::IfChanged, deadline).await;
        if !self.session.is_ready()
            && let Err(source) = renewed
        {
            return Err(self.credentials_failed(source));
        }
        let answer = match self.read_documents().await {
            Err(FetchError::Unauthorized { url }) if renewed.is_ok() => {
                match self.renew(Renew::Now, deadline).await {
                    Ok(true) => self.read_documents().await,
                    Ok(false) => Err(FetchError::Unauthorized { url }),
                    Err(source) => Err(self.credentials_failed(source)),
                }
            }
            answer => answer,
        };
        match (answer, renewed) {
            // The new files are bad and the old ones no longer do.
            (Err(error), Err(source)) if error.is_of_credentials() => {
                Err(self.credentials_failed(source))
            }
            (answer, _) => answer,
        }
    }

    /// Reads the credentials again and starts over with them if they are new. What cannot be used
    /// leaves the old ones in place: a file may be half written.
    async fn renew(&mut self, renew: Renew, deadline: Instant) -> Result<bool, CredentialError> {
        let material = read(&self.source).await?;
        let changed = material != *self.session.material;
        let run = match (&material.plugin, &self.session.issued) {
            (None, _) => None,
            (Some(plugin), None) => Some(plugin),
            (Some(plugin), Some(issued)) => {
                (changed || renew == Renew::Now || issued.is_due()).then_some(plugin)
            }
        };
        if !changed && run.is_none() {
            return Ok(false);
        }
        let issued = match run {
            Some(plugin) => Some(plugin.run(deadline).await?),
            None => None,
        };
        self.session = Session::open(&self.url, Arc::new(material), issued)?;
        Ok(true)
    }

    async fn read_documents(&self) -> Result<Answer, FetchError> {
        let (discovery, jwks) = tokio::try_join!(self.get(DISCOVERY_PATH), self.get(JWKS_PATH))?;
        let refuse = |path| {
            move |reject| FetchError::Rejected {
                url: at(&self.url, path).to_string(),
                reject,
            }
        };
        let issuer = oidc::upstream_issuer(&discovery.body).map_err(refuse(DISCOVERY_PATH))?;
        let (keys, left_out) = KeySet::parse(&jwks.body).map_err(refuse(JWKS_PATH))?;
        Ok(Answer {
            issuer,
            keys,
            left_out,
            max_age: jwks.max_age,
        })
    }

    async fn get(&self, path: &str) -> Result<Document, FetchError> {
        let url = at(&self.url, path).to_string();
        let mut request = self
            .session
            .client
            .get(at(&self.session.base, path))
            .header(ACCEPT, ACCEPTED);
        if let Some(authorization) = self.session.authorization() {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let trust = &self.session.material.trust;
        let response = request
            .send()
            .await
            .map_err(|error| FetchError::of_transport(&url, trust, &error))?;
        response::read(response, &url, trust).await
    }

    fn credentials_failed(&self, source: CredentialError) -> FetchError {
        FetchError::Credentials {
            url: self.url.to_string(),
            source,
        }
    }
}

/// What one upstream answered.
#[derive(Debug)]
pub struct Answer {
    /// The issuer that the upstream puts into tokens, unchecked.
    pub issuer: String,
    /// The keys that may be published.
    pub keys: KeySet,
    /// The keys that may not.
    pub left_out: Vec<LeftOut>,
    /// How long the upstream lets others use the keys: a new key signs no sooner than that after
    /// it is first listed (`PublicKeysGetter` in `pkg/serviceaccount/openidmetadata.go`).
    pub max_age: Option<Duration>,
}

/// When to start over with new credentials.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Renew {
    /// When the files changed or the plugin's credentials end.
    IfChanged,
    /// Also when the plugin has not said that they end: the API server did.
    Now,
}

/// Credentials, and the connections made with them.
#[derive(Debug)]
struct Session {
    material: Arc<Material>,
    issued: Option<Issued>,
    client: Client,
    /// The URL that requests are made for: the upstream's, or with the server name as its host.
    base: Url,
}

impl Session {
    fn open(
        url: &Url,
        material: Arc<Material>,
        issued: Option<Issued>,
    ) -> Result<Self, CredentialError> {
        let mut base = url.clone();
        if let Some(name) = &material.server_name {
            base.set_host(Some(name))
                .map_err(|_| CredentialError::ServerName { name: name.clone() })?;
        }
        Ok(Self {
            client: client(url, &material, issued.as_ref())?,
            base,
            material,
            issued,
        })
    }

    /// Forgets all connections.
    fn reconnect(&mut self, url: &Url) {
        // It was built from the same parts before. Should it fail nevertheless, for the system's
        // CAs are gone, the connections there are may still do.
        if let Ok(client) = client(url, &self.material, self.issued.as_ref()) {
            self.client = client;
        }
    }

    /// Whether there is something to ask with: a plugin must have run before.
    fn is_ready(&self) -> bool {
        self.material.plugin.is_none() || self.issued.is_some()
    }

    fn authorization(&self) -> Option<&HeaderValue> {
        self.issued
            .as_ref()
            .and_then(|issued| issued.authorization.as_ref())
            .or(self.material.authorization.as_ref())
    }
}

fn client(
    url: &Url,
    material: &Material,
    issued: Option<&Issued>,
) -> Result<Client, CredentialError> {
    let identity: Option<&Identity> = issued
        .and_then(|issued| issued.identity.as_ref())
        .or(material.identity.as_ref());
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls::client_config(&material.trust, identity)?)
        .user_agent(USER_AGENT)
        .https_only(true)
        .redirect(Policy::none())
        .referer(false)
        .no_proxy();
    if material.server_name.is_some() {
        builder = builder.dns_resolver(Dial::new(url));
    }
    builder.build().map_err(CredentialError::Client)
}

/// Resolves every name to the upstream's host: the server name stands in the URL only for TLS.
struct Dial {
    host: String,
    port: u16,
}

impl Dial {
    fn new(url: &Url) -> Self {
        Self {
            // An IPv6 address without its brackets.
            host: match url.host() {
                Some(Host::Ipv6(address)) => address.to_string(),
                _ => url.host_str().unwrap_or_default().to_owned(),
            },
            port: url.port_or_known_default().unwrap_or_default(),
        }
    }
}

impl Resolve for Dial {
    fn resolve(&self, _: Name) -> Resolving {
        let (host, port) = (self.host.clone(), self.port);
        Box::pin(async move { Ok(Box::new(lookup_host((host, port)).await?) as Addrs) })
    }
}

async fn read(source: &Source) -> Result<Material, CredentialError> {
    let source = source.clone();
    // Nobody cancels the task, so that its only failure is a panic.
    spawn_blocking(move || source.read())
        .await
        .unwrap_or_else(|error| panic::resume_unwind(error.into_panic()))
}

/// Whether it names an API server and nothing else. A path is left to proxies such as Rancher's.
fn is_usable(url: &Url) -> bool {
    url.scheme() == "https"
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

/// The URL of a document below the address of an API server.
fn at(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

/// Where kube-apiserver has the discovery document (`pkg/serviceaccount/openidmetadata.go`).
const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";
/// Where kube-apiserver has the keys, whatever `jwks_uri` says.
const JWKS_PATH: &str = "/openid/v1/jwks";
/// kube-apiserver has the keys only as `application/jwk-set+json`, and answers 406 to a client
/// that accepts only `application/json`.
const ACCEPTED: &str = "application/jwk-set+json, application/json;q=0.9, */*;q=0.1";
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn documents_stand_below_the_address() {
        for (base, expected) in [
            (
                "https://10.0.0.11:6443",
                "https://10.0.0.11:6443/openid/v1/jwks",
            ),
            ("https://[fd00::1]/", "https://[fd00::1]/openid/v1/jwks"),
            (
                "https://rancher.example.com/k8s/clusters/c-1/",
                "https://rancher.example.com/k8s/clusters/c-1/openid/v1/jwks",
            ),
        ] {
            let url = at(&Url::parse(base).unwrap(), JWKS_PATH);
            assert_eq!(url.as_str(), expected);
        }
    }

    #[test]
    fn an_address_is_https_and_carries_nothing_else() {
        for (url, usable) in [
            ("https://10.0.0.11:6443", true),
            ("https://rancher.example.com/k8s/clusters/c-1", true),
            ("http://10.0.0.11:8080", false),
            ("https://user:password@10.0.0.11", false),
            ("https://10.0.0.11/?a=b", false),
            ("https://10.0.0.11/#a", false),
        ] {
            assert_eq!(is_usable(&Url::parse(url).unwrap()), usable, "{url}");
        }
    }

    #[tokio::test]
    async fn every_name_dials_the_host_of_the_upstream() {
        for (url, expected) in [
            ("https://127.0.0.1:6443", "127.0.0.1:6443"),
            ("https://[::1]", "[::1]:443"),
        ] {
            let dial = Dial::new(&Url::parse(url).unwrap());
            let addresses = dial.resolve("kubernetes".parse().unwrap()).await.unwrap();
            let expected: SocketAddr = expected.parse().unwrap();
            assert_eq!(addresses.collect::<Vec<_>>(), [expected]);
        }
    }
}

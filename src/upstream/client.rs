//! One API server: the connections to it, and a round of reading it.

use std::{panic, sync::Arc};

use http::HeaderValue;
use rustls::ClientConfig;
use tokio::{
    task::spawn_blocking,
    time::{Duration, Instant, timeout_at},
};
use url::Url;

use super::{
    connection::Connection,
    credentials::{Environment, Material, Source},
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
                outlives_a_pause: mirror.poll_interval <= LONGEST_IDLE,
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
    /// Whether a connection is still open in the next round.
    outlives_a_pause: bool,
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
        if !self.outlives_a_pause {
            self.session.connection = None;
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

    async fn read_documents(&mut self) -> Result<Answer, FetchError> {
        let discovery = self.get(DISCOVERY_PATH).await?;
        let jwks = self.get(JWKS_PATH).await?;
        let base = &self.url;
        let refuse = |path| {
            move |reject| FetchError::Rejected {
                url: at(base, path).to_string(),
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

    /// Asks on the connection of before; on a new one when it is gone, since the API server may
    /// close at any time what is idle.
    async fn get(&mut self, path: &str) -> Result<Document, FetchError> {
        // Whoever fails, or is cut short by the deadline, takes the connection along.
        if let Some(kept) = self.session.connection.take() {
            match self.ask(kept, path).await {
                Err(error) if error.is_of_connection() => {}
                answered => return answered,
            }
        }
        let Session { base, tls, .. } = &self.session;
        let opened = Connection::open(&self.url, base, tls).await;
        let connection = opened.map_err(|error| {
            let url = at(&self.url, path).to_string();
            FetchError::of_connecting(url, &self.session.material.trust, &error)
        })?;
        self.ask(connection, path).await
    }

    async fn ask(&mut self, connection: Connection, path: &str) -> Result<Document, FetchError> {
        let url = at(&self.url, path).to_string();
        let session = &mut self.session;
        let trust = &session.material.trust;
        let target = at(&session.base, path);
        let read = |response| response::read(response, &url, trust);
        let answered = connection.get(&target, session.authorization(), read).await;
        let (document, connection) =
            answered.map_err(|error| FetchError::of_transport(url.clone(), trust, &*error))?;
        let document = document?;
        session.connection = connection;
        Ok(document)
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

/// Credentials, and the connection made with them.
#[derive(Debug)]
struct Session {
    material: Arc<Material>,
    issued: Option<Issued>,
    tls: Arc<ClientConfig>,
    /// The URL that requests are made for: the upstream's, or with the server name as its host.
    base: Url,
    connection: Option<Connection>,
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
        let identity = issued.as_ref().and_then(|issued| issued.identity.as_ref());
        let identity = identity.or(material.identity.as_ref());
        Ok(Self {
            tls: Arc::new(tls::client_config(&material.trust, identity)?),
            base,
            connection: None,
            material,
            issued,
        })
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
/// The longest pause that a connection outlives: kube-apiserver closes it after 90 s (`IdleTimeout`
/// in `staging/src/k8s.io/apiserver/pkg/server/secure_serving.go`), and a pause has its jitter.
const LONGEST_IDLE: Duration = Duration::from_secs(80);

#[cfg(test)]
mod tests {
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
}

//! `demo`: the whole service against a simulated cluster, and the story of a key rotation.

use std::{
    fs,
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    pin::pin,
    time::{Duration, SystemTime},
};

use clap::Args;
use http::HeaderValue;
use thiserror::Error;
use tokio::time::sleep;
use url::Url;

use super::{
    Exit, StartError, runtime,
    service::{Service, TaskDied},
};
use crate::{
    Report,
    config::settings::{
        Address, Admin, CredentialFiles, Credentials, KeyPairFiles, Keys, Limits, Metadata, Mirror,
        OnIssuerMismatch, Serve, Settings, Target, Tls, Upkeep,
    },
    demo::{Authority, CertificateError, Cluster, ClusterError, Story, StoryError, Tally},
    oidc::{Issuer, IssuerError, Policy},
    verify::{RelyingParty, VerifyError},
};

/// The command line of `demo`.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Address to serve on; the issuer is "localhost" with its port, over https
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Address for the operator, who finds a status page there
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    admin: SocketAddr,
    /// Where to keep certificates and published documents [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Tell the story once and exit: with 0 when every verification held
    #[arg(long)]
    once: bool,
}

#[expect(clippy::print_stderr, reason = "the demo speaks to people")]
pub(super) fn execute(arguments: Arguments) -> Exit {
    runtime::block_on(async {
        match demonstrate(arguments).await {
            Ok(Tally { failed: 0, .. }) => Exit::Done,
            Ok(_) => Exit::Failed,
            Err(error) => {
                eprintln!("oidc-mirror demo: {}", Report(&error));
                Exit::Failed
            }
        }
    })
}

async fn demonstrate(arguments: Arguments) -> Result<Tally, DemoError> {
    // Removed when this function returns.
    let mut temporary = None;
    let directory = match &arguments.directory {
        Some(directory) => directory,
        None => temporary
            .insert(tempfile::tempdir().map_err(DemoError::Directory)?)
            .path(),
    };
    let stage = Stage::set(directory, &arguments).await?;
    let (service, mut story) = stage.begin(anstream::stdout()).await?;

    let mut serving = pin!(service.run(std::future::pending()));
    tokio::select! {
        ended = &mut serving => ended?,
        told = tell(&mut story, arguments.once) => told?,
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(DemoError::Signal)?,
    }
    let tally = story.tally();
    story.say(&format!(
        "\n{} verifications held, {} failed",
        tally.held, tally.failed
    ))?;
    Ok(tally)
}

/// Tells the story, once or for ever.
async fn tell<W: Write>(story: &mut Story<W>, once: bool) -> Result<(), StoryError> {
    story.open().await?;
    loop {
        story.rotate().await?;
        if once {
            return Ok(());
        }
        story.say(&format!(
            "\nThe mirror goes on serving and the key is rotated again every {} s. Ctrl-C ends it.",
            AGAIN.as_secs()
        ))?;
        sleep(AGAIN).await;
    }
}

/// All that must be there before the mirror is started.
struct Stage {
    cluster: Cluster,
    issuer: Issuer,
    listen: SocketAddr,
    admin: SocketAddr,
    /// PEM file of the CA that relying parties trust.
    ca_file: PathBuf,
    tls: KeyPairFiles,
    published: PathBuf,
}

impl Stage {
    async fn set(directory: &Path, arguments: &Arguments) -> Result<Self, DemoError> {
        let folder = |name| {
            let folder = directory.join(name);
            fs::create_dir_all(&folder)
                .map(|()| folder)
                .map_err(DemoError::Directory)
        };
        let (cluster, issuer) = (folder("cluster")?, folder("issuer")?);
        let listen = arguments.listen;
        let listen = reserve(listen).map_err(|source| DemoError::Listen { listen, source })?;
        let url = format!("https://localhost:{}", listen.port());
        let cluster = Cluster::start(API_SERVERS, &url, &cluster, now()).await?;

        let authority = Authority::new("oidc-mirror demo")?;
        let tls = KeyPairFiles {
            cert_file: issuer.join("tls.crt"),
            key_file: issuer.join("tls.key"),
        };
        let ca_file = issuer.join("ca.crt");
        fs::write(&ca_file, authority.pem()).map_err(DemoError::Directory)?;
        authority
            .issue(&["localhost"])?
            .write(&tls.cert_file, &tls.key_file)
            .map_err(DemoError::Directory)?;
        Ok(Self {
            cluster,
            issuer: Issuer::parse(&url)?,
            listen,
            admin: arguments.admin,
            ca_file,
            tls,
            published: folder("published")?,
        })
    }

    /// Starts the mirror as `run` does, and the story.
    async fn begin<W: Write>(self, out: W) -> Result<(Service, Story<W>), DemoError> {
        let service = Service::bind(self.settings()).await;
        let service = service.map_err(DemoError::Start)?;
        let pem = fs::read(&self.ca_file).map_err(DemoError::Directory)?;
        let relying_party = RelyingParty::new(self.issuer.clone(), Some(&pem))?;
        let opening = self.opening(service.admin_address());
        let mut story = Story::new(self.cluster, relying_party, out, now);
        story.say(&opening)?;
        Ok((service, story))
    }

    fn settings(&self) -> Settings {
        Settings {
            state_dir: None,
            publisher: None,
            admin: Some(Admin { listen: self.admin }),
            mirrors: vec![Mirror {
                name: "demo".to_owned(),
                issuer: self.issuer.clone(),
                upstreams: self.upstreams(),
                credentials: Credentials::Files(CredentialFiles {
                    ca_file: Some(self.cluster.ca_file()),
                    token_file: Some(self.cluster.token_file()),
                    ..CredentialFiles::default()
                }),
                poll_interval: Duration::from_secs(1),
                timeout: Duration::from_secs(5),
                on_issuer_mismatch: OnIssuerMismatch::Refuse,
                metadata: Metadata {
                    cache_control: HeaderValue::from_static("public, max-age=1"),
                    jwks_content_type: HeaderValue::from_static("application/json"),
                },
                discovery_members: Vec::new(),
                targets: vec![Target::Directory(self.published.clone())],
                upkeep: Upkeep {
                    read_back: false,
                    ..Upkeep::default()
                },
                keys: Keys {
                    policy: Policy {
                        retain_keys: RETAIN_KEYS,
                        ..Policy::default()
                    },
                    ..Keys::default()
                },
            }],
            serve: Some(Serve {
                listen: vec![Address::Tcp(self.listen)],
                tls: Some(Tls::Files(self.tls.clone())),
                proxy_protocol: false,
                access_log: false,
                limits: Limits::default(),
                shutdown_grace: Duration::from_secs(1),
            }),
        }
    }

    fn upstreams(&self) -> Vec<Url> {
        let mut urls = Vec::new();
        for address in self.cluster.addresses() {
            urls.extend(Url::parse(&format!("https://{address}")));
        }
        urls
    }

    fn opening(&self, admin: Option<SocketAddr>) -> String {
        let Self {
            cluster,
            issuer,
            ca_file,
            published,
            ..
        } = self;
        let mut lines = vec!["A simulated cluster, and the mirror in front of it:".to_owned()];
        for (number, address) in (1..).zip(cluster.addresses()) {
            lines.push(format!("  API server {number}  https://{address}, private"));
        }
        lines.push(format!("  issuer        {issuer}, for everybody"));
        lines.push(format!("  published to  {}", published.display()));
        lines.extend(
            admin.map(|admin| format!("  status page   http://{admin}/, for the operator")),
        );
        lines.push("\nTry it from another terminal:".to_owned());
        for url in [issuer.discovery_url(), issuer.jwks_url()] {
            lines.push(format!("  curl --cacert {} {url}", ca_file.display()));
        }
        lines.join("\n")
    }
}

/// A free port in place of port 0, since the issuer must name it before anything listens there.
fn reserve(listen: SocketAddr) -> io::Result<SocketAddr> {
    match listen.port() {
        0 => TcpListener::bind(listen)?.local_addr(),
        _ => Ok(listen),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the simulated cluster has no other clock"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Why the demo cannot go on.
#[derive(Debug, Error)]
enum DemoError {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("could not use the demo's directory; name another one with --directory")]
    Directory(#[source] io::Error),
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    #[error("could not listen on {listen}; name another address with --listen")]
    Listen {
        listen: SocketAddr,
        source: io::Error,
    },
    #[error("could not listen for Ctrl-C")]
    Signal(#[source] io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Story(#[from] StoryError),
    #[error(transparent)]
    TaskDied(#[from] TaskDied),
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// How many API servers the simulated cluster has.
const API_SERVERS: usize = 2;
/// So short that one can watch a key retire.
const RETAIN_KEYS: Duration = Duration::from_mins(2);
/// Time between two rotations.
const AGAIN: Duration = Duration::from_secs(30);

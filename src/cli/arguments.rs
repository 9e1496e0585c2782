//! The command line as clap reads it.

use std::{io, path::PathBuf};

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use tracing::{error, level_filters::LevelFilter};

use super::{Exit, check, demo, keys, logging::Logging, publish, run, status};
use crate::{
    Report,
    config::{ConfigError, Override, settings::Settings},
};

/// Mirrors the OIDC documents of a private Kubernetes cluster to its public issuer.
///
/// It reads the discovery document and the signing keys (JWKS) from the API servers, rewrites them
/// for the public issuer and serves them over HTTPS or publishes them to a bucket, so that AWS,
/// Google Cloud, Azure, Vault and others can verify service-account tokens without reaching the
/// API server.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    logging: Logging,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what was understood of the configuration; contacts nobody
    Check {
        #[command(flatten)]
        selection: Selection,
        #[command(flatten)]
        listening: Listening,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// See the whole thing work with a simulated cluster: needs nothing
    Demo(demo::Arguments),
    /// Show each key: is it safe to sign with, and when may it go?
    ///
    /// Changes nothing, and works beside a running mirror. Exits with 0 when the keys are shown,
    /// with 1 when they cannot be read, and with 78 when the configuration cannot work.
    Keys(Box<keys::Arguments>),
    /// Publish the documents once to a bucket or directory, and exit
    ///
    /// Exits with 0 when the documents are there, whether or not they had to be written, with 1
    /// when something failed, and with 78 when the configuration cannot work.
    Publish {
        #[command(flatten)]
        selection: Selection,
        /// Show what would change and write nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Serve the documents, and publish them to the targets, until told to stop
    Run {
        #[command(flatten)]
        selection: Selection,
        #[command(flatten)]
        listening: Listening,
    },
    /// Show how a running mirror stands, and what to do where it does not stand well
    ///
    /// Exits with 0 when all is well, with 1 when something needs attention or the mirror does not
    /// answer, and with 78 when it is not known where to ask.
    Status(Box<status::Arguments>),
}

/// What to mirror: a file, or the few settings of a one-line use.
#[derive(Args, Clone, Debug)]
pub(super) struct Selection {
    /// The configuration file; flags override what it says
    #[arg(long, short, value_name = "FILE", env = "OIDC_MIRROR_CONFIG")]
    config: Option<PathBuf>,
    /// The public issuer: the API server's first --service-account-issuer
    #[arg(long, value_name = "URL", env = "OIDC_MIRROR_ISSUER")]
    issuer: Option<String>,
    /// Address of an API server, once for each [default: the kubeconfig's, or the cluster's own]
    #[arg(
        long,
        value_name = "URL",
        env = "OIDC_MIRROR_UPSTREAM",
        value_delimiter = ','
    )]
    upstream: Vec<String>,
    /// The kubeconfig to authenticate with [default: in a pod its service account, else KUBECONFIG
    /// or ~/.kube/config]
    #[arg(long, value_name = "FILE", env = "OIDC_MIRROR_KUBECONFIG")]
    kubeconfig: Option<String>,
    /// The context of the kubeconfig [default: its current-context]
    #[arg(long, value_name = "NAME", env = "OIDC_MIRROR_CONTEXT")]
    context: Option<String>,
    // As `help`, since rustdoc would take the URLs for links.
    #[arg(help = "Where to publish to: s3://bucket/prefix or file:///directory, once for each")]
    #[arg(
        long,
        value_name = "URL",
        env = "OIDC_MIRROR_TO",
        value_delimiter = ','
    )]
    to: Vec<String>,
    /// The directory that keeps what is known of the keys
    #[arg(long, value_name = "DIR", env = "OIDC_MIRROR_STATE_DIR")]
    state_dir: Option<String>,
    /// The name of this process among those that publish to one place [default: the host's]
    #[arg(long, value_name = "NAME", env = "OIDC_MIRROR_PUBLISHER")]
    publisher: Option<String>,
    /// Any setting of the configuration file, such as mirror.target.region=eu-central-1
    #[arg(long, value_name = "KEY=VALUE", value_parser = Override::parse)]
    set: Vec<Override>,
}

/// Where to serve.
#[derive(Args, Clone, Debug)]
pub(super) struct Listening {
    /// Address to serve on, once for each, such as 0.0.0.0:443
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "OIDC_MIRROR_LISTEN",
        value_delimiter = ','
    )]
    listen: Vec<String>,
    /// The certificate chain, PEM; without it plain HTTP is served
    #[arg(long, value_name = "FILE", env = "OIDC_MIRROR_TLS_CERT_FILE")]
    tls_cert_file: Option<String>,
    /// The private key of the certificate, PEM
    #[arg(long, value_name = "FILE", env = "OIDC_MIRROR_TLS_KEY_FILE")]
    tls_key_file: Option<String>,
}

impl Cli {
    /// Does what the command line says.
    pub fn execute(self) -> Exit {
        // The demo tells its own story.
        let level = if matches!(self.command, Command::Demo(_)) {
            LevelFilter::ERROR
        } else {
            LevelFilter::INFO
        };
        self.logging.start(level);
        match self.command {
            Command::Check {
                selection,
                listening,
            } => with(selection.load(Some(listening)), check::execute),
            Command::Completions { shell } => {
                let out = &mut io::stdout();
                clap_complete::generate(shell, &mut Self::command(), "oidc-mirror", out);
                Exit::Done
            }
            Command::Demo(arguments) => demo::execute(arguments),
            Command::Keys(arguments) => keys::execute(*arguments),
            Command::Publish { selection, dry_run } => with(selection.load(None), |settings| {
                publish::execute(&settings, dry_run)
            }),
            Command::Run {
                selection,
                listening,
            } => run::execute(|| selection.clone().load(Some(listening.clone()))),
            Command::Status(arguments) => status::execute(*arguments),
        }
    }
}

/// Runs a subcommand with its settings, if they can be used.
pub(super) fn with(
    settings: Result<Settings, ConfigError>,
    subcommand: impl FnOnce(Settings) -> Exit,
) -> Exit {
    match settings {
        Ok(settings) => subcommand(settings),
        Err(error) => {
            error!(error = %Report(&error), "the configuration cannot be used");
            Exit::Configuration
        }
    }
}

impl Selection {
    /// The settings that the file, the flags and `--set` amount to, in this order.
    pub(super) fn load(self, listening: Option<Listening>) -> Result<Settings, ConfigError> {
        let one = |flag, key, value: Option<String>| Some(Override::flag(flag, key, value?));
        let many = |flag, key, values: Vec<String>| {
            (!values.is_empty()).then(|| Override::flag(flag, key, values))
        };
        let targets: Vec<_> = self
            .to
            .into_iter()
            .map(|url| toml::Table::from_iter([("url".to_owned(), url.into())]))
            .collect();
        let mut overrides = vec![
            one("--issuer", "mirror.issuer", self.issuer),
            many("--upstream", "mirror.upstreams", self.upstream),
            one("--kubeconfig", "mirror.kubeconfig", self.kubeconfig),
            one("--context", "mirror.context", self.context),
            (!targets.is_empty()).then(|| Override::flag("--to", "mirror.target", targets)),
            one("--state-dir", "state-dir", self.state_dir),
            one("--publisher", "publisher", self.publisher),
        ];
        if let Some(listening) = listening {
            overrides.extend([
                many("--listen", "serve.listen", listening.listen),
                one(
                    "--tls-cert-file",
                    "serve.tls.cert-file",
                    listening.tls_cert_file,
                ),
                one(
                    "--tls-key-file",
                    "serve.tls.key-file",
                    listening.tls_key_file,
                ),
            ]);
        }
        let overrides: Vec<_> = overrides.into_iter().flatten().chain(self.set).collect();
        Settings::load(self.config.as_deref(), &overrides)
    }
}

const EXAMPLES: &str = "\
Examples:
  oidc-mirror demo --once
  oidc-mirror publish --issuer https://oidc.example.com --to s3://example-oidc
  oidc-mirror run --issuer https://oidc.example.com --listen '[::]:443' \\
      --tls-cert-file tls.crt --tls-key-file tls.key
  oidc-mirror check --config /etc/oidc-mirror/mirror.toml
  oidc-mirror keys --config /etc/oidc-mirror/mirror.toml
  oidc-mirror status --config /etc/oidc-mirror/mirror.toml";

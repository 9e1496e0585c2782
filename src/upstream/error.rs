//! Why an upstream could not be read, and what the operator does about it.
//!
//! No message shows a token, a key, what a plugin printed or what a server wrote.

use std::{error::Error, io, path::PathBuf};

use http::StatusCode;
use thiserror::Error;
use tokio::time::Duration;

use super::{credentials::Trust, plugin::PluginFault, tls};
use crate::oidc::Reject;

/// Why the credentials cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// No certificate in PEM.
    #[error("{from} holds no usable PEM certificate")]
    Certificates {
        /// The file or kubeconfig member.
        from: String,
    },
    /// Client certificate and key do not belong together, or the key is of an unknown kind.
    #[error("the client certificate of {from} cannot be used with its key")]
    Identity {
        /// The file or kubeconfig member of the certificate.
        from: String,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
    /// A kubeconfig says something that cannot be followed.
    #[error("cannot use kubeconfig {name}: {why}")]
    Kubeconfig {
        /// The file, or the files it was put together from.
        name: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// An exec plugin without a command.
    #[error("the exec plugin of the kubeconfig names no command")]
    NoPluginCommand,
    /// Nobody says which address to read.
    #[error("there is no API server to read: set `upstreams`, or name it in the kubeconfig")]
    NoServer,
    /// No CA was configured and the system has none either.
    #[error(
        "no CA is configured and the system's cannot be loaded: set `ca-file` to the CA of the \
         cluster"
    )]
    NoSystemCas(#[source] rustls::Error),
    /// There are no credentials.
    #[error(
        "found no credentials: this is no pod with a service account, and there is no kubeconfig \
         ({}); set `token-file` or `client-certificate` with `ca-file`, or `kubeconfig`", listed(.looked_for)
    )]
    NotFound {
        /// The kubeconfigs that are not there.
        looked_for: Vec<PathBuf>,
    },
    /// An exec plugin gave no credentials.
    #[error("the exec plugin \"{command}\" {fault}; run it by hand to see what it says")]
    Plugin {
        /// The command, without its arguments.
        command: String,
        /// What happened.
        fault: PluginFault,
    },
    /// No private key in PEM.
    #[error("{from} holds no usable PEM private key")]
    PrivateKey {
        /// The file or kubeconfig member.
        from: String,
    },
    /// A file cannot be read.
    #[error("could not read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The address of an API server is no plain https URL.
    #[error("\"{url}\" from {from} is no https URL of an API server")]
    Server {
        /// The address.
        url: String,
        /// Who gave it.
        from: String,
    },
    /// A server name that can stand in no certificate, or is an address.
    #[error("server name \"{}\" is no DNS name", .name.escape_debug())]
    ServerName {
        /// The name.
        name: String,
    },
    /// A file that holds no token.
    #[error("{from} holds no bearer token: it is empty or has characters that no token has")]
    Token {
        /// The file or kubeconfig member.
        from: String,
    },
}

/// Why an upstream could not be read. The last good snapshot stays.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The connection ended before the answer did.
    #[error("the answer of {url} broke off: {cause}")]
    Broken {
        /// The document.
        url: String,
        /// What the system said.
        cause: String,
    },
    /// There is no connection.
    #[error("could not connect to {url}: {cause}")]
    Connect {
        /// The document.
        url: String,
        /// What the system said.
        cause: String,
    },
    /// Something else than JSON.
    #[error(
        "{url} answered with a content type that is not JSON; check that the address is that of an \
         API server and not of a proxy or login page"
    )]
    ContentType {
        /// The document.
        url: String,
    },
    /// The credentials cannot be used any more.
    #[error("no usable credentials for {url}")]
    Credentials {
        /// The address.
        url: String,
        /// Why.
        #[source]
        source: CredentialError,
    },
    /// A compressed answer, which was not asked for.
    #[error("{url} answered with a content encoding that was not asked for")]
    Encoding {
        /// The document.
        url: String,
    },
    /// 403.
    #[error(
        "{url} is forbidden for these credentials; bind the ClusterRole \
         system:service-account-issuer-discovery to them"
    )]
    Forbidden {
        /// The document.
        url: String,
    },
    /// 406.
    #[error(
        "{url} has none of the types asked for (406 Not Acceptable); check that no proxy in front of \
         it changes the Accept header"
    )]
    NotAcceptable {
        /// The document.
        url: String,
    },
    /// 404.
    #[error(
        "{url} was not found; the first --service-account-issuer of this API server is probably no \
         https URL, without which it does not serve the documents"
    )]
    NotFound {
        /// The document.
        url: String,
    },
    /// A redirect, which is never followed.
    #[error(
        "{url} redirects ({status}), which is not followed; configure the address of the API server \
         itself"
    )]
    Redirect {
        /// The document.
        url: String,
        /// The status.
        status: StatusCode,
    },
    /// The document must not be published.
    #[error("{url} is refused")]
    Rejected {
        /// The document.
        url: String,
        /// Why.
        #[source]
        reject: Reject,
    },
    /// Another status.
    #[error("{url} answered {status}")]
    Status {
        /// The document.
        url: String,
        /// The status.
        status: StatusCode,
        /// The delay asked for, capped.
        retry_after: Option<Duration>,
    },
    /// 429.
    #[error("{url} is throttled by the API server (429 Too Many Requests)")]
    Throttled {
        /// The document.
        url: String,
        /// The delay asked for, capped.
        retry_after: Option<Duration>,
    },
    /// No complete answer before the deadline.
    #[error("{url} gave no complete answer within {}", humantime::format_duration(*.limit))]
    Timeout {
        /// The address.
        url: String,
        /// The deadline.
        limit: Duration,
    },
    /// The TLS handshake failed.
    #[error("could not agree on TLS with {url}: {advice}")]
    Tls {
        /// The document.
        url: String,
        /// What is probably wrong, and what to do.
        advice: String,
        /// What exactly happened.
        #[source]
        source: Box<rustls::Error>,
    },
    /// A document beyond the cap.
    #[error("{url} is longer than {} bytes", crate::oidc::MAX_DOCUMENT_BYTES)]
    TooLarge {
        /// The document.
        url: String,
    },
    /// 401.
    #[error(
        "{url} does not accept these credentials (401 Unauthorized); check that the token is of this \
         cluster and has not expired"
    )]
    Unauthorized {
        /// The document.
        url: String,
    },
}

impl FetchError {
    /// A short label for metrics and scripts.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Broken { .. } => "broken",
            Self::Connect { .. } => "connect",
            Self::ContentType { .. } => "content-type",
            Self::Credentials { .. } => "credentials",
            Self::Encoding { .. } => "encoding",
            Self::Forbidden { .. } => "forbidden",
            Self::NotAcceptable { .. } => "not-acceptable",
            Self::NotFound { .. } => "not-found",
            Self::Redirect { .. } => "redirect",
            Self::Rejected { reject, .. } => reject.reason(),
            Self::Status { .. } => "status",
            Self::Throttled { .. } => "throttled",
            Self::Timeout { .. } => "timeout",
            Self::Tls { .. } => "tls",
            Self::TooLarge { .. } => "too-large",
            Self::Unauthorized { .. } => "unauthorized",
        }
    }

    /// How long the API server asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } | Self::Throttled { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether it will not heal by itself and must not go unnoticed.
    pub fn needs_a_human(&self) -> bool {
        matches!(self, Self::Rejected { reject, .. } if reject.needs_a_human())
    }

    /// Whether other credentials may help.
    pub(super) fn is_of_credentials(&self) -> bool {
        matches!(
            self,
            Self::Forbidden { .. } | Self::Tls { .. } | Self::Unauthorized { .. }
        )
    }

    /// Whether another connection may help.
    pub(super) fn is_of_connection(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::Tls { .. })
    }

    /// There is no connection.
    pub(super) fn of_connecting(url: String, trust: &Trust, error: &io::Error) -> Self {
        let cause = cause(error);
        Self::of_tls(&url, trust, error).unwrap_or(Self::Connect { url, cause })
    }

    /// There was a connection.
    pub(super) fn of_transport(url: String, trust: &Trust, error: &(dyn Error + 'static)) -> Self {
        let cause = cause(error);
        Self::of_tls(&url, trust, error).unwrap_or(Self::Broken { url, cause })
    }

    fn of_tls(url: &str, trust: &Trust, error: &(dyn Error + 'static)) -> Option<Self> {
        let source = tls::find(error)?;
        Some(Self::Tls {
            url: url.to_owned(),
            advice: tls::advice(source, trust),
            source: Box::new(source.clone()),
        })
    }
}

/// What is at the root of an error.
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    let cause = root.to_string();
    // Some messages of rustls end in a link to its manual, which is for programmers.
    match cause.split_once(": https://") {
        Some((cause, _)) => cause.to_owned(),
        None => cause,
    }
}

fn listed(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    if paths.is_empty() {
        return "no place to look: neither KUBECONFIG nor a home directory is set".to_owned();
    }
    format!("looked for {}", paths.join(", "))
}

#[cfg(test)]
#[path = "tests/error.rs"]
mod tests;

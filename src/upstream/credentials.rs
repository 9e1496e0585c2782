//! Credentials: where they come from, and what was read there.
//!
//! Whatever the kind, the files are read again before each round and compared with what was read
//! before; nothing watches them, since a projected volume swaps symbolic links that watchers miss.

use std::{
    env,
    ffi::OsString,
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use http::HeaderValue;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use url::Url;

use super::{error::CredentialError, kubeconfig, plugin::Plugin};
use crate::config::settings::{CredentialFiles, Credentials};

/// Where the credentials of a mirror come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Files of their own, the in-cluster service account's included.
    Files(CredentialFiles),
    /// One kubeconfig, or several that make one.
    Kubeconfig {
        /// The files, most significant first.
        files: Vec<PathBuf>,
        /// The context to use; `None` for `current-context`.
        context: Option<String>,
    },
}

impl Source {
    /// Finds the source, and the address of the API server if the environment names one.
    ///
    /// # Errors
    ///
    /// [`CredentialError::NotFound`] when nothing is configured and nothing is there.
    pub(super) fn locate(
        credentials: &Credentials,
        environment: &Environment,
    ) -> Result<(Self, Option<Url>), CredentialError> {
        match credentials {
            Credentials::Ambient => environment.ambient(),
            Credentials::Files(files) => Ok((Self::Files(files.clone()), None)),
            Credentials::Kubeconfig { file, context } => {
                let files = match file {
                    Some(file) => vec![file.clone()],
                    None => environment.kubeconfigs(),
                };
                let context = context.clone();
                Ok((Self::Kubeconfig { files, context }, None))
            }
        }
    }

    /// Reads everything there is. It blocks on the file system.
    ///
    /// # Errors
    ///
    /// [`CredentialError`] naming the file that cannot be used and why.
    pub(super) fn read(&self) -> Result<Material, CredentialError> {
        match self {
            Self::Files(files) => read_files(files),
            Self::Kubeconfig { files, context } => kubeconfig::read(files, context.as_deref()),
        }
    }
}

/// What the process environment says about credentials.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    kubeconfig: Option<OsString>,
    home: Option<PathBuf>,
    service_host: Option<OsString>,
    service_port: Option<OsString>,
    service_account: PathBuf,
}

impl Environment {
    /// That of this process.
    pub(super) fn of_process() -> Self {
        Self {
            kubeconfig: env::var_os("KUBECONFIG"),
            home: env::home_dir(),
            service_host: env::var_os("KUBERNETES_SERVICE_HOST"),
            service_port: env::var_os("KUBERNETES_SERVICE_PORT"),
            service_account: PathBuf::from(SERVICE_ACCOUNT),
        }
    }

    /// The in-cluster service account where there is one, otherwise the usual kubeconfig.
    fn ambient(&self) -> Result<(Source, Option<Url>), CredentialError> {
        let token_file = self.service_account.join("token");
        if let Some(host) = &self.service_host
            && token_file.exists()
        {
            let server = self.service_url(host)?;
            let files = CredentialFiles {
                ca_file: Some(self.service_account.join("ca.crt")),
                token_file: Some(token_file),
                ..CredentialFiles::default()
            };
            return Ok((Source::Files(files), Some(server)));
        }
        let files = self.kubeconfigs();
        if files.iter().any(|file| file.exists()) {
            let context = None;
            return Ok((Source::Kubeconfig { files, context }, None));
        }
        Err(CredentialError::NotFound { looked_for: files })
    }

    /// The address of the API server inside the cluster. IPv6 comes without brackets.
    fn service_url(&self, host: &OsString) -> Result<Url, CredentialError> {
        let host = host.to_string_lossy();
        let port = self
            .service_port
            .as_ref()
            .map_or_else(|| "443".into(), |port| port.to_string_lossy());
        let bracketed = format!("https://[{host}]:{port}");
        let plain = format!("https://{host}:{port}");
        let url = if host.contains(':') { bracketed } else { plain };
        Url::parse(&url).map_err(|_| CredentialError::Server {
            url,
            from: "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT".to_owned(),
        })
    }

    /// As kubectl does: the files `KUBECONFIG` lists, otherwise the one in the home directory.
    fn kubeconfigs(&self) -> Vec<PathBuf> {
        let listed: Vec<_> = self
            .kubeconfig
            .iter()
            .flat_map(env::split_paths)
            .filter(|file| !file.as_os_str().is_empty())
            .collect();
        if !listed.is_empty() {
            return listed;
        }
        self.home
            .iter()
            .map(|home| home.join(".kube").join("config"))
            .collect()
    }
}

/// What was read: parsed, so that nothing of it can be wrong any more.
///
/// Its `Debug` shows no secret: the header is marked sensitive and keys elide themselves.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Material {
    /// The API server that a kubeconfig names.
    pub(super) server: Option<Url>,
    /// Who signs the upstreams' certificates.
    pub(super) trust: Trust,
    /// The name to expect in the upstreams' certificates instead of the address.
    pub(super) server_name: Option<String>,
    /// The client certificate.
    pub(super) identity: Option<Identity>,
    /// The value of the `Authorization` header.
    pub(super) authorization: Option<HeaderValue>,
    /// The plugin that gives out a token or a client certificate.
    pub(super) plugin: Option<Plugin>,
}

/// Who signs the upstreams' certificates.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// These CAs and no other.
    Bundle {
        /// The CAs, at least one.
        roots: Vec<CertificateDer<'static>>,
        /// Where they were read.
        from: String,
    },
    /// Whom the system trusts.
    System,
}

impl Trust {
    /// Parses a PEM bundle.
    pub(super) fn parse(pem: &[u8], from: &str) -> Result<Self, CredentialError> {
        Ok(Self::Bundle {
            roots: certificates(pem, from)?,
            from: from.to_owned(),
        })
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle { from, .. } => write!(f, "the CA of {from}"),
            Self::System => f.write_str("the CAs this system trusts"),
        }
    }
}

/// A client certificate chain and its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// The chain, leaf first, never empty.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The key of the leaf.
    pub(super) key: PrivateKeyDer<'static>,
    /// Where the chain was read.
    pub(super) from: String,
}

impl Identity {
    /// Parses both from PEM; `from` is where the chain was read, `key_from` where the key was.
    pub(super) fn parse(
        (chain, from): (&[u8], &str),
        (key, key_from): (&[u8], &str),
    ) -> Result<Self, CredentialError> {
        Ok(Self {
            chain: certificates(chain, from)?,
            // The parser's own error may repeat a line of the file.
            key: PrivateKeyDer::from_pem_slice(key).map_err(|_| CredentialError::PrivateKey {
                from: key_from.to_owned(),
            })?,
            from: from.to_owned(),
        })
    }
}

/// The `Authorization` header for a token, marked sensitive so that nothing prints it.
///
/// White space around the token is not part of it: `kubectl create token` ends with a new line.
pub(super) fn bearer(token: &str, from: &str) -> Result<HeaderValue, CredentialError> {
    let token = token.trim();
    let unusable = || CredentialError::Token {
        from: from.to_owned(),
    };
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unusable());
    }
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| unusable())?;
    value.set_sensitive(true);
    Ok(value)
}

/// A DNS name to expect in a certificate. Addresses are refused: there the URL says enough.
pub(super) fn server_name(name: &str) -> Result<String, CredentialError> {
    match ServerName::try_from(name) {
        Ok(ServerName::DnsName(_)) => Ok(name.to_owned()),
        _ => Err(CredentialError::ServerName {
            name: name.to_owned(),
        }),
    }
}

/// Reads a small file; what a kubeconfig refers to included.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, CredentialError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?
            .take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(bytes)
    };
    read().map_err(|source| CredentialError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Reads the file of a bearer token.
pub(super) fn read_token(path: &Path) -> Result<HeaderValue, CredentialError> {
    let from = path.display().to_string();
    let token = String::from_utf8(read_file(path)?)
        .map_err(|_| CredentialError::Token { from: from.clone() })?;
    bearer(&token, &from)
}

fn read_files(files: &CredentialFiles) -> Result<Material, CredentialError> {
    let trust = match &files.ca_file {
        Some(path) => Trust::parse(&read_file(path)?, &path.display().to_string())?,
        None => Trust::System,
    };
    let identity = match &files.client_certificate {
        Some(pair) => Some(Identity::parse(
            (
                &read_file(&pair.cert_file)?,
                &pair.cert_file.display().to_string(),
            ),
            (
                &read_file(&pair.key_file)?,
                &pair.key_file.display().to_string(),
            ),
        )?),
        None => None,
    };
    Ok(Material {
        server: None,
        trust,
        server_name: files.server_name.as_deref().map(server_name).transpose()?,
        identity,
        authorization: files.token_file.as_deref().map(read_token).transpose()?,
        plugin: None,
    })
}

fn certificates(pem: &[u8], from: &str) -> Result<Vec<CertificateDer<'static>>, CredentialError> {
    let unusable = || CredentialError::Certificates {
        from: from.to_owned(),
    };
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| unusable())?;
    if certificates.is_empty() {
        return Err(unusable());
    }
    Ok(certificates)
}

/// Where a pod finds its service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The longest file that is read: CA bundles of whole systems are a quarter of it.
pub(super) const MAX_FILE_BYTES: u64 = 1 << 20;

#[cfg(test)]
#[path = "tests/credentials.rs"]
mod tests;

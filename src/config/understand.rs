//! From the file as written to the settings as meant.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use http::HeaderValue;
use url::Url;

use super::{
    ConfigError, Override, file,
    settings::{CredentialFiles, Credentials, KeyPairFiles, Metadata, Mirror, Serve, Settings},
    target,
};
use crate::oidc::{Issuer, is_reserved};

impl Settings {
    /// Reads the file, if one is named, applies the overrides and checks the result.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] at the first setting that cannot be believed.
    pub fn load(file: Option<&Path>, overrides: &[Override]) -> Result<Self, ConfigError> {
        let file = file::read(file, overrides)?;
        let alone = file.mirror.len() == 1;
        let mirrors = file
            .mirror
            .into_iter()
            .enumerate()
            .map(|(at, mirror)| {
                // With one mirror its number need not be said, neither here nor in `--set`.
                let at = if alone {
                    "mirror".to_owned()
                } else {
                    format!("mirror.{at}")
                };
                understand_mirror(&at, mirror, alone)
            })
            .collect::<Result<Vec<_>, _>>()?;
        if mirrors.is_empty() {
            return Err(ConfigError::Missing {
                key: "mirror.issuer".into(),
                hint: ISSUER_HINT,
            });
        }
        refuse_collisions(&mirrors)?;
        let serve = file.serve.map(understand_serve).transpose()?;
        Ok(Self { mirrors, serve })
    }
}

fn understand_mirror(at: &str, mirror: file::Mirror, alone: bool) -> Result<Mirror, ConfigError> {
    let key = |name: &str| format!("{at}.{name}");
    let issuer = mirror
        .issuer
        .as_deref()
        .ok_or_else(|| ConfigError::Missing {
            key: key("issuer"),
            hint: ISSUER_HINT,
        })?;
    let credentials = understand_credentials(at, &mirror)?;
    if matches!(credentials, Credentials::Files(_)) && mirror.upstreams.is_empty() {
        let hint = "explicit credential files need the addresses of the API servers: --upstream \
                    https://10.0.0.11:6443";
        return Err(ConfigError::Missing {
            key: key("upstreams"),
            hint,
        });
    }
    let name = match (&mirror.name, alone) {
        (Some(name), _) if name.is_empty() || name.chars().any(char::is_control) => {
            return Err(ConfigError::invalid(
                &key("name"),
                name,
                "a name is short and printable",
            ));
        }
        (Some(name), _) => name.clone(),
        (None, true) => "default".to_owned(),
        (None, false) => {
            return Err(ConfigError::Missing {
                key: key("name"),
                hint: "each of several mirrors has one",
            });
        }
    };
    Ok(Mirror {
        name,
        issuer: Issuer::parse(issuer)
            .map_err(|error| ConfigError::invalid(&key("issuer"), issuer, crate::Report(&error)))?,
        upstreams: understand_upstreams(&key("upstreams"), &mirror.upstreams)?,
        credentials,
        poll_interval: duration(
            &key("poll-interval"),
            mirror.poll_interval.as_deref(),
            "15s",
        )?,
        timeout: duration(&key("timeout"), mirror.timeout.as_deref(), "10s")?,
        on_issuer_mismatch: mirror.on_issuer_mismatch.unwrap_or_default(),
        metadata: Metadata {
            cache_control: header(
                &key("cache-control"),
                mirror.cache_control,
                "public, max-age=60",
            )?,
            jwks_content_type: header(
                &key("jwks-content-type"),
                mirror.jwks_content_type,
                "application/json",
            )?,
        },
        discovery_members: understand_members(at, mirror.discovery_members)?,
        targets: target::understand(at, mirror.target)?,
        reconcile_interval: duration(
            &key("reconcile-interval"),
            mirror.reconcile_interval.as_deref(),
            "5m",
        )?,
    })
}

fn understand_credentials(at: &str, mirror: &file::Mirror) -> Result<Credentials, ConfigError> {
    let files = CredentialFiles {
        ca_file: mirror.ca_file.as_ref().map(PathBuf::from),
        token_file: mirror.token_file.as_ref().map(PathBuf::from),
        client_certificate: mirror
            .client_certificate
            .as_ref()
            .map(|files| key_pair(&format!("{at}.client-certificate"), files))
            .transpose()?,
        server_name: mirror.server_name.clone(),
    };
    let kubeconfig = mirror.kubeconfig.is_some() || mirror.context.is_some();
    match (files == CredentialFiles::default(), kubeconfig) {
        (true, false) => Ok(Credentials::Ambient),
        (false, false) => Ok(Credentials::Files(files)),
        (true, true) => Ok(Credentials::Kubeconfig {
            file: mirror.kubeconfig.as_ref().map(PathBuf::from),
            context: mirror.context.clone(),
        }),
        (false, true) => Err(ConfigError::Together(format!(
            "{at} has both a kubeconfig and explicit credential files (ca-file, token-file, \
             client-certificate, server-name): choose one"
        ))),
    }
}

fn understand_upstreams(key: &str, upstreams: &[String]) -> Result<Vec<Url>, ConfigError> {
    let mut seen = HashSet::new();
    upstreams
        .iter()
        .map(|text| {
            let url = https_address(key, text)?;
            if !seen.insert(url.clone()) {
                return Err(ConfigError::invalid(key, text, "it is listed twice"));
            }
            Ok(url)
        })
        .collect()
}

/// An address such as `https://10.0.0.11:6443`: https, a host, perhaps a port.
fn https_address(key: &str, text: &str) -> Result<Url, ConfigError> {
    let url = Url::parse(text).map_err(|error| ConfigError::invalid(key, text, error))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ConfigError::invalid(
            key,
            "…",
            "credentials belong in files, not in an address",
        ));
    }
    if url.scheme() != "https" {
        return Err(ConfigError::invalid(
            key,
            text,
            "an API server is reached by https, with its certificate verified",
        ));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(ConfigError::invalid(
            key,
            text,
            "only scheme, host and port; the paths are Kubernetes' own",
        ));
    }
    Ok(url)
}

fn understand_members(
    at: &str,
    members: BTreeMap<String, serde_json::Value>,
) -> Result<Vec<(String, serde_json::Value)>, ConfigError> {
    match members.keys().find(|name| is_reserved(name)) {
        Some(name) => Err(ConfigError::Together(format!(
            "{at}.discovery-members.{name}: the mirror computes this member itself; leave it out"
        ))),
        None => Ok(members.into_iter().collect()),
    }
}

fn understand_serve(serve: file::Serve) -> Result<Serve, ConfigError> {
    let key = |name: &str| format!("serve.{name}");
    if serve.listen.is_empty() {
        let hint = "an address to serve on: --listen '[::]:443'";
        return Err(ConfigError::Missing {
            key: key("listen"),
            hint,
        });
    }
    let listen = |text: &String| {
        text.parse::<SocketAddr>().map_err(|_| {
            ConfigError::invalid(
                &key("listen"),
                text,
                "an address is written 127.0.0.1:8443 or [::]:443",
            )
        })
    };
    let max_connections = serve.max_connections.unwrap_or(4096);
    if !(1..=MAX_CONNECTIONS).contains(&max_connections) {
        let why = format!("a number from 1 to {MAX_CONNECTIONS}");
        return Err(ConfigError::invalid(
            &key("max-connections"),
            &max_connections.to_string(),
            why,
        ));
    }
    Ok(Serve {
        listen: serve.listen.iter().map(listen).collect::<Result<_, _>>()?,
        tls: serve
            .tls
            .as_ref()
            .map(|files| key_pair(&key("tls"), files))
            .transpose()?,
        max_connections,
        handshake_timeout: duration(
            &key("handshake-timeout"),
            serve.handshake_timeout.as_deref(),
            "10s",
        )?,
        header_timeout: duration(
            &key("header-timeout"),
            serve.header_timeout.as_deref(),
            "10s",
        )?,
        idle_timeout: duration(&key("idle-timeout"), serve.idle_timeout.as_deref(), "1m")?,
        shutdown_grace: duration(
            &key("shutdown-grace"),
            serve.shutdown_grace.as_deref(),
            "10s",
        )?,
    })
}

/// Two mirrors must not answer for, or write, the same place: a token of one cluster would then be
/// usable with the other's.
fn refuse_collisions(mirrors: &[Mirror]) -> Result<(), ConfigError> {
    let mut names = HashSet::new();
    let mut routes = HashSet::new();
    let mut targets = HashSet::new();
    for mirror in mirrors {
        let Mirror { name, issuer, .. } = mirror;
        if !names.insert(name) {
            return Err(ConfigError::Together(format!(
                "two mirrors are named {name:?}"
            )));
        }
        if !routes.insert((issuer.host(), issuer.discovery_path())) {
            return Err(ConfigError::Together(format!(
                "two mirrors have the issuer {issuer} (ports and a last slash do not tell them \
                 apart): give each cluster an issuer of its own, or a token of one cluster would \
                 be usable with the other's"
            )));
        }
        for target in &mirror.targets {
            if !targets.insert(target.place()) {
                return Err(ConfigError::Together(format!(
                    "two targets are {target}: each overwrites the other; give each a place of its own"
                )));
            }
        }
    }
    Ok(())
}

fn key_pair(at: &str, files: &file::KeyPair) -> Result<KeyPairFiles, ConfigError> {
    let path = |name: &str, path: &Option<String>| {
        let hint = "a certificate and its private key are two files, both PEM";
        let missing = || ConfigError::Missing {
            key: format!("{at}.{name}"),
            hint,
        };
        path.as_ref().map(PathBuf::from).ok_or_else(missing)
    };
    Ok(KeyPairFiles {
        cert_file: path("cert-file", &files.cert_file)?,
        key_file: path("key-file", &files.key_file)?,
    })
}

fn duration(key: &str, text: Option<&str>, default: &str) -> Result<Duration, ConfigError> {
    let text = text.unwrap_or(default);
    let duration = humantime::parse_duration(text)
        .map_err(|_| ConfigError::invalid(key, text, "a duration is written 15s, 5m or 1h30m"))?;
    if !DURATIONS.contains(&duration) {
        return Err(ConfigError::invalid(
            key,
            text,
            "a duration here is between 1s and 24h",
        ));
    }
    Ok(duration)
}

fn header(
    key: &str,
    text: Option<String>,
    default: &'static str,
) -> Result<HeaderValue, ConfigError> {
    let Some(text) = text else {
        return Ok(HeaderValue::from_static(default));
    };
    match HeaderValue::try_from(&text) {
        Ok(value) if !value.is_empty() => Ok(value),
        _ => Err(ConfigError::invalid(key, &text, "not a header value")),
    }
}

const ISSUER_HINT: &str =
    "the public issuer URL: --issuer https://oidc.example.com, or a file with --config";
/// Longer than any table of sockets.
const MAX_CONNECTIONS: usize = 1_000_000;
/// What any setting that is a duration may be.
const DURATIONS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

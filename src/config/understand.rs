//! From the file as written to the settings as meant.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
};

use serde_json::Value;
use url::Url;

use super::{
    ConfigError, Override, file, keys,
    place::Place,
    serve,
    settings::{Admin, CredentialFiles, Credentials, Keys, Metadata, Mirror, Settings, Upkeep},
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
        let is_alone = file.mirror.len() == 1;
        let has_state_dir = file.state_dir.is_some();
        let mirrors = (0..)
            .zip(file.mirror)
            .map(|(number, mirror)| {
                let at = Place::entry("mirror", number, is_alone);
                let keys = keys::understand(&at, &mirror, has_state_dir)?;
                understand_mirror(&at, mirror, is_alone, keys)
            })
            .collect::<Result<Vec<_>, _>>()?;
        if mirrors.is_empty() {
            return Err(Place::new("mirror").missing("issuer", ISSUER_HINT));
        }
        refuse_collisions(&mirrors)?;
        let state_dir = file.state_dir.map(PathBuf::from);
        let serve = file.serve.as_ref();
        let serve = serve.map(|it| serve::understand(it, state_dir.as_deref(), &mirrors));
        let serve = serve.transpose()?;
        let admin = file.admin.as_ref().map(understand_admin).transpose()?;
        Ok(Self {
            state_dir,
            publisher: understand_publisher(file.publisher)?,
            mirrors,
            serve,
            admin,
        })
    }
}

fn understand_publisher(name: Option<String>) -> Result<Option<String>, ConfigError> {
    match name {
        Some(name) if !is_name(&name) => Err(ConfigError::Invalid {
            key: "publisher".to_owned(),
            value: name,
            why: NAME_RULE.to_owned(),
        }),
        name => Ok(name),
    }
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
}

fn understand_admin(admin: &file::Admin) -> Result<Admin, ConfigError> {
    let at = Place::new("admin");
    let hint = "an address for the operator only: \"127.0.0.1:9443\"";
    let text = admin
        .listen
        .as_ref()
        .ok_or_else(|| at.missing("listen", hint))?;
    match text.parse() {
        Ok(listen) => Ok(Admin { listen }),
        Err(_) => Err(at.invalid("listen", text, &"an address is written 127.0.0.1:9443")),
    }
}

fn understand_mirror(
    at: &Place,
    mirror: file::Mirror,
    is_alone: bool,
    keys: Keys,
) -> Result<Mirror, ConfigError> {
    let credentials = understand_credentials(at, &mirror)?;
    if matches!(credentials, Credentials::Files(_)) && mirror.upstreams.is_empty() {
        let hint = "explicit credential files need the addresses of the API servers: --upstream \
                    https://10.0.0.11:6443";
        return Err(at.missing("upstreams", hint));
    }
    let cache_control = mirror.cache_control.as_deref();
    let jwks_content_type = mirror.jwks_content_type.as_deref();
    let reconcile_interval = mirror.reconcile_interval.as_deref();
    let upkeep = Upkeep {
        reconcile_interval: at.duration("reconcile-interval", reconcile_interval, "5m")?,
        on_drift: mirror.on_drift.unwrap_or_default(),
        publisher_expiry: keys::publisher_expiry(at, &mirror, keys.policy.retain_keys)?,
        read_back: mirror.read_back.unwrap_or(true),
    };
    Ok(Mirror {
        name: understand_name(at, mirror.name, is_alone)?,
        issuer: understand_issuer(at, mirror.issuer.as_deref())?,
        upstreams: understand_upstreams(at, &mirror.upstreams)?,
        credentials,
        poll_interval: at.duration("poll-interval", mirror.poll_interval.as_deref(), "15s")?,
        timeout: at.duration("timeout", mirror.timeout.as_deref(), "10s")?,
        on_issuer_mismatch: mirror.on_issuer_mismatch.unwrap_or_default(),
        metadata: Metadata {
            cache_control: at.header("cache-control", cache_control, "public, max-age=60")?,
            jwks_content_type: at.header(
                "jwks-content-type",
                jwks_content_type,
                "application/json",
            )?,
        },
        discovery_members: understand_members(at, mirror.discovery_members)?,
        targets: target::understand(at, mirror.target)?,
        upkeep,
        keys,
    })
}

fn understand_name(
    at: &Place,
    name: Option<String>,
    is_alone: bool,
) -> Result<String, ConfigError> {
    match name {
        Some(name) if !is_name(&name) => Err(at.invalid("name", &name, &NAME_RULE)),
        Some(name) => Ok(name),
        None if is_alone => Ok("default".to_owned()),
        None => Err(at.missing("name", "each of several mirrors has one")),
    }
}

fn understand_issuer(at: &Place, issuer: Option<&str>) -> Result<Issuer, ConfigError> {
    let text = issuer.ok_or_else(|| at.missing("issuer", ISSUER_HINT))?;
    Issuer::parse(text).map_err(|error| at.invalid("issuer", text, &crate::Report(&error)))
}

fn understand_credentials(at: &Place, mirror: &file::Mirror) -> Result<Credentials, ConfigError> {
    let files = CredentialFiles {
        ca_file: mirror.ca_file.as_ref().map(PathBuf::from),
        token_file: mirror.token_file.as_ref().map(PathBuf::from),
        client_certificate: at
            .key_pair("client-certificate", mirror.client_certificate.as_ref())?,
        server_name: mirror.server_name.clone(),
    };
    let has_files = files != CredentialFiles::default();
    let has_kubeconfig = mirror.kubeconfig.is_some() || mirror.context.is_some();
    match (has_files, has_kubeconfig) {
        (false, false) => Ok(Credentials::Ambient),
        (true, false) => Ok(Credentials::Files(files)),
        (false, true) => Ok(Credentials::Kubeconfig {
            file: mirror.kubeconfig.as_ref().map(PathBuf::from),
            context: mirror.context.clone(),
        }),
        (true, true) => Err(ConfigError::Together(format!(
            "{} stands beside explicit credential files (ca-file, token-file, client-certificate, \
             server-name): choose one",
            at.key("kubeconfig")
        ))),
    }
}

fn understand_upstreams(at: &Place, upstreams: &[String]) -> Result<Vec<Url>, ConfigError> {
    let mut seen = HashSet::new();
    upstreams
        .iter()
        .map(|text| {
            let url = understand_address(at, text)?;
            if !seen.insert(url.clone()) {
                return Err(at.invalid("upstreams", text, &"it is listed twice"));
            }
            Ok(url)
        })
        .collect()
}

/// An address such as `https://10.0.0.11:6443`: https, a host, perhaps a port.
fn understand_address(at: &Place, text: &str) -> Result<Url, ConfigError> {
    let invalid = |value, why| Err(at.invalid("upstreams", value, why));
    let url = Url::parse(text).map_err(|error| at.invalid("upstreams", text, &error))?;
    if !url.username().is_empty() || url.password().is_some() {
        return invalid("…", &"credentials belong in files, not in an address");
    }
    if url.scheme() != "https" {
        return invalid(
            text,
            &"an API server is reached by https, its certificate verified",
        );
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return invalid(
            text,
            &"only scheme, host and port; the paths are Kubernetes' own",
        );
    }
    Ok(url)
}

fn understand_members(
    at: &Place,
    members: BTreeMap<String, Value>,
) -> Result<Vec<(String, Value)>, ConfigError> {
    match members.keys().find(|name| is_reserved(name)) {
        Some(name) => Err(ConfigError::Together(format!(
            "{}: the mirror computes this member itself; leave it out",
            at.key(&format!("discovery-members.{name}"))
        ))),
        None => Ok(members.into_iter().collect()),
    }
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

const ISSUER_HINT: &str =
    "the public issuer URL: --issuer https://oidc.example.com, or a file with --config";
const NAME_RULE: &str = "a name is short and printable";
/// With every character escaped such a name still fits into a file name.
const MAX_NAME_BYTES: usize = 63;

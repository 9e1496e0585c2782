//! The configuration as written: one TOML file, then one override after the other.
//!
//! Every setting stands in the file; a flag or `--set` is an override of one key. Whatever is
//! unknown is refused, and an override that does not fit is named in the error.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::{
    ConfigError,
    settings::{Encryption, OnDrift, OnIssuerMismatch},
};
use crate::oidc::Admission;

/// The file as written. What is required is checked later, so that overrides may supply it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    pub(super) state_dir: Option<String>,
    pub(super) publisher: Option<String>,
    #[serde(default)]
    pub(super) mirror: Vec<Mirror>,
    pub(super) serve: Option<Serve>,
    pub(super) admin: Option<Admin>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Mirror {
    pub(super) name: Option<String>,
    pub(super) issuer: Option<String>,
    #[serde(default)]
    pub(super) upstreams: Vec<String>,
    pub(super) ca_file: Option<String>,
    pub(super) token_file: Option<String>,
    pub(super) client_certificate: Option<KeyPair>,
    pub(super) server_name: Option<String>,
    pub(super) kubeconfig: Option<String>,
    pub(super) context: Option<String>,
    pub(super) poll_interval: Option<String>,
    pub(super) timeout: Option<String>,
    pub(super) on_issuer_mismatch: Option<OnIssuerMismatch>,
    pub(super) cache_control: Option<String>,
    pub(super) jwks_content_type: Option<String>,
    #[serde(default)]
    pub(super) discovery_members: BTreeMap<String, Json>,
    #[serde(default)]
    pub(super) target: Vec<Target>,
    pub(super) reconcile_interval: Option<String>,
    pub(super) on_drift: Option<OnDrift>,
    pub(super) publisher_expiry: Option<String>,
    pub(super) read_back: Option<bool>,
    pub(super) retain_keys: Option<String>,
    pub(super) max_stale: Option<String>,
    pub(super) admission: Option<Admission>,
    #[serde(default)]
    pub(super) pinned_keys: Vec<String>,
    #[serde(default)]
    pub(super) revoked_keys: Vec<String>,
    #[serde(default)]
    pub(super) extra_keys: Vec<String>,
    pub(super) relying_party_cache: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct KeyPair {
    pub(super) cert_file: Option<String>,
    pub(super) key_file: Option<String>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Target {
    pub(super) url: Option<String>,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) ca_file: Option<String>,
    pub(super) path_style: Option<bool>,
    pub(super) profile: Option<String>,
    pub(super) encryption: Option<Encryption>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Serve {
    #[serde(default)]
    pub(super) listen: Vec<String>,
    pub(super) tls: Option<KeyPair>,
    pub(super) acme: Option<Acme>,
    pub(super) proxy_protocol: Option<bool>,
    pub(super) access_log: Option<bool>,
    pub(super) max_connections: Option<usize>,
    pub(super) max_connections_per_address: Option<usize>,
    pub(super) handshake_timeout: Option<String>,
    pub(super) header_timeout: Option<String>,
    pub(super) max_header_bytes: Option<usize>,
    pub(super) idle_timeout: Option<String>,
    pub(super) max_streams: Option<u32>,
    pub(super) max_resets: Option<usize>,
    pub(super) max_requests_per_connection: Option<u64>,
    pub(super) shutdown_grace: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Acme {
    pub(super) directory: Option<String>,
    pub(super) ca_file: Option<String>,
    pub(super) contact: Option<Vec<String>>,
    pub(super) terms_of_service_agreed: Option<bool>,
    pub(super) challenge: Option<Challenge>,
    pub(super) http_listen: Option<Vec<String>>,
    pub(super) external_account: Option<ExternalAccount>,
    pub(super) domains: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) enum Challenge {
    #[serde(rename = "http-01")]
    Http01,
    #[default]
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ExternalAccount {
    pub(super) key_id: Option<String>,
    pub(super) key_file: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Admin {
    pub(super) listen: Option<String>,
}

/// One setting from the command line or the environment.
#[derive(Clone, Debug)]
pub struct Override {
    /// What the operator wrote, for errors: `--set mirror.issuer=…`, `--issuer`.
    origin: String,
    /// The dotted key.
    key: String,
    value: Value,
}

impl Override {
    /// A setting that a flag of its own stands for.
    pub fn flag(flag: &str, key: &str, value: impl Into<Value>) -> Self {
        Self {
            origin: flag.to_owned(),
            key: key.to_owned(),
            value: value.into(),
        }
    }

    /// Reads the argument of `--set`: `key=value`, the value in TOML or else taken as a string.
    ///
    /// # Errors
    ///
    /// A message when there is no `=` or no key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
        let (key, value) = (key.trim(), value.trim());
        if key.split('.').any(str::is_empty) {
            return Err("expected a dotted key before the =, such as mirror.poll-interval".into());
        }
        let value = format!("x = {value}")
            .parse::<Table>()
            .ok()
            .and_then(|mut table| table.remove("x"))
            .unwrap_or_else(|| Value::String(value.to_owned()));
        Ok(Self {
            origin: format!("--set {text}"),
            key: key.to_owned(),
            value,
        })
    }
}

/// Reads the file, if one is named, and applies the overrides in their order.
pub(super) fn read(path: Option<&Path>, overrides: &[Override]) -> Result<File, ConfigError> {
    let text = match path {
        None => String::new(),
        Some(path) => fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?,
    };
    // The file by itself first: then its errors point at a line, and later ones at an override.
    let mut file: File = toml::from_str(&text).map_err(|source| ConfigError::Syntax {
        path: path.map(Path::to_owned).unwrap_or_default(),
        source: Box::new(source),
    })?;
    let mut table: Table = toml::from_str(&text).expect("it parsed into a file just now");
    for setting in overrides {
        let refused = |why: String| ConfigError::Override {
            origin: setting.origin.clone(),
            why,
        };
        let keys: Vec<_> = setting.key.split('.').collect();
        set(&mut table, &keys, setting.value.clone()).map_err(refused)?;
        file = table
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| refused(error.message().to_owned()))?;
    }
    Ok(file)
}

/// Sets one dotted key, making what is missing on the way.
///
/// `mirror` and `target` are lists: their entries are named by number, which may be left out while
/// there is only one.
fn set(table: &mut Table, keys: &[&str], value: Value) -> Result<(), String> {
    let [key, rest @ ..] = keys else {
        return Ok(());
    };
    let is_list = matches!(*key, "mirror" | "target");
    if rest.is_empty() {
        table.insert((*key).to_owned(), value);
        return Ok(());
    }
    let missing = || {
        if is_list {
            Value::Array(Vec::new())
        } else {
            Value::Table(Table::new())
        }
    };
    match table.entry(*key).or_insert_with(missing) {
        Value::Table(inner) => set(inner, rest, value),
        Value::Array(entries) if is_list => {
            let (at, rest) = match rest {
                [number, rest @ ..] if number.parse::<usize>().is_ok() => {
                    (number.parse().unwrap_or_default(), rest)
                }
                _ if entries.len() <= 1 => (0, rest),
                _ => {
                    return Err(format!(
                        "there are {} entries of {key}; say which one: {key}.0.…",
                        entries.len()
                    ));
                }
            };
            if at == entries.len() {
                entries.push(Value::Table(Table::new()));
            }
            match entries.get_mut(at) {
                Some(Value::Table(entry)) => set(entry, rest, value),
                _ => Err(format!(
                    "there is no {key}.{at}: the next one is {key}.{}",
                    entries.len()
                )),
            }
        }
        _ => Err(format!("{key} holds no further settings")),
    }
}

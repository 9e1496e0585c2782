//! `/keys`: what is known of each key, for the `keys` command.

use serde::{Deserialize, Serialize};

use super::Views;
use crate::oidc::Ledger;

/// What a running process knows of its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeysAnswer {
    /// One for each mirror, in the order configured.
    pub mirrors: Vec<MirrorKeys>,
}

/// What a mirror knows of its keys, and the times that advice about them needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MirrorKeys {
    /// The name of the mirror.
    pub name: String,
    /// Its public issuer.
    pub issuer: String,
    /// How long relying parties may use the documents by `Cache-Control`.
    pub max_age_seconds: u64,
    /// How long the slowest relying party uses a key set that it has read.
    pub relying_party_cache_seconds: u64,
    /// How long a key stays published after no API server lists it.
    pub retain_keys_seconds: u64,
    /// What is known of each key.
    pub ledger: Ledger,
}

impl From<&Views> for KeysAnswer {
    fn from(views: &Views) -> Self {
        let mirrors = views.mirrors.iter().map(|view| MirrorKeys {
            name: view.name.clone(),
            issuer: view.issuer.clone(),
            max_age_seconds: view.max_age.as_secs(),
            relying_party_cache_seconds: view.keys.relying_party_cache.as_secs(),
            retain_keys_seconds: view.keys.policy.retain_keys.as_secs(),
            ledger: view.statuses.borrow().ledger.as_ref().clone(),
        });
        Self {
            mirrors: mirrors.collect(),
        }
    }
}

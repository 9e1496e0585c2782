//! What is to happen with keys, from the file as written to the policy as meant.

use std::{collections::BTreeSet, ops::RangeInclusive, path::PathBuf, time::Duration};

use super::{ConfigError, file, place::Place, settings::Keys};
use crate::oidc::{Admission, KeyName, Policy};

/// Reads the settings about keys of the mirror at `at`.
pub(super) fn understand(
    at: &Place,
    mirror: &file::Mirror,
    has_state_dir: bool,
) -> Result<Keys, ConfigError> {
    let long = |name, text: &Option<String>, default| {
        at.duration_within(name, text.as_deref(), default, LONG)
    };
    let admission = mirror.admission.unwrap_or_default();
    let pinned = names(at, "pinned-keys", &mirror.pinned_keys)?;
    if (admission == Admission::Pinned) == pinned.is_empty() {
        return Err(ConfigError::Together(format!(
            "{} and admission = \"pinned\" go together: name each key that may be published, by \
             its kid or its RFC 7638 thumbprint",
            at.key("pinned-keys")
        )));
    }
    if admission == Admission::Hold && !has_state_dir {
        let hint = "admission = \"hold\" has to remember which keys were approved: --state-dir \
                    /var/lib/oidc-mirror";
        return Err(Place::missing_at("state-dir", hint));
    }
    let max_stale = match &mirror.max_stale {
        None => None,
        Some(_) => Some(long("max-stale", &mirror.max_stale, "")?),
    };
    Ok(Keys {
        policy: Policy {
            retain_keys: long("retain-keys", &mirror.retain_keys, "24h")?,
            admission,
            pinned,
            approved: BTreeSet::new(),
            revoked: names(at, "revoked-keys", &mirror.revoked_keys)?,
        },
        extra_files: mirror.extra_keys.iter().map(PathBuf::from).collect(),
        max_stale,
        relying_party_cache: at.duration(
            "relying-party-cache",
            mirror.relying_party_cache.as_deref(),
            "15m",
        )?,
    })
}

/// How long other publishers to the same place are counted on, when they are silent.
pub(super) fn publisher_expiry(
    at: &Place,
    mirror: &file::Mirror,
    retain_keys: Duration,
) -> Result<Duration, ConfigError> {
    let text = mirror.publisher_expiry.as_deref();
    let expiry = at.duration_within("publisher-expiry", text, "7d", LONG)?;
    if expiry < retain_keys {
        return Err(ConfigError::Together(format!(
            "{} is shorter than retain-keys: the keys of a publisher that is down for long would \
             go before their tokens do; make it at least as long",
            at.key("publisher-expiry")
        )));
    }
    Ok(expiry)
}

fn names(at: &Place, setting: &str, texts: &[String]) -> Result<BTreeSet<KeyName>, ConfigError> {
    let why = "a key is named by its kid or its RFC 7638 thumbprint";
    texts
        .iter()
        .map(|text| KeyName::parse(text).ok_or_else(|| at.invalid(setting, text, &why)))
        .collect()
}

/// What a duration in the life of keys may be.
const LONG: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 365);

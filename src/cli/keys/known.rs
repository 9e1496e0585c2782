//! What is known of the keys, wherever that stands.

use std::{io, path::Path, time::Duration};

use thiserror::Error;
use url::Url;

use super::{advice::Times, place::Place, row::Share};
use crate::{
    admin::{KeysAnswer, MirrorKeys},
    cli::{
        Exit,
        asking::{self, AnswerError},
        publisher,
    },
    config::settings::{self, Settings},
    mirror::{Decisions, StateError, Store},
    oidc::{Issuer, IssuerError, KeyName},
    publish::{PublishError, Publisher},
};

/// What is known of the keys of one mirror.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) issuer: Issuer,
    pub(super) times: Times,
    /// Where it was read.
    pub(super) from: String,
    pub(super) shares: Vec<Share>,
    /// What the operator revoked and no mirror has heeded yet.
    pub(super) unheeded: Vec<KeyName>,
}

/// Asks the running process whose admin listener answers at `url`.
pub(super) async fn ask(url: &Url) -> Vec<Result<Known, KnownError>> {
    match asking::ask::<KeysAnswer>(url, "/keys").await {
        Ok((url, answer)) => {
            let mirrors = answer.mirrors.into_iter();
            mirrors.map(|it| answered(it, &url)).collect()
        }
        Err(error) => vec![Err(error.into())],
    }
}

fn answered(keys: MirrorKeys, url: &Url) -> Result<Known, KnownError> {
    let seconds = Duration::from_secs;
    Ok(Known {
        issuer: Issuer::parse(&keys.issuer)?,
        name: keys.name,
        times: Times {
            max_age: seconds(keys.max_age_seconds),
            relying_party_cache: seconds(keys.relying_party_cache_seconds),
            retain_keys: seconds(keys.retain_keys_seconds),
        },
        from: url.to_string(),
        shares: vec![(None, keys.ledger)],
        unheeded: Vec::new(),
    })
}

/// Reads what `settings` say something about: at the place `from`, or else in the state directory,
/// at the first targets, or at the admin listener.
pub(super) async fn read(
    settings: &Settings,
    from: Option<&Place>,
) -> Vec<Result<Known, KnownError>> {
    let has_targets = settings.mirrors.iter().any(|it| !it.targets.is_empty());
    match (from, &settings.state_dir, asking::listener_of(settings)) {
        (Some(Place::Admin(url)), ..) => ask(url).await,
        (Some(Place::FirstTarget), ..) => read_targets(settings, None).await,
        (Some(Place::Target(url)), ..) => read_targets(settings, Some(url)).await,
        (None, Some(root), _) => {
            let mirrors = settings.mirrors.iter();
            mirrors.map(|mirror| read_state(mirror, root)).collect()
        }
        (None, None, _) if has_targets => read_targets(settings, None).await,
        (None, None, Some(url)) => ask(&url).await,
        (None, None, None) => vec![Err(KnownError::Nowhere)],
    }
}

fn read_state(mirror: &settings::Mirror, root: &Path) -> Result<Known, KnownError> {
    let store = Store::new(root, &mirror.name, &mirror.issuer);
    let state = |source| KnownError::State { source };
    let Some(ledger) = store.load().map_err(state)? else {
        return Err(KnownError::NoState {
            mirror: mirror.name.clone(),
            root: root.display().to_string(),
        });
    };
    let Decisions { revoked, .. } = store.decisions().map_err(state)?;
    let unheeded = revoked.difference(&ledger.revoked).cloned().collect();
    Ok(Known {
        unheeded,
        ..known(mirror, root.display().to_string(), vec![(None, ledger)])
    })
}

/// Reads the target `url` of the mirrors that have it, or else the first target of each.
async fn read_targets(settings: &Settings, url: Option<&str>) -> Vec<Result<Known, KnownError>> {
    let publisher = publisher::name(settings);
    let is_meant = |target: &&settings::Target| url.is_none_or(|url| target.to_string() == url);
    let mut known = Vec::new();
    for mirror in &settings.mirrors {
        match mirror.targets.iter().find(is_meant) {
            Some(target) => known.push(read_target(mirror, target, &publisher).await),
            None if url.is_none() => known.push(Err(KnownError::NoTarget {
                mirror: mirror.name.clone(),
            })),
            None => {}
        }
    }
    if let (true, Some(url)) = (known.is_empty(), url) {
        let targets = settings.mirrors.iter().flat_map(|it| &it.targets);
        let targets: Vec<_> = targets.map(ToString::to_string).collect();
        known.push(Err(KnownError::OtherTargets {
            url: url.to_owned(),
            targets: targets.join(", "),
        }));
    }
    known
}

async fn read_target(
    mirror: &settings::Mirror,
    target: &settings::Target,
    publisher: &str,
) -> Result<Known, KnownError> {
    let ledgers = Publisher::open(target, mirror, publisher).await?;
    let ledgers = ledgers.ledgers().await?;
    if ledgers.is_empty() {
        return Err(KnownError::NothingPublished {
            target: target.to_string(),
        });
    }
    let shares = ledgers
        .into_iter()
        .map(|(name, ledger)| (Some(name), ledger));
    Ok(known(mirror, target.to_string(), shares.collect()))
}

fn known(mirror: &settings::Mirror, from: String, shares: Vec<Share>) -> Known {
    Known {
        name: mirror.name.clone(),
        issuer: mirror.issuer.clone(),
        times: Times {
            max_age: mirror.metadata.max_age(),
            relying_party_cache: mirror.keys.relying_party_cache,
            retain_keys: mirror.keys.policy.retain_keys,
        },
        from,
        shares,
        unheeded: Vec::new(),
    }
}

/// Why nothing is known.
#[derive(Debug, Error)]
pub(super) enum KnownError {
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error("the answer is for no issuer")]
    Issuer(#[from] IssuerError),
    #[error(
        "there is nothing of mirror {mirror:?} in {root}: has it run with this state-dir, under \
         this name? ask a running mirror with --from http://127.0.0.1:9443 ([admin] listen), or a \
         target with --from target"
    )]
    NoState { mirror: String, root: String },
    #[error("mirror {mirror:?} has no target; name another place with --from")]
    NoTarget { mirror: String },
    #[error("nobody has published to {target} yet, or not with this release")]
    NothingPublished { target: String },
    #[error(
        "there is no place to read from: give the --state-dir or a target (--to) of the mirror, or \
         ask a running one with --from http://127.0.0.1:9443 ([admin] listen)"
    )]
    Nowhere,
    #[error("no target is {url}; the targets are: {targets}")]
    OtherTargets { url: String, targets: String },
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("the state cannot be used{}", hint(.source))]
    State { source: StateError },
}

impl From<&KnownError> for Exit {
    fn from(error: &KnownError) -> Self {
        match error {
            KnownError::NoTarget { .. } | KnownError::Nowhere | KnownError::OtherTargets { .. } => {
                Self::Configuration
            }
            _ => Self::Failed,
        }
    }
}

fn hint(error: &StateError) -> &'static str {
    match error {
        StateError::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            " (run this as root or as the user of the service, or ask the running mirror with \
             --from http://127.0.0.1:9443)"
        }
        _ => "",
    }
}

//! How one mirror stands.

use serde::{Deserialize, Serialize};

use super::{Check, KeyStanding, Verdict, checks};
use crate::{Trouble, admin::views::Glance, oidc::Time, publish::Progress, verify::ReadBackStatus};

/// How one mirror stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MirrorStanding {
    /// Its name.
    pub name: String,
    /// Its public issuer.
    pub issuer: String,
    /// All in one word.
    pub verdict: Verdict,
    /// What it gives out; `None` when that is nothing.
    pub snapshot: Option<SnapshotStanding>,
    /// When an API server last answered well; `None` when none ever did.
    pub last_answer: Option<Time>,
    /// Its API servers, in the order configured.
    pub upstreams: Vec<UpstreamStanding>,
    /// What it knows of its keys: those listed, in their order, then the others.
    pub keys: Vec<KeyStanding>,
    /// Its targets, in the order configured.
    pub targets: Vec<TargetStanding>,
    /// What relying parties read; `None` when nothing is read back.
    pub read_back: Option<ReadBackStanding>,
    /// Everything that was looked at.
    pub checks: Vec<Check>,
}

/// What is given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SnapshotStanding {
    /// How many keys are in it.
    pub keys: usize,
    /// The beginning of its entity tag: equal everywhere when all agree.
    pub hash: String,
}

/// How one API server does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct UpstreamStanding {
    /// Its address.
    pub url: String,
    /// When it last answered well; `None` when it never did.
    pub last_answer: Option<Time>,
    /// Why it was not read; `None` when it was.
    pub failure: Option<Trouble>,
    /// Whether its tokens carry the public issuer; `None` when it never answered.
    pub issuer_matches: Option<bool>,
    /// How many of its keys are not published because they must not be.
    pub keys_left_out: usize,
}

/// How publishing to one target goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TargetStanding {
    /// Its URL.
    pub url: String,
    /// When it was last found, or made, as it should be.
    pub last_success: Option<Time>,
    /// Why the last try failed; `None` when it did not.
    pub failure: Option<Trouble>,
    /// Whether somebody else changed a document, which is left there.
    pub is_drifted: bool,
    /// How often something was written.
    pub writes: u64,
}

/// What relying parties read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReadBackStanding {
    /// Whether they read what is given out.
    pub is_public: bool,
    /// When they were last found to.
    pub last_success: Option<Time>,
    /// Why they do not; `None` when they do, or nobody has looked yet.
    pub failure: Option<Trouble>,
    /// How long the last change took to become public.
    pub took_seconds: Option<f64>,
}

impl MirrorStanding {
    pub(in crate::admin) fn new(glance: &Glance<'_>) -> Self {
        let status = &glance.status;
        let retain_keys = glance.view.keys.policy.retain_keys;
        let keys = status.ledger.keys().iter();
        let checks = checks(glance);
        Self {
            name: glance.view.name.clone(),
            issuer: glance.view.issuer.clone(),
            verdict: Verdict::of(glance.is_ready(), &checks),
            snapshot: glance.snapshot.as_ref().map(|snapshot| SnapshotStanding {
                keys: snapshot.keys.len(),
                hash: snapshot.jwks.hash().to_owned(),
            }),
            last_answer: status.ledger.last_answer,
            upstreams: upstreams(glance),
            keys: keys
                .map(|it| KeyStanding::new(it, retain_keys, glance.now))
                .collect(),
            targets: glance.progress.iter().map(|it| target(it)).collect(),
            read_back: glance.read_back.as_deref().map(read_back),
            checks,
        }
    }

    /// What is wrong, each with what to do about it.
    pub fn warnings(&self) -> impl Iterator<Item = (&Check, &str)> {
        self.checks
            .iter()
            .filter_map(|check| Some((check, check.advice.as_deref()?)))
    }
}

fn upstreams(glance: &Glance<'_>) -> Vec<UpstreamStanding> {
    let upstreams = glance.status.upstreams.iter();
    let standing = upstreams.map(|it| UpstreamStanding {
        url: it.url.clone(),
        last_answer: glance.last_answer(&it.url),
        failure: it.failure.clone(),
        issuer_matches: it.issuer_matches,
        keys_left_out: it.left_out,
    });
    standing.collect()
}

fn target(progress: &Progress) -> TargetStanding {
    TargetStanding {
        url: progress.target.clone(),
        last_success: progress.last_success,
        failure: progress.failure.clone(),
        is_drifted: progress.is_drifted,
        writes: progress.writes,
    }
}

fn read_back(status: &ReadBackStatus) -> ReadBackStanding {
    ReadBackStanding {
        is_public: status.is_public,
        last_success: status.last_success,
        failure: status.failure.clone(),
        took_seconds: status.took.map(|took| took.as_secs_f64()),
    }
}

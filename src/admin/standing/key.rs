//! How one key stands.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::oidc::{Record, State, Time};

/// How one key stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeyStanding {
    /// The key id, as the API servers wrote it.
    pub kid: String,
    /// Its RFC 7638 thumbprint.
    pub thumbprint: String,
    /// Its type and size.
    #[serde(rename = "type")]
    pub kind: String,
    /// The algorithm it signs with.
    pub algorithm: String,
    /// Where it stands.
    pub state: State,
    /// Since when it stands there.
    pub since: Time,
    /// When an API server first listed it.
    pub first_seen: Time,
    /// When an API server last listed it.
    pub last_seen: Time,
    /// Since when no API server lists it; `None` when one does.
    pub absent_since: Option<Time>,
    /// When it retires at the earliest: this counts only while every API server answers.
    pub retires_at: Option<Time>,
    /// Since when it has been given out; `None` when it never was.
    pub published_since: Option<Time>,
    /// When relying parties were first found to read it; `None` when that was not seen.
    pub public_since: Option<Time>,
}

impl KeyStanding {
    pub(super) fn new(record: &Record, retain_keys: Duration, now: Time) -> Self {
        let is_absent = matches!(record.state, State::Retired | State::Retiring);
        let is_retiring = record.state == State::Retiring;
        Self {
            kid: record.key.kid().as_str().to_owned(),
            thumbprint: record.key.thumbprint(),
            kind: record.key.kind(),
            algorithm: record.key.algorithm().as_str().to_owned(),
            state: record.state,
            since: record.since,
            first_seen: record.first_seen,
            last_seen: record.last_seen,
            absent_since: is_absent.then_some(record.last_seen),
            retires_at: is_retiring.then(|| now + retain_keys.saturating_sub(record.absent_for)),
            published_since: record.published_since,
            public_since: record.public_since,
        }
    }
}

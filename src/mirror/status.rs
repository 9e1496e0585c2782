//! How a mirror does: for the operator, and for those who take over from it.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    Trouble,
    oidc::{Ledger, Time},
};

/// The newest status of a mirror.
pub type Statuses = watch::Receiver<Arc<Status>>;

/// How a mirror does after a round.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The mirror.
    pub name: String,
    /// Its public issuer.
    pub issuer: String,
    /// What it knows of its keys.
    pub ledger: Arc<Ledger>,
    /// The upstreams, in the order configured.
    pub upstreams: Vec<UpstreamStatus>,
    /// Why the upstreams cannot be believed together; `None` when they can.
    pub contradiction: Option<String>,
    /// Whether there is something to give out.
    pub has_snapshot: bool,
    /// Whether the last answer of an upstream is older than `max-stale` allows.
    pub is_stale: bool,
    /// Why the ledger is not on disk; `None` when it is, or need not be.
    pub state_error: Option<String>,
}

/// How one upstream does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamStatus {
    /// Its address.
    pub url: String,
    /// Why it was not read; `None` when it was.
    pub failure: Option<Trouble>,
    /// Whether its tokens carry the public issuer; `None` when it never answered.
    pub issuer_matches: Option<bool>,
    /// How many of its keys are not published because they must not be.
    pub left_out: usize,
}

impl Status {
    /// The time since an upstream last answered well; `None` when none ever did.
    pub fn age(&self, now: Time) -> Option<Duration> {
        Some(now.since(self.ledger.last_answer?))
    }
}

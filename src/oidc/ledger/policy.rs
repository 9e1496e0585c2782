//! What the operator decided about keys.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use crate::oidc::{Key, KeyName};

/// What the operator decided about keys: settings and later decisions together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a key stays published after no upstream lists it: the longest life of a token.
    pub retain_keys: Duration,
    /// Which keys of the upstreams are published.
    pub admission: Admission,
    /// The keys that [`Admission::Pinned`] publishes.
    pub pinned: BTreeSet<KeyName>,
    /// Held keys that may be published.
    pub approved: BTreeSet<KeyName>,
    /// Keys that must not be published, whatever the upstreams say.
    pub revoked: BTreeSet<KeyName>,
}

/// Which keys of the upstreams are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Admission {
    /// Every key.
    #[default]
    Auto,
    /// The keys found until each upstream has answered once, and those approved later.
    Hold,
    /// Only the keys that are pinned.
    Pinned,
}

/// Every key of the upstreams, for as long as tokens usually live.
impl Default for Policy {
    fn default() -> Self {
        Self {
            retain_keys: Duration::from_hours(24),
            admission: Admission::default(),
            pinned: BTreeSet::new(),
            approved: BTreeSet::new(),
            revoked: BTreeSet::new(),
        }
    }
}

impl Policy {
    /// Whether `key` must not be published.
    pub fn revokes(&self, key: &Key) -> bool {
        KeyName::any_names(&self.revoked, key)
    }

    /// Whether `key` may be published although it is new; `early`, before every upstream has
    /// answered, nothing is new.
    pub(super) fn admits(&self, key: &Key, early: bool) -> bool {
        match self.admission {
            Admission::Auto => true,
            Admission::Hold => early || KeyName::any_names(&self.approved, key),
            Admission::Pinned => KeyName::any_names(&self.pinned, key),
        }
    }

    /// Whether `key` must go because only pinned keys may stay.
    pub(super) fn unpins(&self, key: &Key) -> bool {
        self.admission == Admission::Pinned && !self.admits(key, false)
    }

    /// The longest time between two rounds that is believed to have passed. More may be a step of
    /// the clock, which must not cost a key more than a small part of its time.
    ///
    /// A ledger that is stored at least this often counts the absence of its keys exactly.
    pub fn longest_gap(&self) -> Duration {
        (self.retain_keys / GAPS_OF_RETENTION).max(SHORTEST_GAP)
    }
}

/// With a retention of a day, a job that runs every hour counts exactly.
const GAPS_OF_RETENTION: u32 = 24;
/// No round takes longer to come, unless it is a job's.
const SHORTEST_GAP: Duration = Duration::from_secs(60);

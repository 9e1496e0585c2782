//! The ledger as it is kept and stored.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::oidc::{Key, KeyName, Kid, Time};

/// What is known of the keys of one cluster. Starts out knowing nothing.
///
/// Its serialised form is what the state file and a bucket hold; it is parsed by the same rules as
/// an upstream's document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ledger {
    /// When the last round ended, whatever it brought.
    pub as_of: Time,
    /// When an upstream last answered well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_answer: Option<Time>,
    /// The upstreams and files of the last round, in their order.
    pub upstreams: Vec<Upstream>,
    /// Whether every source answered in the last round.
    pub(super) was_complete: bool,
    /// Whether each upstream had answered once: what appears after that is new, whoever joins.
    #[serde(default)]
    pub(super) is_settled: bool,
    /// The keys: those listed, in the order of the upstreams, then the others.
    pub(super) keys: Vec<Record>,
    /// What was revoked when the last round ended.
    #[serde(default)]
    pub revoked: BTreeSet<KeyName>,
}

/// What one upstream, or file of keys, last said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Upstream {
    /// Its URL, or the path of the file.
    pub source: String,
    /// Whether it is a file of the operator's.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_file: bool,
    /// When it last answered well; `None` when it never did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_answer: Option<Time>,
    /// What it listed then, in its order.
    pub kids: Vec<Kid>,
}

/// What is known of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// The key.
    #[serde(rename = "jwk")]
    pub key: Key,
    /// Where it stands.
    pub state: State,
    /// Since when it stands there.
    pub since: Time,
    /// How long no upstream has listed it, as far as that was watched.
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    #[serde(serialize_with = "write_duration", deserialize_with = "read_duration")]
    pub absent_for: Duration,
    /// When an upstream first listed it.
    pub first_seen: Time,
    /// When an upstream last listed it.
    pub last_seen: Time,
    /// The sources that list it, or did so last; shared from round to round.
    #[serde(serialize_with = "write_shared", deserialize_with = "read_shared")]
    pub seen_by: Arc<Vec<String>>,
    /// Since when it has been given out; `None` when it never was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_since: Option<Time>,
    /// When it was first seen at the public issuer; `None` when it was not yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_since: Option<Time>,
}

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Listed and published.
    Active,
    /// Listed, and kept back until the operator approves it or pins it.
    Held,
    /// Not listed any more, and published until no token can need it.
    Retiring,
    /// Not listed and not published any more.
    Retired,
    /// Not published, because the operator says so.
    Revoked,
}

impl State {
    /// Every state, in the order in which tables show them.
    pub const ALL: [Self; 5] = [
        Self::Active,
        Self::Held,
        Self::Retiring,
        Self::Retired,
        Self::Revoked,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Held => "held",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Record {
    /// Whether it is given out.
    pub fn is_published(&self) -> bool {
        matches!(self.state, State::Active | State::Retiring)
    }

    pub(super) fn enter(&mut self, state: State, now: Time) {
        if self.state != state {
            (self.state, self.since) = (state, now);
        }
        if state == State::Active {
            self.published_since.get_or_insert(now);
        }
        if state != State::Retiring {
            self.absent_for = Duration::ZERO;
        }
    }
}

impl Ledger {
    /// The keys: those listed, in the order of the upstreams, then the others.
    pub fn keys(&self) -> &[Record] {
        &self.keys
    }

    /// Whether nothing was ever learnt.
    pub fn is_blank(&self) -> bool {
        self.keys.is_empty() && self.last_answer.is_none()
    }

    /// Whether every upstream of the last round, files aside, has answered at some time.
    pub fn is_complete(&self) -> bool {
        let has_answered = |it: &Upstream| it.is_file || it.last_answer.is_some();
        !self.upstreams.is_empty() && self.upstreams.iter().all(has_answered)
    }

    /// Whether `key` was revoked when the last round ended.
    pub fn revokes(&self, key: &Key) -> bool {
        KeyName::any_names(&self.revoked, key)
    }

    /// Notes that these kids were seen at the public issuer.
    #[must_use]
    pub fn seen_in_public(mut self, kids: &BTreeSet<Kid>, now: Time) -> Self {
        for record in &mut self.keys {
            if record.is_published() && kids.contains(record.key.kid()) {
                record.public_since.get_or_insert(now);
            }
        }
        self
    }

    /// Whether the other says the same of each key and of who lists it, whenever it was written.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let essence = |record: &Record| (record.state, record.public_since.is_some());
        let same = |(one, other): (&Record, &Record)| {
            one.key == other.key && essence(one) == essence(other)
        };
        let lists =
            |it: &Upstream, other: &Upstream| it.source == other.source && it.kids == other.kids;
        let pairs = || self.upstreams.iter().zip(&other.upstreams);
        self.keys.len() == other.keys.len()
            && self.upstreams.len() == other.upstreams.len()
            && pairs().all(|(it, other)| lists(it, other))
            && self.revoked == other.revoked
            && self.is_complete() == other.is_complete()
            && self.keys.iter().zip(&other.keys).all(same)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(it: &bool) -> bool {
    !it
}

fn write_shared<S: Serializer>(
    sources: &Arc<Vec<String>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    sources.as_slice().serialize(serializer)
}

fn read_shared<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Vec<String>>, D::Error> {
    Vec::deserialize(deserializer).map(Arc::new)
}

fn write_duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

fn read_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    humantime::parse_duration(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

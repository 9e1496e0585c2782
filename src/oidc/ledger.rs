//! What is known of the keys of one cluster, from round to round.
//!
//! HA API servers each list only their own key files, so the published set is the union over all
//! of them. An upstream that does not answer has not changed its mind: its last answer stands.

use super::{Key, KeySet, Kid, Reject};

/// One result per upstream, in the order configured; `None` for one that did not answer well.
pub type Round = [Option<KeySet>];

/// What is known of the keys of one cluster. Starts out knowing nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The last good answer of each upstream, in the order configured.
    answers: Vec<Option<KeySet>>,
    /// Their union: the active keys.
    active: KeySet,
}

impl Ledger {
    /// The ledger after `round`, and what changed.
    ///
    /// # Errors
    ///
    /// [`Reject`] when the upstreams contradict each other. The ledger then stays as it is: an
    /// answer that cannot be believed must not replace one that was.
    pub fn step(&self, round: &Round) -> Result<(Self, Vec<Event>), Reject> {
        let answers: Vec<_> = round
            .iter()
            .enumerate()
            .map(|(at, answer)| {
                answer
                    .as_ref()
                    .or_else(|| self.answers.get(at)?.as_ref())
                    .cloned()
            })
            .collect();
        let active = KeySet::union(answers.iter().flatten())?;
        let events = changes(&self.active, &active);
        Ok((Self { answers, active }, events))
    }

    /// The keys to publish: in the order of the upstreams, then of their documents.
    pub fn keys(&self) -> &KeySet {
        &self.active
    }

    /// Whether every upstream has answered at least once.
    pub fn is_complete(&self) -> bool {
        !self.answers.is_empty() && self.answers.iter().all(Option::is_some)
    }
}

/// A change of the published keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An upstream lists a key that none listed before.
    Added(Kid),
    /// No upstream lists the key any more.
    Removed(Kid),
}

fn changes(before: &KeySet, after: &KeySet) -> Vec<Event> {
    let missing = |from: &KeySet, key: &&Key| from.find(key.kid()).is_none();
    let added = after.keys().iter().filter(|key| missing(before, key));
    let removed = before.keys().iter().filter(|key| missing(after, key));
    added
        .map(|key| Event::Added(key.kid().clone()))
        .chain(removed.map(|key| Event::Removed(key.kid().clone())))
        .collect()
}

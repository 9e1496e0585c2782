//! What is worth a line in a log.

use std::collections::HashMap;

use super::{Ledger, Record, State};
use crate::oidc::Kid;

/// A key that came to stand elsewhere than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The key.
    pub kid: Kid,
    /// Where it stood; `None` when it was not known.
    pub before: Option<State>,
    /// Where it stands; `None` when it is not known any more.
    pub now: Option<State>,
}

impl Ledger {
    /// What changed between `before` and this.
    pub(super) fn events_since(&self, before: &Self) -> Vec<Event> {
        let states = |records: &[Record]| -> Vec<(Kid, State)> {
            let states = records.iter().map(|it| (it.key.kid().clone(), it.state));
            states.collect()
        };
        // Mostly nothing has changed.
        let (old, new) = (states(&before.keys), states(&self.keys));
        if old == new {
            return Vec::new();
        }
        let known: HashMap<_, _> = old.iter().cloned().collect();
        let present: HashMap<_, _> = new.iter().cloned().collect();
        let gone = old
            .into_iter()
            .filter(|(kid, _)| !present.contains_key(kid));
        let event = |(kid, _): (Kid, State)| {
            let (before, now) = (known.get(&kid).copied(), present.get(&kid).copied());
            (before != now).then_some(Event { kid, before, now })
        };
        new.into_iter().chain(gone).filter_map(event).collect()
    }
}

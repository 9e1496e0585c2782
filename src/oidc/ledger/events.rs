//! What is worth a line in a log.

use super::{Ledger, State};
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
        let state_in = |ledger: &Self, kid: &Kid| {
            let record = ledger.keys.iter().find(|record| record.key.kid() == kid);
            record.map(|record| record.state)
        };
        let changed = self.keys.iter().filter_map(|record| {
            let kid = record.key.kid();
            let (before, now) = (state_in(before, kid), Some(record.state));
            let kid = kid.clone();
            (before != now).then_some(Event { kid, before, now })
        });
        let forgotten = before.keys.iter().filter_map(|record| {
            let kid = record.key.kid();
            let is_gone = state_in(self, kid).is_none();
            let (before, now) = (Some(record.state), None);
            let kid = kid.clone();
            is_gone.then_some(Event { kid, before, now })
        });
        changed.chain(forgotten).collect()
    }
}

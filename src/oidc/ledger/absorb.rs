//! What an earlier run of the same publisher knew.

use std::time::Duration;

use super::{Ledger, Policy, Record, State};
use crate::oidc::{KeySet, Time};

impl Ledger {
    /// This ledger with what only `past`, an earlier one of the same publisher, remembers: keys
    /// that this one never saw are as absent from its last round as any other.
    #[must_use]
    pub fn absorb(&self, past: &Self, policy: &Policy) -> Self {
        let mut merged = self.clone();
        let elapsed = self.as_of.since(past.as_of).min(policy.longest_gap());
        for old in &past.keys {
            if let Some(known) = merged
                .keys
                .iter_mut()
                .find(|it| it.key.kid() == old.key.kid())
            {
                if known.key == old.key {
                    if known.state == old.state {
                        known.since = known.since.min(old.since);
                    }
                    known.first_seen = known.first_seen.min(old.first_seen);
                    known.published_since = earliest(known.published_since, old.published_since);
                    known.public_since = earliest(known.public_since, old.public_since);
                }
                continue;
            }
            let mut record = old.clone();
            match old.state {
                _ if self.revokes(&old.key) => record.enter(State::Revoked, self.as_of),
                _ if policy.unpins(&old.key) => continue,
                State::Active if self.was_complete => record.enter(State::Retiring, self.as_of),
                State::Retiring if self.was_complete => {
                    record.absent_for += elapsed;
                    if record.absent_for >= policy.retain_keys {
                        record.enter(State::Retired, self.as_of);
                    }
                }
                State::Held | State::Revoked => continue,
                State::Active | State::Retiring | State::Retired => {}
            }
            merged.keys.push(record);
        }
        merged
    }
}

impl Ledger {
    /// This ledger with `keys` that were found published and that no upstream has been seen to
    /// list: they are on their way out.
    #[must_use]
    pub fn adopt(mut self, keys: &KeySet, now: Time) -> Self {
        for key in keys.keys() {
            if self.revokes(key) || self.keys.iter().any(|it| it.key.kid() == key.kid()) {
                continue;
            }
            self.keys.push(Record {
                key: key.clone(),
                state: State::Retiring,
                since: now,
                absent_for: Duration::ZERO,
                first_seen: now,
                last_seen: now,
                seen_by: Vec::new(),
                published_since: Some(now),
                public_since: None,
            });
        }
        self
    }
}

fn earliest<T: Ord + Copy>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

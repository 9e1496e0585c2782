//! What an earlier run of the same publisher knew.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    Admission, Ledger, Policy, Record, State, Upstream,
    step::{Step, forget, sort},
};
use crate::oidc::{KeySet, Time};

impl Ledger {
    /// This ledger with what only `past`, an earlier one of the same publisher, remembers: keys
    /// that this one never saw are as absent from its last round as any other, and a source that
    /// never answered said what it said to `past`.
    ///
    /// A kid that names another key than in `past` is in the result with both, while tokens of the
    /// earlier may need it: then [`published`](Self::published) refuses until one is revoked.
    #[must_use]
    pub fn absorb(&self, past: &Self, policy: &Policy) -> Self {
        // What was revoked later is not in the settings.
        let policy = Policy {
            revoked: self.revoked.clone(),
            ..policy.clone()
        };
        let upstreams = self.upstreams_or(past);
        let files = upstreams.iter().filter(|it| it.is_file);
        let step = Step {
            policy: &policy,
            now: self.as_of,
            elapsed: self.as_of.since(past.as_of).min(policy.longest_gap()),
            is_complete: self.was_complete,
            early: false,
            listed: HashMap::new(),
            vouched: files.flat_map(|it| &it.kids).collect(),
        };
        let mut keys = self.keys.clone();
        for old in &past.keys {
            match keys.iter_mut().find(|it| it.key.kid() == old.key.kid()) {
                Some(known) if known.key == old.key => step.recall(known, old),
                Some(_) => keys.extend(step.miss(old).filter(Record::is_published)),
                None => keys.extend(step.miss(old)),
            }
        }
        sort(&mut keys, &upstreams);
        forget(&mut keys, self.as_of);
        Self {
            keys,
            upstreams,
            is_settled: self.is_settled || past.is_settled,
            ..self.clone()
        }
    }

    /// The sources of this ledger; those that never answered as `past` has them.
    fn upstreams_or(&self, past: &Self) -> Vec<Upstream> {
        let one = |upstream: &Upstream| {
            let silent = upstream.last_answer.is_none();
            let mut earlier = past.upstreams.iter().filter(|_| silent);
            let earlier = earlier.find(|it| it.source == upstream.source);
            earlier.unwrap_or(upstream).clone()
        };
        self.upstreams.iter().map(one).collect()
    }
}

impl Step<'_> {
    /// Gives a key the history that an earlier ledger knows.
    fn recall(&self, known: &mut Record, old: &Record) {
        // What was published before is not new; but pins are for all.
        let was_admitted = self.policy.admission != Admission::Pinned || self.vouches(old);
        if known.state == State::Held && old.is_published() && was_admitted {
            known.enter(State::Active, self.now);
        }
        if known.state == old.state {
            known.since = known.since.min(old.since);
        }
        known.first_seen = known.first_seen.min(old.first_seen);
        known.published_since = earliest(known.published_since, old.published_since);
        known.public_since = earliest(known.public_since, old.public_since);
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
                seen_by: Arc::default(),
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

//! The keys to publish: of one ledger, or of all that publish to one place.

use super::{Ledger, Record, State};
use crate::oidc::{Key, KeySet, Reject};

impl Ledger {
    /// The keys to publish: active ones in the order of the upstreams, then retiring ones. `None`
    /// while there is nothing to say: no key was ever published.
    ///
    /// # Errors
    ///
    /// As [`merge`](Self::merge).
    pub fn published(&self) -> Result<Option<KeySet>, Reject> {
        Self::merge([self])
    }

    /// The keys that `ledgers` together publish, without those that any of them revokes. `None`
    /// while no key was ever published; empty when all that were are revoked.
    ///
    /// # Errors
    ///
    /// [`Reject::KidConflict`] when one kid names two keys, [`Reject::TooMany`] past the limit.
    pub fn merge<'a>(
        ledgers: impl IntoIterator<Item = &'a Self>,
    ) -> Result<Option<KeySet>, Reject> {
        let ledgers: Vec<_> = ledgers.into_iter().collect();
        let is_revoked = |key: &Key| ledgers.iter().any(|it| it.revokes(key));
        let in_state = |state: State| {
            let records = ledgers.iter().flat_map(|it| &it.keys);
            records.filter(move |it| it.state == state)
        };
        let of = |record: &Record| record.key.clone();
        let keys = in_state(State::Active).chain(in_state(State::Retiring));
        let keys = KeySet::of(keys.filter(|it| !is_revoked(&it.key)).map(of))?;
        let were_any = || {
            ledgers
                .iter()
                .flat_map(|it| &it.keys)
                .any(|it| it.published_since.is_some())
        };
        Ok((!keys.is_empty() || were_any()).then_some(keys))
    }
}

//! What happened, as all parts of a soak note it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

use crate::support::Failure;

/// Shared by all parts.
#[derive(Default)]
pub(crate) struct Tally(Mutex<Counts>);

#[derive(Default)]
pub(crate) struct Counts {
    /// The keys that no answer may lack, by kid.
    pub(crate) required: BTreeSet<String>,
    /// All keys there ever were.
    pub(crate) known: BTreeSet<String>,
    /// Good answers, by the kind of client.
    pub(crate) answers: BTreeMap<&'static str, u64>,
    /// By the kind of attack and the mirror's answer.
    pub(crate) attacks: BTreeMap<String, u64>,
    pub(crate) rotations: u64,
    /// Certificates; every other one with a reload of the configuration.
    pub(crate) renewals: u64,
    /// Broken promises, and how often.
    pub(crate) violations: BTreeMap<String, u64>,
}

impl Tally {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of it; nothing is noted any more.
    pub(crate) fn take(&self) -> Counts {
        std::mem::take(&mut self.lock())
    }

    /// The keys that an answer to a request sent now may not lack.
    pub(crate) fn required(&self) -> BTreeSet<String> {
        self.lock().required.clone()
    }

    /// Takes an answer from a good client of this kind.
    pub(crate) fn answered(
        &self,
        kind: &'static str,
        required: &BTreeSet<String>,
        jwks: &[u8],
    ) -> Result<(), Failure> {
        let found = kids(jwks)?;
        let mut counts = self.lock();
        if !found.is_superset(required) {
            return Err("a key is missing".into());
        }
        if !found.is_subset(&counts.known) {
            return Err("there is a key that nobody has".into());
        }
        *counts.answers.entry(kind).or_default() += 1;
        Ok(())
    }

    /// Only this key signs from now on.
    pub(crate) fn rotated(&self, kid: String) {
        let mut counts = self.lock();
        counts.rotations += 1;
        counts.required = [kid].into();
    }

    /// Gives back how many certificates there were.
    pub(crate) fn renewed(&self) -> u64 {
        let mut counts = self.lock();
        counts.renewals += 1;
        counts.renewals
    }

    pub(crate) fn attacked(&self, attack: String) {
        *self.lock().attacks.entry(attack).or_default() += 1;
    }

    pub(crate) fn violated(&self, what: String) {
        *self.lock().violations.entry(what).or_default() += 1;
    }
}

/// The ids of the keys in a JWKS.
pub(crate) fn kids(jwks: &[u8]) -> Result<BTreeSet<String>, Failure> {
    let jwks: Value = serde_json::from_slice(jwks)?;
    let keys = jwks["keys"].as_array().ok_or("a JWKS without keys")?;
    let kid = |key: &Value| key["kid"].as_str().map(str::to_owned);
    Ok(keys.iter().filter_map(kid).collect())
}

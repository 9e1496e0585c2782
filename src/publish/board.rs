//! The state object of a target: one ledger for each publisher, written only by its owner.
//!
//! What is published is the union of all of them, so publishers need no leader. An entry that is
//! not ours is passed on as it was read.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::oidc::{Ledger, Time, parse_stored};

/// The ledgers of all publishers to one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Board {
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    ledger: Ledger,
    /// As it was read, with whatever a later release may have added.
    raw: Value,
}

/// The board as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    publishers: BTreeMap<String, Value>,
}

/// Why a state object says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It is not what any publisher wrote.
    Damaged,
    /// A later release wrote it.
    Newer(u32),
}

impl Board {
    pub(super) fn parse(text: &[u8]) -> Result<Self, Unusable> {
        let damaged = |_| Unusable::Damaged;
        let stored: Stored = parse_stored(text).map_err(damaged)?;
        if stored.version > VERSION {
            return Err(Unusable::Newer(stored.version));
        }
        let entries = stored.publishers.into_iter().map(|(name, raw)| {
            let ledger = Ledger::deserialize(&raw).map_err(damaged)?;
            Ok((name, Entry { ledger, raw }))
        });
        Ok(Self {
            entries: entries.collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn render(&self) -> Vec<u8> {
        let entries = self.entries.iter();
        let stored = Stored {
            version: VERSION,
            publishers: entries
                .map(|(name, entry)| (name.clone(), entry.raw.clone()))
                .collect(),
        };
        serde_json::to_vec_pretty(&stored).expect("a ledger holds only strings and numbers")
    }

    pub(super) fn get(&self, publisher: &str) -> Option<&Ledger> {
        self.entries.get(publisher).map(|entry| &entry.ledger)
    }

    pub(super) fn put(&mut self, publisher: &str, ledger: Ledger) {
        let raw = serde_json::to_value(&ledger).expect("a ledger holds only strings and numbers");
        let entry = Entry { ledger, raw };
        self.entries.insert(publisher.to_owned(), entry);
    }

    /// Forgets the publishers, but `me`, that were silent for longer than `expiry`.
    pub(super) fn expire(&mut self, me: &str, now: Time, expiry: Duration) -> BTreeSet<String> {
        let is_silent = |entry: &Entry| now.since(entry.ledger.as_of) > expiry;
        let silent = self
            .entries
            .iter()
            .filter(|(name, entry)| *name != me && is_silent(entry));
        let silent: BTreeSet<_> = silent.map(|(name, _)| name.clone()).collect();
        self.entries.retain(|name, _| !silent.contains(name));
        silent
    }

    pub(super) fn publishers(&self) -> BTreeSet<String> {
        self.entries.keys().cloned().collect()
    }

    pub(super) fn ledgers(&self) -> impl Iterator<Item = &Ledger> {
        self.entries.values().map(|entry| &entry.ledger)
    }

    /// What tells this board from any that says otherwise which keys each publisher wants
    /// published, or since when.
    ///
    /// It is in the bytes of the documents made from the board, and so in their ETags. That fences
    /// off whoever is slow: he planned with an older board, maybe without a key that has come
    /// back since, and finds the documents changed although they list the same keys.
    pub(super) fn mark(&self) -> u64 {
        let mut context = Context::new(&SHA256);
        let mut add = |text: &str| {
            context.update(&text.len().to_be_bytes());
            context.update(text.as_bytes());
        };
        for (publisher, entry) in &self.entries {
            add(publisher);
            for record in entry.ledger.keys().iter().filter(|it| it.is_published()) {
                add(record.key.kid().as_str());
                add(&record.since.to_string());
            }
        }
        let digest = context.finish();
        let (first, _) = digest
            .as_ref()
            .split_first_chunk()
            .expect("a digest has 32 bytes");
        u64::from_be_bytes(*first)
    }

    pub(super) fn into_ledgers(self) -> BTreeMap<String, Ledger> {
        let entries = self.entries.into_iter();
        entries.map(|(name, entry)| (name, entry.ledger)).collect()
    }
}

/// The format. What is added without a new meaning for the rest keeps the number.
const VERSION: u32 = 1;

//! Rounds over a few keys.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use crate::oidc::{KeyName, KeySet, Ledger, Listing, Policy, Reject, State, Time, tests::jwk};

/// The keys of these kids, one letter each; a capital is another key of the same kid.
pub(super) fn keys(kids: &str) -> KeySet {
    // Laws ask for the same few sets again and again.
    static PARSED: Mutex<BTreeMap<String, KeySet>> = Mutex::new(BTreeMap::new());
    let mut parsed = PARSED.lock().unwrap();
    let set = parsed.entry(kids.to_owned());
    set.or_insert_with(|| parse(kids)).clone()
}

fn parse(kids: &str) -> KeySet {
    let one = |kid: char| {
        let name = kid.to_lowercase().to_string();
        match kid {
            'a' => jwk(1, &name, &json!({})),
            // A modulus of nobody's: laws read these keys again and again, and it costs nothing.
            'b'..='d' => {
                let modulus = [&[0x80 | kid as u8; 255][..], &[1]].concat();
                jwk(0, &name, &json!({"n": URL_SAFE_NO_PAD.encode(modulus)}))
            }
            _ => jwk(4, &name, &json!({})),
        }
    };
    let keys: Vec<_> = kids.chars().map(one).collect();
    let text = json!({ "keys": keys }).to_string();
    KeySet::parse(text.as_bytes()).unwrap().0
}

/// One answer for each upstream, `None` for one that did not answer.
pub(super) fn round(answers: &[Option<&str>]) -> Vec<Listing> {
    let listing = |(at, answer): (usize, &Option<&str>)| Listing {
        source: format!("https://10.0.0.{at}:6443/"),
        is_file: false,
        keys: answer.map(keys),
    };
    answers.iter().enumerate().map(listing).collect()
}

pub(super) fn file(kids: &str) -> Listing {
    Listing {
        source: "/etc/next.pub".to_owned(),
        is_file: true,
        keys: Some(keys(kids)),
    }
}

pub(super) fn unreadable(kids: &str) -> Listing {
    Listing {
        keys: None,
        ..file(kids)
    }
}

pub(super) fn with_file(answers: &[Option<&str>], file: Listing) -> Vec<Listing> {
    let mut listings = round(answers);
    listings.push(file);
    listings
}

pub(super) fn policy() -> Policy {
    Policy::default()
}

pub(super) fn names(names: &[&str]) -> BTreeSet<KeyName> {
    names
        .iter()
        .map(|name| KeyName::parse(name).unwrap())
        .collect()
}

pub(super) fn minutes(minutes: u64) -> Time {
    Time::after_epoch(Duration::from_mins(30_000_000 + minutes))
}

/// A ledger that is led through rounds an hour apart.
pub(super) struct Story {
    pub(super) ledger: Ledger,
    pub(super) policy: Policy,
    pub(super) hour: u64,
}

impl Story {
    pub(super) fn new(policy: Policy) -> Self {
        Self {
            ledger: Ledger::default(),
            policy,
            hour: 0,
        }
    }

    pub(super) fn now(&self) -> Time {
        minutes(60 * self.hour)
    }

    /// One more round.
    pub(super) fn round(&mut self, answers: &[Option<&str>]) -> &mut Self {
        self.listings(&round(answers))
    }

    pub(super) fn listings(&mut self, round: &[Listing]) -> &mut Self {
        self.ledger = self.try_listings(round).unwrap();
        self.hour += 1;
        self
    }

    pub(super) fn rounds(&mut self, count: u64, answers: &[Option<&str>]) -> &mut Self {
        for _ in 0..count {
            self.round(answers);
        }
        self
    }

    pub(super) fn try_listings(&self, round: &[Listing]) -> Result<Ledger, Reject> {
        let stepped = self.ledger.step(round, &self.policy, self.now());
        stepped.map(|(ledger, _)| ledger)
    }

    /// The kids that are published, in their order.
    pub(super) fn published(&self) -> String {
        published(&self.ledger)
    }

    pub(super) fn state(&self, kid: &str) -> Option<State> {
        let mut records = self.ledger.keys().iter();
        let record = records.find(|record| record.key.kid().as_str() == kid)?;
        Some(record.state)
    }
}

pub(super) fn published(ledger: &Ledger) -> String {
    let keys = ledger.published().unwrap().unwrap_or_default();
    keys.keys().iter().map(|key| key.kid().as_str()).collect()
}

//! Keys, ledgers and snapshots to publish.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;
use serde_json::{Value, json};

use super::super::plan::{Duty, Job};
use crate::{
    config::settings::{Metadata, Upkeep},
    oidc::{Issuer, KeyName, KeySet, Ledger, Listing, Policy, Snapshot, Time},
};

/// One JWK for each of the kids "a" to "h", of two algorithms in turn. Nobody signs with them, so
/// any odd number does as a modulus, and is soon read.
static JWKS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    (b'a'..=b'h')
        .map(|kid| {
            let n = URL_SAFE_NO_PAD.encode([&[0x80 | kid; 255][..], &[1]].concat());
            let alg = ["RS256", "PS256"][usize::from(kid) % 2];
            let kid = char::from(kid).to_string();
            json!({"kty": "RSA", "alg": alg, "kid": kid, "n": n, "e": "AQAB"})
        })
        .collect()
});

/// The keys of these kids, one letter each.
pub(crate) fn keys(kids: &str) -> KeySet {
    if kids.is_empty() {
        return KeySet::default();
    }
    let at = |kid: char| usize::try_from(u32::from(kid) - u32::from('a')).unwrap();
    let jwks: Vec<_> = kids.chars().map(|kid| &JWKS[at(kid)]).collect();
    let (keys, _) = KeySet::parse(json!({ "keys": jwks }).to_string().as_bytes()).unwrap();
    keys
}

pub(crate) fn kids(keys: &KeySet) -> String {
    keys.keys().iter().map(|key| key.kid().as_str()).collect()
}

pub(crate) fn policy() -> Policy {
    Policy::default()
}

pub(crate) fn issuer() -> Issuer {
    Issuer::parse("https://oidc.example.com/prod").unwrap()
}

/// A moment some hours into the test.
pub(crate) fn hours(hours: u64) -> Time {
    Time::after_epoch(Duration::from_hours(1_000 + hours))
}

/// The ledger of a mirror with two API servers, `None` for one that did not answer.
pub(crate) fn step(
    ledger: &Ledger,
    answers: [Option<&str>; 2],
    revoked: &str,
    now: Time,
) -> Ledger {
    let listing = |at: usize| Listing {
        source: format!("https://10.0.0.{at}:6443/"),
        is_file: false,
        keys: answers[at].map(keys),
    };
    let revoked: BTreeSet<_> = revoked
        .chars()
        .map(|kid| KeyName::parse(&kid.to_string()).unwrap())
        .collect();
    let policy = Policy {
        revoked,
        ..policy()
    };
    ledger
        .step(&[listing(0), listing(1)], &policy, now)
        .unwrap()
        .0
}

pub(crate) fn snapshot_of(ledger: Ledger) -> Arc<Snapshot> {
    let keys = ledger.published().unwrap().unwrap_or_default();
    Arc::new(Snapshot::render(&issuer(), keys, &[], ledger))
}

/// What a mirror hands over that has just started and finds these keys.
pub(crate) fn snapshot(kids: &str, complete: bool) -> Arc<Snapshot> {
    let second = complete.then_some(kids);
    let ledger = step(&Ledger::default(), [Some(kids), second], "", hours(0));
    snapshot_of(ledger)
}

pub(crate) fn metadata(cache_control: &'static str) -> Metadata {
    Metadata {
        cache_control: HeaderValue::from_static(cache_control),
        jwks_content_type: HeaderValue::from_static("application/jwk-set+json"),
    }
}

pub(crate) fn duty(publisher: &str) -> Duty {
    Duty {
        publisher: publisher.to_owned(),
        issuer: issuer(),
        members: Vec::new(),
        metadata: Some(metadata("no-cache")),
        policy: policy(),
        upkeep: Upkeep::default(),
    }
}

/// The first turn of a process.
pub(crate) fn job(publisher: &str, snapshot: &Arc<Snapshot>) -> Job {
    Job {
        duty: Arc::new(duty(publisher)),
        snapshot: Arc::clone(snapshot),
        now: snapshot.ledger.as_of,
        left: None,
        offered: None,
    }
}

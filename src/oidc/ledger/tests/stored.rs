//! What is on disk and in buckets.

use serde_json::{Value, json};

use super::sample::*;
use crate::oidc::{Admission, Ledger, Policy, parse_stored};

/// A ledger with a key in every state.
fn full() -> Ledger {
    let mut story = Story::new(Policy {
        admission: Admission::Hold,
        ..policy()
    });
    story.round(&[Some("abcd"), Some("ab")]);
    story.rounds(26, &[Some("abd"), Some("ab")]);
    story.policy.revoked = names(&["d"]);
    story.rounds(2, &[Some("abde"), Some("a")]);
    story.rounds(2, &[Some("ade"), Some("a")]);
    story.ledger
}

#[test]
fn a_ledger_is_read_back_as_it_was() {
    let ledger = full();
    let mut states: Vec<_> = ledger
        .keys()
        .iter()
        .map(|record| record.state.as_str())
        .collect();
    states.sort_unstable();
    assert_eq!(states, ["active", "held", "retired", "retiring", "revoked"]);
    let text = serde_json::to_vec(&ledger).unwrap();
    assert_eq!(parse_stored::<Ledger>(&text).unwrap(), ledger);
}

#[test]
fn what_was_changed_by_others_is_refused() {
    let text = serde_json::to_string(&full()).unwrap();
    let good: Value = serde_json::from_str(&text).unwrap();
    let changed = |pointer: &str, value: Value| {
        let mut stored = good.clone();
        *stored.pointer_mut(pointer).unwrap() = value;
        stored.to_string()
    };
    let mut private = good.clone();
    private["keys"][0]["jwk"]["d"] = json!("SECRET");
    for text in [
        text.trim_end_matches('}').to_owned(),
        text.replacen(
            "\"as-of\"",
            "\"as-of\":\"2026-01-01T00:00:00Z\",\"as-of\"",
            1,
        ),
        private.to_string(),
        changed("/keys/0/jwk/kid", json!("")),
        changed("/keys/0/jwk/kty", json!("oct")),
        changed("/keys/0/jwk/x", json!("AAAA")),
        changed("/keys/0/state", json!("trusted")),
        changed("/keys/0/first-seen", json!("today")),
        changed("/as-of", json!(5)),
        changed("/revoked", json!([""])),
    ] {
        let error = parse_stored::<Ledger>(text.as_bytes()).unwrap_err();
        assert!(!error.to_string().contains("SECRET"));
    }
}

#[test]
fn members_of_later_releases_are_passed_over() {
    let mut stored = serde_json::to_value(full()).unwrap();
    stored["later"] = json!({});
    stored["keys"][0]["later"] = json!(1);
    let ledger: Ledger = parse_stored(stored.to_string().as_bytes()).unwrap();
    assert_eq!(ledger, full());
}

#[test]
fn times_alone_make_no_difference_worth_publishing() {
    let mut story = Story::new(policy());
    story.round(&[Some("ab")]);
    let before = story.ledger.clone();
    assert!(story.round(&[Some("ab")]).ledger.agrees_with(&before));
    assert!(!story.round(&[Some("a")]).ledger.agrees_with(&before));
    let kids = keys("a")
        .keys()
        .iter()
        .map(|key| key.kid().clone())
        .collect();
    let seen = before.clone().seen_in_public(&kids, story.now());
    assert!(!seen.agrees_with(&before));
    assert_eq!(seen.clone().seen_in_public(&kids, minutes(1 << 20)), seen);
}

#[test]
fn no_time_that_is_stored_makes_a_later_round_panic() {
    let mut stored = serde_json::to_value(full()).unwrap();
    for record in stored["keys"].as_array_mut().unwrap() {
        record["state"] = json!("retiring");
        record["absent-for"] = json!(format!("{}s", u64::MAX));
        record["since"] = json!("9999-12-31T23:59:59.999Z");
    }
    let text = stored.to_string();
    let ledger: Ledger = parse_stored(text.as_bytes()).unwrap();
    assert_eq!(
        parse_stored::<Ledger>(&serde_json::to_vec(&ledger).unwrap()).unwrap(),
        ledger
    );
    let now = ledger.as_of + std::time::Duration::from_hours(1);
    let answers = round(&[Some("a"), Some("a")]);
    let (next, _) = ledger.step(&answers, &policy(), now).unwrap();
    assert_eq!(published(&next), "a");
    let (fresh, _) = Ledger::default().step(&answers, &policy(), now).unwrap();
    assert_eq!(published(&fresh.absorb(&ledger, &policy())), "a");
}

//! What becomes of a key.

use serde_json::{Value, json};

use super::sample::*;
use crate::oidc::{
    Admission, Event, KeySet, Kid, Ledger, Listing, Policy, Snapshot, State,
    tests::{issuer, jwk},
};

#[test]
fn a_key_is_published_as_soon_as_one_upstream_lists_it() {
    let mut story = Story::new(policy());
    assert_eq!(story.ledger.published().unwrap(), None);
    assert_eq!(story.round(&[Some("a"), None]).published(), "a");
    assert!(!story.ledger.is_complete());
    assert_eq!(story.round(&[Some("a"), Some("ab")]).published(), "ab");
    assert!(story.ledger.is_complete());
}

#[test]
fn the_order_is_that_of_the_upstreams_whoever_is_silent() {
    let mut story = Story::new(policy());
    story.round(&[Some("c"), Some("ab")]);
    assert_eq!(story.published(), "cab");
    for answers in [[None, Some("ab")], [Some("c"), None], [None, None]] {
        assert_eq!(story.round(&answers).published(), "cab");
    }
    // A key that comes takes its place, one that goes is last.
    assert_eq!(story.round(&[Some("dc"), Some("b")]).published(), "dcba");
}

#[test]
fn absence_is_believed_only_from_a_complete_round() {
    let mut story = Story::new(policy());
    story.round(&[Some("ab"), Some("a")]);
    story.rounds(100, &[Some("a"), None]);
    assert_eq!(story.state("b"), Some(State::Active));
    story.round(&[Some("a"), Some("a")]);
    assert_eq!(story.state("b"), Some(State::Retiring));
    // And while somebody is silent no time counts.
    story.rounds(100, &[Some("a"), None]);
    assert_eq!(story.published(), "ab");
}

#[test]
fn a_key_retires_when_it_was_absent_for_as_long_as_tokens_live() {
    let mut story = Story::new(policy());
    story.round(&[Some("ab")]).round(&[Some("a")]);
    story.rounds(23, &[Some("a")]);
    assert_eq!(story.published(), "ab");
    story.round(&[Some("a")]);
    assert_eq!(
        (story.published(), story.state("b")),
        ("a".into(), Some(State::Retired))
    );
    // It is remembered for a while, and then forgotten.
    story.rounds(30 * 24, &[Some("a")]);
    assert_eq!(story.state("b"), None);
}

#[test]
fn a_key_that_comes_back_starts_again() {
    let mut story = Story::new(policy());
    story.round(&[Some("ab")]).rounds(20, &[Some("a")]);
    assert_eq!(story.round(&[Some("ab")]).state("b"), Some(State::Active));
    story.rounds(24, &[Some("a")]);
    assert_eq!(story.published(), "ab");
    story.round(&[Some("a")]);
    assert_eq!(story.state("b"), Some(State::Retired));
    // Also one that had retired.
    assert_eq!(story.round(&[Some("ab")]).published(), "ab");
}

#[test]
fn a_jump_of_the_clock_costs_a_small_part_of_the_retention() {
    let mut story = Story::new(policy());
    story.round(&[Some("ab")]).round(&[Some("a")]);
    story.hour += 24 * 365;
    assert_eq!(story.round(&[Some("a")]).published(), "ab");
    story.hour -= 24 * 365;
    assert_eq!(story.round(&[Some("a")]).published(), "ab");
    // Two jumps, there and back: an hour for one, nothing for the other.
    story.rounds(22, &[Some("a")]);
    assert_eq!(story.published(), "ab");
    story.round(&[Some("a")]);
    assert_eq!(story.state("b"), Some(State::Retired));
}

#[test]
fn what_changes_is_an_event() {
    let mut story = Story::new(policy());
    story.round(&[Some("ab")]);
    let (_, events) = story
        .ledger
        .step(&round(&[Some("ac")]), &policy(), story.now())
        .unwrap();
    let event = |kid: &str, before, now| Event {
        kid: Kid::parse(kid).unwrap(),
        before,
        now,
    };
    let expected = [
        event("c", None, Some(State::Active)),
        event("b", Some(State::Active), Some(State::Retiring)),
    ];
    assert_eq!(events, expected);
}

#[test]
fn a_revoked_key_is_gone_at_once_whatever_the_upstreams_say() {
    let thumbprint = keys("a").keys()[0].thumbprint();
    for name in ["a", &thumbprint] {
        let mut story = Story::new(policy());
        story.round(&[Some("a"), Some("ab")]);
        story.policy.revoked = names(&[name]);
        // No upstream need answer.
        let decided = story.ledger.decide(&story.policy, story.now());
        story.ledger = decided.unwrap().0;
        assert!(!story.published().contains('a'), "{name}");
        assert_eq!(
            story.round(&[Some("a"), Some("ab")]).state("a"),
            Some(State::Revoked)
        );
    }
    let mut story = Story::new(policy());
    story.policy.revoked = names(&["a"]);
    story.rounds(3, &[Some("ab")]);
    assert_eq!(story.published(), "b");
    // A revocation that is taken back.
    story.policy.revoked.clear();
    assert_eq!(story.round(&[Some("ab")]).published(), "ab");
}

#[test]
fn a_decision_takes_no_time_from_an_absence() {
    let mut story = Story::new(policy());
    story.round(&[Some("ab")]).round(&[Some("a")]);
    for _ in 0..24 {
        // As each run of a job does with what it has saved.
        let decided = story.ledger.decide(&story.policy, story.now());
        story.ledger = decided.unwrap().0;
        story.round(&[Some("a")]);
    }
    assert_eq!(story.state("b"), Some(State::Retired));
}

#[test]
fn a_retiring_key_can_be_revoked() {
    let mut story = Story::new(policy());
    story.round(&[Some("ab")]).round(&[Some("a")]);
    story.policy.revoked = names(&["b"]);
    assert_eq!(story.round(&[Some("a")]).published(), "a");
}

#[test]
fn when_every_key_is_revoked_an_empty_set_is_published() {
    let mut story = Story::new(policy());
    story.round(&[Some("a")]);
    story.policy.revoked = names(&["a"]);
    story.round(&[Some("a")]);
    let keys = story.ledger.published().unwrap().unwrap();
    assert!(keys.is_empty());
    let snapshot = Snapshot::render(&issuer(), keys, &[], story.ledger.clone());
    assert_eq!(snapshot.jwks.body, r#"{"keys":[]}"#);
    let discovery: Value = serde_json::from_slice(&snapshot.discovery.body).unwrap();
    assert_eq!(
        discovery["id_token_signing_alg_values_supported"],
        json!(["RS256"])
    );
}

#[test]
fn a_new_key_is_held_back_where_that_is_wanted() {
    let mut story = Story::new(Policy {
        admission: Admission::Hold,
        ..policy()
    });
    // What is found before each upstream has answered once is not new.
    story
        .round(&[Some("a"), None])
        .round(&[Some("a"), Some("ab")]);
    assert_eq!(story.published(), "ab");
    story.round(&[Some("a"), Some("abc")]);
    assert_eq!(
        (story.published(), story.state("c")),
        ("ab".into(), Some(State::Held))
    );
    // The operator's own file needs no approval.
    let mut listings = round(&[Some("a"), Some("abc")]);
    listings.push(file("d"));
    assert_eq!(story.listings(&listings).published(), "abd");
    story.policy.approved = names(&["c"]);
    assert_eq!(story.listings(&listings).published(), "abcd");
    // What was published once is not new when it comes back.
    story.round(&[Some("a"), Some("ab")]);
    story.policy.approved.clear();
    assert_eq!(story.listings(&listings).published(), "abcd");
}

#[test]
fn a_held_key_that_goes_is_forgotten() {
    let mut story = Story::new(Policy {
        admission: Admission::Hold,
        ..policy()
    });
    story
        .round(&[Some("a")])
        .round(&[Some("ab")])
        .round(&[Some("a")]);
    assert_eq!((story.published(), story.state("b")), ("a".into(), None));
}

#[test]
fn only_pinned_keys_are_published_where_that_is_wanted() {
    let mut story = Story::new(Policy {
        admission: Admission::Pinned,
        pinned: names(&["a"]),
        ..policy()
    });
    story.round(&[Some("ab")]);
    assert_eq!(
        (story.published(), story.state("b")),
        ("a".into(), Some(State::Held))
    );
    assert_eq!(story.round(&[Some("b")]).state("a"), Some(State::Retiring));
    story.policy.pinned = names(&["b"]);
    assert_eq!(story.round(&[Some("b")]).published(), "b");
    story.policy.pinned = names(&["x"]);
    assert_eq!(
        story
            .round(&[Some("b")])
            .ledger
            .published()
            .unwrap()
            .unwrap()
            .len(),
        0
    );
}

#[test]
fn while_nothing_is_admitted_there_is_nothing_to_say() {
    let mut story = Story::new(Policy {
        admission: Admission::Pinned,
        pinned: names(&["x"]),
        ..policy()
    });
    story.round(&[Some("a")]);
    assert_eq!(story.ledger.published().unwrap(), None);
}

#[test]
fn a_kid_that_names_another_key_changes_nothing_until_the_one_before_is_revoked() {
    let mut story = Story::new(policy());
    story.round(&[Some("ab")]).round(&[Some("b")]);
    let reject = story.try_listings(&round(&[Some("Ab")])).unwrap_err();
    assert_eq!(reject.reason(), "kid-reused");
    let thumbprint = keys("a").keys()[0].thumbprint();
    assert!(reject.to_string().contains(&thumbprint), "{reject}");
    story.policy.revoked = names(&[&thumbprint]);
    assert_eq!(story.round(&[Some("Ab")]).published(), "ab");
    assert_eq!(
        story.ledger.published().unwrap().unwrap().keys()[0],
        keys("A").keys()[0]
    );
}

#[test]
fn upstreams_that_contradict_each_other_change_nothing_until_one_key_is_revoked() {
    let mut story = Story::new(policy());
    story.round(&[Some("b"), None]);
    let reject = story
        .try_listings(&round(&[Some("a"), Some("A")]))
        .unwrap_err();
    assert_eq!(reject.reason(), "kid-conflict");
    let thumbprint = keys("A").keys()[0].thumbprint();
    story.policy.revoked = names(&[&thumbprint]);
    story.round(&[Some("a"), Some("A")]);
    assert_eq!(
        story.ledger.published().unwrap().unwrap().keys()[0],
        keys("a").keys()[0]
    );
}

#[test]
fn more_keys_than_relying_parties_read_change_nothing() {
    let many = |range: std::ops::Range<usize>| {
        let keys: Vec<_> = range
            .map(|at| jwk(1, &format!("k{at}"), &json!({})))
            .collect();
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
            .unwrap()
            .0
    };
    let listing = |keys| Listing {
        source: "https://10.0.0.0/".to_owned(),
        is_file: false,
        keys: Some(keys),
    };
    let mut story = Story::new(policy());
    story.listings(&[listing(many(0..60))]);
    let reject = story.try_listings(&[listing(many(60..120))]).unwrap_err();
    assert_eq!(reject.reason(), "too-many");
}

#[test]
fn a_file_that_cannot_be_read_makes_a_round_incomplete() {
    let mut story = Story::new(policy());
    let mut listings = round(&[Some("ab")]);
    listings.push(file("c"));
    story.listings(&listings);
    let mut listings = round(&[Some("a")]);
    listings.push(Listing {
        keys: None,
        ..file("c")
    });
    assert_eq!(story.listings(&listings).published(), "acb");
    assert_eq!(story.state("b"), Some(State::Active));
}

#[test]
fn jobs_that_start_anew_go_on_from_what_the_last_one_stored() {
    let run = |stored: &Ledger, answers: &[Option<&str>], hour: u64| {
        let now = minutes(60 * hour);
        let (fresh, _) = Ledger::default()
            .step(&round(answers), &policy(), now)
            .unwrap();
        fresh.absorb(stored, &policy())
    };
    let mut stored = run(&Ledger::default(), &[Some("ab"), Some("ab")], 0);
    stored = run(&stored, &[Some("a"), None], 1);
    assert_eq!(published(&stored), "ab");
    for hour in 2..=26 {
        stored = run(&stored, &[Some("a"), Some("a")], hour);
        assert_eq!(
            published(&stored),
            if hour < 26 { "ab" } else { "a" },
            "{hour}"
        );
    }
    let first_seen = stored.keys()[0].first_seen;
    assert_eq!(first_seen, minutes(0));
}

#[test]
fn the_keys_of_several_ledgers_are_active_before_retiring_and_without_the_revoked() {
    let ledger = |hours: &[&str], revoked: &[&str]| {
        let mut story = Story::new(Policy {
            revoked: names(revoked),
            ..policy()
        });
        for kids in hours {
            story.round(&[Some(kids)]);
        }
        story.ledger
    };
    let one = ledger(&["ab", "b"], &[]);
    let two = ledger(&["c"], &[]);
    let three = ledger(&["bd"], &["c"]);
    let merged = |ledgers: &[&Ledger]| {
        let keys = Ledger::merge(ledgers.iter().copied()).unwrap().unwrap();
        keys.keys()
            .iter()
            .map(|key| key.kid().as_str())
            .collect::<String>()
    };
    assert_eq!(merged(&[&one, &two]), "bca");
    assert_eq!(merged(&[&two, &one]), "cba");
    assert_eq!(merged(&[&one, &two, &three]), "bda");
}

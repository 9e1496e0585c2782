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
    let listings = with_file(&[Some("a"), Some("abc")], file("d"));
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
fn a_key_of_a_file_stays_beside_the_pins_while_the_file_has_it() {
    let mut story = Story::new(Policy {
        admission: Admission::Pinned,
        pinned: names(&["a"]),
        ..policy()
    });
    story.listings(&with_file(&[Some("a")], file("d")));
    assert_eq!(story.published(), "ad");
    // As at each start, and after each decision.
    let decided = story.ledger.decide(&story.policy, story.now());
    story.ledger = decided.unwrap().0;
    assert_eq!(story.published(), "ad");
    // A file that cannot be read has not changed its mind, even once an upstream lists the key.
    for answer in ["a", "ad", "ad", "a"] {
        story.listings(&with_file(&[Some(answer)], unreadable("d")));
        assert_eq!(story.published(), "ad", "{answer}");
    }
    // A job knows it from the one before.
    let fresh = Ledger::default()
        .step(
            &with_file(&[Some("a")], unreadable("d")),
            &story.policy,
            story.now(),
        )
        .unwrap()
        .0;
    assert_eq!(published(&fresh.absorb(&story.ledger, &story.policy)), "ad");
    // Out of the file and not pinned: gone.
    story.listings(&with_file(&[Some("ad")], file("b")));
    assert_eq!(story.published(), "ab");
}

#[test]
fn a_file_vouches_for_its_key_and_not_for_another_that_takes_its_kid() {
    for admission in [Admission::Hold, Admission::Pinned] {
        let mut story = Story::new(Policy {
            admission,
            pinned: names(&["a"]),
            ..policy()
        });
        story.policy.revoked = names(&[&keys("d").keys()[0].thumbprint()]);
        story.listings(&with_file(&[Some("a")], file("d")));
        for file in [file("d"), unreadable("d"), file("d"), unreadable("d")] {
            story.listings(&with_file(&[Some("aD")], file));
            assert_eq!(
                (story.published(), story.state("d")),
                ("a".into(), Some(State::Held))
            );
        }
    }
}

#[test]
fn a_revocation_that_is_taken_back_brings_back_only_what_is_listed() {
    let mut story = Story::new(policy());
    story.round(&[Some("abc")]).round(&[Some("ac")]);
    story.policy.revoked = names(&["b", "c"]);
    story.round(&[Some("ac")]);
    story.policy.revoked.clear();
    // A list of revoked keys that is tidied up must not publish a stolen key again.
    story.round(&[None]);
    assert_eq!(story.published(), "a");
    assert_eq!(story.round(&[Some("ac")]).published(), "ac");
    assert_eq!(story.state("b"), None);
}

#[test]
fn no_more_retired_keys_are_remembered_than_a_person_reads() {
    let mut story = Story::new(Policy {
        retain_keys: std::time::Duration::from_hours(1),
        ..policy()
    });
    for at in 0..150 {
        let key = jwk(1, &format!("k{at}"), &json!({}));
        let keys = KeySet::parse(json!({ "keys": [key] }).to_string().as_bytes());
        story.listings(&[Listing {
            source: "https://10.0.0.0/".to_owned(),
            is_file: false,
            keys: Some(keys.unwrap().0),
        }]);
    }
    let retired = story.ledger.keys().iter();
    let retired = retired.filter(|it| it.state == State::Retired);
    assert_eq!(retired.count(), 100);
    assert_eq!(story.state("k0"), None);
    assert_eq!(story.state("k117"), Some(State::Retired));
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
    story.listings(&with_file(&[Some("ab")], file("c")));
    story.listings(&with_file(&[Some("a")], unreadable("c")));
    assert_eq!(story.published(), "acb");
    assert_eq!(story.state("b"), Some(State::Active));
}

#[test]
fn no_broken_file_and_no_new_upstream_lets_a_held_key_in() {
    let mut story = Story::new(Policy {
        admission: Admission::Hold,
        ..policy()
    });
    story.round(&[Some("a")]);
    // An API server that joins and never answers.
    story.round(&[Some("ab"), None]);
    assert_eq!(story.published(), "a");
    let mut listings = round(&[Some("ab")]);
    listings.push(Listing {
        keys: None,
        ..file("c")
    });
    assert_eq!(story.listings(&listings).published(), "a");
}

#[test]
fn a_server_that_still_lists_a_revoked_key_does_not_hold_up_its_successor() {
    let mut story = Story::new(policy());
    story.policy.revoked = names(&[&keys("a").keys()[0].thumbprint()]);
    story.round(&[Some("A"), Some("A")]);
    story.round(&[None, Some("ab")]);
    assert_eq!(story.published(), "ab");
    let published = story.ledger.published().unwrap().unwrap();
    assert_eq!(published.keys()[0], keys("A").keys()[0]);
}

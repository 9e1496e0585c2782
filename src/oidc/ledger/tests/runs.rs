//! What several runs of one publisher know together, and several publishers.

use super::sample::*;
use crate::oidc::{Ledger, Policy, State};

/// One run of a job: a round of its own, and what the run before has stored.
fn run(stored: &Ledger, answers: &[Option<&str>], hour: u64) -> Ledger {
    let now = minutes(60 * hour);
    let (fresh, _) = Ledger::default()
        .step(&round(answers), &policy(), now)
        .unwrap();
    fresh.absorb(stored, &policy())
}

#[test]
fn jobs_that_start_anew_go_on_from_what_the_last_one_stored() {
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
fn the_order_of_a_job_is_that_of_the_upstreams_whoever_is_silent() {
    let mut stored = run(&Ledger::default(), &[Some("c"), Some("ab")], 0);
    let documents = stored.published().unwrap().unwrap().render();
    for (hour, answers) in [[None, Some("ab")], [Some("c"), None]].iter().enumerate() {
        stored = run(&stored, answers, 1 + hour as u64);
        assert_eq!(stored.published().unwrap().unwrap().render(), documents);
        assert!(stored.is_complete());
    }
}

#[test]
fn jobs_forget_as_a_service_does() {
    let mut stored = run(&Ledger::default(), &[Some("ab")], 0);
    for hour in 1..=24 {
        stored = run(&stored, &[Some("a")], hour);
    }
    let state = |ledger: &Ledger| ledger.keys().last().map(|it| it.state);
    assert_eq!(state(&stored), Some(State::Retiring));
    stored = run(&stored, &[Some("a")], 25);
    assert_eq!(state(&stored), Some(State::Retired));
    stored = run(&stored, &[Some("a")], 25 + 30 * 24);
    assert_eq!(stored.keys().len(), 1);
}

#[test]
fn a_job_finds_a_kid_that_names_another_key_until_the_one_before_is_revoked() {
    for before in ["ab", "b"] {
        let mut stored = run(&Ledger::default(), &[Some("ab")], 0);
        stored = run(&stored, &[Some(before)], 1);
        let now = minutes(120);
        let mut policy = policy();
        let fresh = |policy: &Policy| {
            let round = round(&[Some("Ab")]);
            Ledger::default().step(&round, policy, now).unwrap().0
        };
        let found = fresh(&policy).absorb(&stored, &policy);
        assert_eq!(found.published().unwrap_err().reason(), "kid-conflict");
        let thumbprint = keys("a").keys()[0].thumbprint();
        policy.revoked = names(&[&thumbprint]);
        let found = fresh(&policy).absorb(&stored, &policy);
        let published = found.published().unwrap().unwrap();
        assert_eq!(published.keys(), keys("Ab").keys());
    }
}

#[test]
fn a_revoked_key_of_an_earlier_run_stays_revoked() {
    let stored = run(&Ledger::default(), &[Some("ab")], 0);
    let policy = Policy {
        revoked: names(&["b"]),
        ..policy()
    };
    let fresh = Ledger::default();
    let (fresh, _) = fresh
        .step(&round(&[Some("a")]), &policy, minutes(60))
        .unwrap();
    let ledger = fresh.absorb(&stored, &policy);
    assert_eq!(published(&ledger), "a");
    assert_eq!(ledger.keys()[1].state, State::Revoked);
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

#[test]
fn ledgers_that_contradict_each_other_agree_once_one_of_them_revokes() {
    let mut one = Story::new(policy());
    one.round(&[Some("ab")]);
    let mut two = Story::new(policy());
    two.round(&[Some("A")]);
    let reject = Ledger::merge([&one.ledger, &two.ledger]).unwrap_err();
    assert_eq!(reject.reason(), "kid-conflict");
    two.policy.revoked = names(&[&keys("a").keys()[0].thumbprint()]);
    two.round(&[Some("A")]);
    let merged = Ledger::merge([&one.ledger, &two.ledger]).unwrap().unwrap();
    assert_eq!(merged.keys(), keys("bA").keys());
}

#[test]
fn ledgers_that_never_published_have_nothing_to_say() {
    let none: [&Ledger; 0] = [];
    assert_eq!(Ledger::merge(none).unwrap(), None);
    assert_eq!(Ledger::merge([&Ledger::default()]).unwrap(), None);
}

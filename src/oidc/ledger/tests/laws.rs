//! The promise, over arbitrary histories: rounds with answers, failures and silence, clocks that
//! step backwards and come back, restarts from what was saved, and jobs that start anew each time.
//!
//! The model knows the true time, which the ledger never does.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::sample::*;
use crate::oidc::{Ledger, Listing, Policy, Time, parse_stored};

/// What happens between two rounds, and in the second.
#[derive(Clone, Debug)]
struct Turn {
    /// True time that passes, in minutes: at most what a round may take to count in full.
    pause: u64,
    /// How far the clock is behind from now on, in minutes.
    behind: u64,
    /// What each upstream lists: bits for the keys "a" to "d"; `None` when it is silent.
    answers: [Option<u8>; 3],
    restart: Restart,
}

#[derive(Clone, Copy, Debug)]
enum Restart {
    None,
    /// The state was saved after the last round.
    FromState,
    /// Another process, which knows only what the last one stored.
    Job,
}

fn any_turn() -> impl Strategy<Value = Turn> {
    let answer = prop::option::weighted(0.85, 0..16_u8);
    (
        0..=60_u64,
        // Mostly right; else behind by up to a month.
        prop_oneof![8 => Just(0), 1 => 0..50_000_u64],
        [answer.clone(), answer.clone(), answer],
        prop_oneof![6 => Just(Restart::None), 1 => Just(Restart::FromState), 1 => Just(Restart::Job)],
    )
        .prop_map(|(pause, behind, answers, restart)| Turn { pause, behind, answers, restart })
}

fn listings(answers: [Option<u8>; 3]) -> Vec<Listing> {
    let kids = |bits: u8| -> String {
        let kids = ('a'..='d').enumerate();
        kids.filter(|(at, _)| bits & (1 << at) != 0)
            .map(|(_, kid)| kid)
            .collect()
    };
    // An empty set is a failed poll.
    let texts = answers.map(|bits| bits.map(kids).filter(|kids| !kids.is_empty()));
    round(&texts.each_ref().map(|text| text.as_deref()))
}

/// What is owed to one key.
struct Owed {
    /// The true time for which it has been watched to be absent.
    absent: Duration,
}

/// Goes through a history and holds the law after each round; gives back the last ledger.
fn live(turns: &[Turn], policy: &Policy) -> Result<Ledger, TestCaseError> {
    let mut ledger = Ledger::default();
    let mut owed = BTreeMap::<char, Owed>::new();
    let mut truth = 100_000;
    let mut clock_jumps = 0;
    let mut behind_before = 0;
    for turn in turns {
        truth += turn.pause;
        // A clock that comes back jumps forward, which looks like time that has passed.
        clock_jumps += u32::from(turn.behind < behind_before);
        behind_before = turn.behind;
        let now = minutes(truth) - Duration::from_mins(turn.behind);
        let listings = listings(turn.answers);
        ledger = step(&ledger, &listings, policy, now, turn.restart);

        let is_complete = listings.iter().all(|it| it.keys.is_some());
        let is_listed = |kid: char| {
            let mut sets = listings.iter().filter_map(|it| it.keys.as_ref());
            sets.any(|keys| {
                keys.keys()
                    .iter()
                    .any(|key| key.kid().as_str().starts_with(kid))
            })
        };
        let published = published(&ledger);
        for kid in 'a'..='d' {
            if is_listed(kid) {
                prop_assert!(published.contains(kid), "{kid} is listed");
                owed.insert(
                    kid,
                    Owed {
                        absent: Duration::ZERO,
                    },
                );
            } else if let Some(owed) = owed.get_mut(&kid).filter(|_| is_complete) {
                owed.absent += Duration::from_mins(turn.pause);
            }
        }
        let lost_to_jumps = policy.longest_gap() * clock_jumps;
        for (kid, owed) in &owed {
            let is_needed = owed.absent + lost_to_jumps < policy.retain_keys;
            prop_assert!(!is_needed || published.contains(*kid), "{kid} is needed");
        }
        let rendered = ledger.published().unwrap().unwrap_or_default().render();
        prop_assert!(!String::from_utf8(rendered).unwrap().contains("\"d\":"));
    }
    Ok(ledger)
}

fn step(
    ledger: &Ledger,
    round: &[Listing],
    policy: &Policy,
    now: Time,
    restart: Restart,
) -> Ledger {
    let saved = serde_json::to_vec(ledger).unwrap();
    let saved = parse_stored::<Ledger>(&saved).unwrap();
    let from = |ledger: &Ledger| ledger.step(round, policy, now).unwrap().0;
    match restart {
        Restart::None => from(ledger),
        Restart::FromState => from(&saved),
        Restart::Job => from(&Ledger::default()).absorb(&saved, policy),
    }
}

proptest! {
    #[test]
    fn no_key_goes_before_its_time(turns in prop::collection::vec(any_turn(), 1..60)) {
        live(&turns, &policy())?;
    }

    #[test]
    fn equal_histories_give_equal_bytes(turns in prop::collection::vec(any_turn(), 1..20)) {
        let bytes = |turns: &[Turn]| {
            let ledger = live(turns, &policy())?;
            Ok::<_, TestCaseError>(ledger.published().unwrap().unwrap_or_default().render())
        };
        prop_assert_eq!(bytes(&turns)?, bytes(&turns)?);
    }

    #[test]
    fn a_revoked_key_is_never_published(
        turns in prop::collection::vec(any_turn(), 1..30),
        moment in 0..30_usize,
    ) {
        let mut ledger = Ledger::default();
        let mut policy = policy();
        for (at, turn) in turns.iter().enumerate() {
            if at == moment {
                policy.revoked = names(&["a"]);
            }
            let now = minutes(60 * at as u64) - Duration::from_mins(turn.behind);
            ledger = step(&ledger, &listings(turn.answers), &policy, now, turn.restart);
            prop_assert!(at < moment || !published(&ledger).contains('a'));
        }
    }

    #[test]
    fn a_ledger_does_not_grow_for_ever(turns in prop::collection::vec(any_turn(), 1..20)) {
        let ledger = live(&turns, &policy())?;
        prop_assert!(ledger.keys().len() <= 4);
        prop_assert_eq!(ledger.upstreams.len(), 3);
    }
}

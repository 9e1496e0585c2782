//! What admission promises over arbitrary histories, with two upstreams and a file of keys that may
//! be unreadable, decisions between the rounds, and restarts.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    laws::{Owed, Restart, any_answer, any_restart, is_listed, kids, listings, policy, step},
    sample::{file, keys, minutes, published},
};
use crate::oidc::{Admission, KeyName, Ledger, Listing, Policy};

#[derive(Clone, Debug)]
struct Turn {
    answers: [Option<u8>; 2],
    /// What the file holds; `None` when it cannot be read.
    file: Option<u8>,
    restart: Restart,
    /// Whether the policy is applied once more before the round, as at each start.
    decides: bool,
    /// The key that the operator names.
    names: Option<char>,
}

impl Turn {
    fn round(&self) -> Vec<Listing> {
        let mut round = listings(&self.answers);
        round.push(Listing {
            keys: self.file.map(|bits| keys(&kids(bits))),
            ..file("a")
        });
        round
    }
}

fn any_turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = (
        [any_answer(), any_answer()],
        any_answer(),
        any_restart(),
        any::<bool>(),
        prop::option::weighted(0.1, prop::char::range('a', 'd')),
    );
    let turn = turn.prop_map(|(answers, file, restart, decides, names)| Turn {
        answers,
        file,
        restart,
        decides,
        names,
    });
    prop::collection::vec(turn, 1..20)
}

/// The ledger after one more turn, a minute later.
fn after(ledger: &Ledger, turn: &Turn, policy: &Policy, minute: usize) -> Ledger {
    let now = minutes(minute as u64);
    let decided = turn.decides.then(|| ledger.decide(policy, now).unwrap().0);
    let ledger = decided.as_ref().unwrap_or(ledger);
    step(ledger, &turn.round(), policy, now, turn.restart)
}

proptest! {
    #[test]
    fn only_pins_and_files_let_a_key_in(turns in any_turns(), pinned in 0..16_u8) {
        let pins = kids(pinned);
        let policy = Policy {
            admission: Admission::Pinned,
            pinned: pins.chars().map(|it| KeyName::parse(&it.to_string()).unwrap()).collect(),
            ..policy()
        };
        let (mut ledger, mut last_file) = (Ledger::default(), String::new());
        for (minute, turn) in turns.iter().enumerate() {
            ledger = after(&ledger, turn, &policy, minute);
            last_file = turn.file.map_or(last_file, kids);
            let published = published(&ledger);
            for kid in 'a'..='d' {
                let is_wanted = pins.contains(kid) || last_file.contains(kid);
                prop_assert!(is_wanted || !published.contains(kid), "{kid} is let in");
                let is_known = is_listed(&turn.round(), kid) || last_file.contains(kid);
                prop_assert!(published.contains(kid) || !(is_wanted && is_known), "{kid} is gone");
            }
        }
    }

    #[test]
    fn only_the_operator_lets_a_new_key_in(mut turns in any_turns()) {
        let mut policy = Policy { admission: Admission::Hold, ..policy() };
        let (mut ledger, mut owed) = (Ledger::default(), Owed::default());
        let (mut let_in, mut has_answered) = (String::new(), [false; 3]);
        for (minute, turn) in turns.iter_mut().enumerate() {
            // What is approved and found at first is remembered in the state only.
            if matches!(turn.restart, Restart::Job) {
                turn.restart = Restart::FromState;
            }
            let round = turn.round();
            let mut upstreams = round.iter().zip(&has_answered).filter(|(it, _)| !it.is_file);
            let is_early = upstreams.any(|(_, has)| !has);
            for (has, listing) in has_answered.iter_mut().zip(&round) {
                *has |= listing.keys.is_some();
            }
            policy.approved.extend(turn.names.map(|it| KeyName::parse(&it.to_string()).unwrap()));
            let_in.extend(turn.names);
            let_in.extend(turn.file.map(kids));
            let_in.extend(('a'..='d').filter(|kid| is_early && is_listed(&round, *kid)));

            ledger = after(&ledger, turn, &policy, minute);
            let published = published(&ledger);
            for kid in 'a'..='d' {
                let is_listed = is_listed(&round, kid);
                prop_assert!(let_in.contains(kid) || !published.contains(kid), "{kid} is new");
                prop_assert!(published.contains(kid) || !(is_listed && let_in.contains(kid)));
            }
            owed.pass(&round, Duration::from_mins(1));
            owed.owe(&published);
            for kid in owed.needed(&policy, Duration::ZERO) {
                prop_assert!(published.contains(kid), "{kid} is needed");
            }
        }
    }
}

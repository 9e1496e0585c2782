//! The promise, over arbitrary histories: rounds with answers, failures and silence, clocks that
//! step and come back, restarts from what was saved, and jobs that start anew each time.
//!
//! The model knows the true time, which the ledger never does. The law, after each round:
//!
//! - A key that some upstream lists in this round is published.
//! - A key once published stays until it was watched to be absent for `retain-keys`: in true time,
//!   from the first complete round without it, the pauses before complete rounds added up. Each
//!   step of the clock forwards, also one that ends a step backwards, may cut that short by at
//!   most `Policy::longest_gap`.
//! - While the clock is right, it goes then.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::sample::{minutes, names, published, round};
use crate::oidc::{KeySet, Ledger, Listing, Policy, Time, parse_stored};

/// What happens between two rounds, and in the second.
#[derive(Clone, Debug)]
struct Turn {
    /// True time that passes, in seconds: at most what a round may take to count in full.
    pause: u64,
    /// How far the clock is ahead from now on, in seconds; behind when negative.
    ahead: i64,
    /// What each upstream lists: bits for the keys "a" to "d"; `None` when it is silent.
    answers: Vec<Option<u8>>,
    restart: Restart,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Restart {
    None,
    /// The state was saved after the last round.
    FromState,
    /// Another process, which knows only what the last one stored.
    Job,
}

pub(super) fn any_answer() -> impl Strategy<Value = Option<u8>> {
    // An empty set is a failed poll.
    prop::option::weighted(0.85, 1..16_u8)
}

pub(super) fn any_restart() -> impl Strategy<Value = Restart> {
    prop_oneof![6 => Just(Restart::None), 1 => Just(Restart::FromState), 1 => Just(Restart::Job)]
}

fn any_turn(upstreams: usize) -> impl Strategy<Value = Turn> {
    (
        0..=60_u64,
        // Mostly right; else wrong by minutes or by up to a month.
        prop_oneof![8 => Just(0), 1 => -200..200_i64, 1 => -2_500_000..2_500_000_i64],
        prop::collection::vec(any_answer(), upstreams),
        any_restart(),
    )
        .prop_map(|(pause, ahead, answers, restart)| Turn {
            pause,
            ahead,
            answers,
            restart,
        })
}

/// As often as not with a clock that is right.
fn any_turns(most: usize) -> impl Strategy<Value = Vec<Turn>> {
    let turns =
        (1..=3_usize).prop_flat_map(move |count| prop::collection::vec(any_turn(count), 1..most));
    (turns, any::<bool>()).prop_map(|(mut turns, is_right)| {
        for turn in turns.iter_mut().filter(|_| is_right) {
            turn.ahead = 0;
        }
        turns
    })
}

pub(super) fn kids(bits: u8) -> String {
    let kids = ('a'..='d').enumerate();
    let listed = kids.filter(|(at, _)| bits & (1 << at) != 0);
    listed.map(|(_, kid)| kid).collect()
}

pub(super) fn listings(answers: &[Option<u8>]) -> Vec<Listing> {
    let texts: Vec<_> = answers.iter().map(|bits| bits.map(kids)).collect();
    let texts: Vec<_> = texts.iter().map(Option::as_deref).collect();
    round(&texts)
}

/// A retention so short that keys retire and come back within a history: three rounds of the
/// longest pause.
pub(super) fn policy() -> Policy {
    Policy {
        retain_keys: Duration::from_mins(3),
        ..super::sample::policy()
    }
}

/// The clock after this many true seconds.
fn clock(truth: u64, ahead: i64) -> Time {
    let truth = minutes(0) + Duration::from_secs(truth);
    let wrong_by = Duration::from_secs(ahead.unsigned_abs());
    if ahead < 0 {
        truth - wrong_by
    } else {
        truth + wrong_by
    }
}

pub(super) fn step(
    ledger: &Ledger,
    round: &[Listing],
    policy: &Policy,
    now: Time,
    restart: Restart,
) -> Ledger {
    let from = |ledger: &Ledger| ledger.step(round, policy, now).unwrap().0;
    let saved = || parse_stored::<Ledger>(&serde_json::to_vec(ledger).unwrap()).unwrap();
    match restart {
        Restart::None => from(ledger),
        Restart::FromState => {
            let saved = saved();
            assert_eq!(saved, *ledger);
            from(&saved)
        }
        Restart::Job => from(&Ledger::default()).absorb(&saved(), policy),
    }
}

/// What is owed to the keys that were published: for how long each was watched to be absent;
/// `None` while it is not known to be.
#[derive(Default)]
pub(super) struct Owed(BTreeMap<char, Option<Duration>>);

impl Owed {
    pub(super) fn pass(&mut self, round: &[Listing], pause: Duration) {
        let is_complete = round.iter().all(|it| it.keys.is_some());
        for (kid, watched) in &mut self.0 {
            if is_listed(round, *kid) {
                *watched = None;
            } else if is_complete {
                *watched = Some(watched.map_or(Duration::ZERO, |it| it + pause));
            }
        }
    }

    pub(super) fn owe(&mut self, kids: &str) {
        for kid in kids.chars() {
            self.0.entry(kid).or_default();
        }
    }

    /// What must be published although `lost` of its time may have been.
    pub(super) fn needed(&self, policy: &Policy, lost: Duration) -> impl Iterator<Item = char> {
        let owed = self.0.iter();
        owed.filter(move |(_, watched)| watched.unwrap_or_default() + lost < policy.retain_keys)
            .map(|(kid, _)| *kid)
    }
}

pub(super) fn is_listed(round: &[Listing], kid: char) -> bool {
    let sets = round.iter().filter_map(|it| it.keys.as_ref());
    let mut kids = sets.flat_map(KeySet::keys).map(|key| key.kid().as_str());
    kids.any(|it| it.starts_with(kid))
}

/// Goes through a history and holds the law after each round; gives back the last ledger.
fn live(turns: &[Turn]) -> Result<Ledger, TestCaseError> {
    let policy = &policy();
    let mut ledger = Ledger::default();
    let mut owed = Owed::default();
    let (mut truth, mut ahead, mut jumps) = (0, 0, 0);
    let clock_is_right = turns.iter().all(|turn| turn.ahead == 0);
    for turn in turns {
        truth += turn.pause;
        jumps += u32::from(turn.ahead > ahead);
        ahead = turn.ahead;
        let listings = listings(&turn.answers);
        ledger = step(
            &ledger,
            &listings,
            policy,
            clock(truth, ahead),
            turn.restart,
        );
        let published = published(&ledger);
        for kid in ('a'..='d').filter(|kid| is_listed(&listings, *kid)) {
            prop_assert!(published.contains(kid), "{kid} is listed");
        }
        owed.pass(&listings, Duration::from_secs(turn.pause));
        owed.owe(&published);
        for kid in owed.needed(policy, policy.longest_gap() * jumps) {
            prop_assert!(published.contains(kid), "{kid} is needed");
        }
        let needed: String = owed.needed(policy, Duration::ZERO).collect();
        let kept = published.chars().all(|kid| needed.contains(kid));
        prop_assert!(kept || !clock_is_right, "{published} for {needed}");
        let rendered = ledger.published().unwrap().unwrap_or_default().render();
        prop_assert!(!String::from_utf8(rendered).unwrap().contains("\"d\":"));
        prop_assert!(ledger.keys().len() <= 4 && ledger.upstreams.len() == listings.len());
    }
    Ok(ledger)
}

proptest! {
    #[test]
    fn no_key_goes_before_its_time(turns in any_turns(30)) {
        live(&turns)?;
    }

    #[test]
    fn equal_histories_give_equal_bytes(turns in any_turns(8)) {
        let bytes = |turns: &[Turn]| {
            let ledger = live(turns)?;
            Ok::<_, TestCaseError>(serde_json::to_vec(&ledger).unwrap())
        };
        prop_assert_eq!(bytes(&turns)?, bytes(&turns)?);
    }

    #[test]
    fn it_makes_no_difference_who_goes_on(turns in any_turns(16)) {
        let documents = |restart: Option<Restart>| {
            let (mut ledger, mut truth) = (Ledger::default(), 0);
            let steps = turns.iter().map(|turn| {
                truth += turn.pause;
                let restart = restart.unwrap_or(turn.restart);
                let listings = listings(&turn.answers);
                ledger = step(&ledger, &listings, &policy(), clock(truth, turn.ahead), restart);
                ledger.published().unwrap().map(|keys| keys.render())
            });
            steps.collect::<Vec<_>>()
        };
        let service = documents(Some(Restart::None));
        prop_assert_eq!(&documents(Some(Restart::Job)), &service);
        prop_assert_eq!(&documents(None), &service);
    }

    #[test]
    fn a_revoked_key_is_never_published(
        turns in any_turns(16),
        from in 0..16_usize,
        rounds in 1..16_usize,
    ) {
        let (mut ledger, mut without) = (Ledger::default(), Ledger::default());
        let auto = policy();
        for (at, turn) in turns.iter().enumerate() {
            let now = clock(60 * at as u64, turn.ahead);
            let is_revoked = (from..from + rounds).contains(&at);
            let revoking = Policy { revoked: names(if is_revoked { &["a"] } else { &[] }), ..policy() };
            ledger = step(&ledger, &listings(&turn.answers), &revoking, now, turn.restart);
            without = step(&without, &listings(&turn.answers), &auto, now, turn.restart);
            prop_assert!(!is_revoked || !published(&ledger).contains('a'));
            // No other key notices.
            prop_assert_eq!(
                published(&ledger).replace('a', ""),
                published(&without).replace('a', "")
            );
        }
    }
}

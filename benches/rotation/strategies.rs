//! Ways of mirroring the key sets of several API servers.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use fastrand::Rng;
use oidc_mirror::oidc::{Admission, Key, KeySet, Ledger, Listing, Policy, Time};

use crate::plane::{HOUR, MINUTE, SERVERS, Second};

/// What each API server lists; `None` for one that is down.
pub(crate) type Answers = [Option<KeySet>; SERVERS];

/// The document that is published from now on; `None` when it stays as it is.
type Poll = dyn FnMut(&Answers, Second) -> Option<KeySet>;

/// A way of mirroring.
pub(crate) struct Strategy {
    pub(crate) name: &'static str,
    pub(crate) detail: &'static str,
    pub(crate) interval: Second,
    pub(crate) poll: Box<Poll>,
}

/// All of them, this mirror first.
pub(crate) fn all(rng: Rng) -> [Strategy; 5] {
    [
        Strategy {
            name: "oidc-mirror",
            detail: "all servers, every 15 s, ledger",
            interval: POLL,
            poll: Box::new(ledger()),
        },
        Strategy {
            name: "copy from the load balancer",
            detail: "any server, every minute",
            interval: MINUTE,
            poll: Box::new(load_balancer(rng)),
        },
        Strategy {
            name: "copy from one server",
            detail: "the first one, every 15 s",
            interval: POLL,
            poll: Box::new(|answers, _| answers[0].clone()),
        },
        Strategy {
            name: "union of the answers",
            detail: "all servers, every 15 s",
            interval: POLL,
            poll: Box::new(|answers, _| union(answers)),
        },
        Strategy {
            name: "24 h from the first absence",
            detail: "all servers, every 15 s",
            interval: POLL,
            poll: Box::new(first_absence()),
        },
    ]
}

/// What this mirror does.
fn ledger() -> impl FnMut(&Answers, Second) -> Option<KeySet> {
    let policy = Policy {
        retain_keys: duration(RETAIN),
        admission: Admission::Auto,
        pinned: BTreeSet::new(),
        approved: BTreeSet::new(),
        revoked: BTreeSet::new(),
    };
    let mut ledger = Ledger::default();
    move |answers, now| {
        let listings = answers.iter().enumerate().map(|(server, keys)| Listing {
            source: format!("https://10.0.0.1{server}:6443"),
            is_file: false,
            keys: keys.clone(),
        });
        let round: Vec<_> = listings.collect();
        let now = Time::after_epoch(duration(BEGINNING + now));
        (ledger, _) = ledger
            .step(&round, &policy, now)
            .expect("no two keys share a kid");
        ledger.published().expect("three keys are not too many")
    }
}

/// Whichever server the load balancer chooses among the healthy ones.
fn load_balancer(mut rng: Rng) -> impl FnMut(&Answers, Second) -> Option<KeySet> {
    move |answers, _| {
        let healthy: Vec<_> = answers.iter().flatten().collect();
        rng.choice(healthy).cloned()
    }
}

/// What those list that answer, without a memory.
fn union(answers: &Answers) -> Option<KeySet> {
    let union = KeySet::union(answers.iter().flatten()).expect("no two keys share a kid");
    (!union.is_empty()).then_some(union)
}

/// Every key ever seen, until a day after some answer first lacked it, whatever was seen later.
fn first_absence() -> impl FnMut(&Answers, Second) -> Option<KeySet> {
    let mut known = KeySet::default();
    let mut absent_since = HashMap::new();
    move |answers, now| {
        let sets = [&known].into_iter().chain(answers.iter().flatten());
        known = KeySet::union(sets).expect("no two keys share a kid");
        for kid in known.keys().iter().map(Key::kid) {
            if answers.iter().flatten().any(|it| it.find(kid).is_none()) {
                absent_since.entry(kid.clone()).or_insert(now);
            }
        }
        let is_over = |since: &Second| now - since >= RETAIN;
        let keys = known.clone();
        Some(keys.without(|key| absent_since.get(key.kid()).is_some_and(is_over)))
    }
}

fn duration(seconds: Second) -> Duration {
    Duration::from_secs(seconds.into())
}

const POLL: Second = 15;
/// The default of `retain-keys`, and the life of the longest token.
const RETAIN: Second = 24 * HOUR;
/// 14 November 2023: any time does.
const BEGINNING: Second = 1_700_000_000;

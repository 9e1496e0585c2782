//! Rounds of arbitrary key sets, separated by a zero byte: merging is idempotent, loses no key that
//! is listed, and does not depend on the order of the upstreams.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use oidc_mirror::oidc::{KeySet, Ledger, Listing, Policy, Time};

fuzz_target!(|documents: &[u8]| {
    let policy = Policy::default();
    let now = Time::after_epoch(Duration::from_secs(1));
    let mut round: Vec<_> = documents
        .split(|byte| *byte == 0)
        .enumerate()
        .map(|(at, document)| Listing {
            source: at.to_string(),
            is_file: false,
            keys: KeySet::parse(document).ok().map(|(keys, _)| keys),
        })
        .collect();
    let Ok((ledger, _)) = Ledger::default().step(&round, &policy, now) else { return };
    let published = |ledger: &Ledger| ledger.published().expect("it was accepted").unwrap_or_default();
    for key in round.iter().filter_map(|it| it.keys.as_ref()).flat_map(KeySet::keys) {
        assert_eq!(published(&ledger).find(key.kid()), Some(key));
    }
    let (again, events) = ledger.step(&round, &policy, now).expect("it was accepted before");
    assert!(again == ledger && events.is_empty());
    round.reverse();
    let (reversed, _) = Ledger::default()
        .step(&round, &policy, now)
        .expect("the order does not matter");
    assert_eq!(published(&reversed).len(), published(&ledger).len());
});

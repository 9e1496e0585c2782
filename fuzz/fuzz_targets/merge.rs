//! Rounds of arbitrary key sets, separated by a zero byte: merging is idempotent, loses no key that
//! is listed, and does not depend on the order of the upstreams.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oidc_mirror::oidc::{KeySet, Ledger};

fuzz_target!(|documents: &[u8]| {
    let mut round: Vec<_> = documents
        .split(|byte| *byte == 0)
        .map(|document| KeySet::parse(document).ok().map(|(keys, _)| keys))
        .collect();
    let Ok((ledger, _)) = Ledger::default().step(&round) else { return };
    for key in round.iter().flatten().flat_map(KeySet::keys) {
        assert_eq!(ledger.keys().find(key.kid()), Some(key));
    }
    let (again, events) = ledger.step(&round).expect("it was accepted before");
    assert!(again == ledger && events.is_empty());
    round.reverse();
    let (reversed, _) = Ledger::default().step(&round).expect("the order does not matter");
    assert_eq!(reversed.keys().len(), ledger.keys().len());
});

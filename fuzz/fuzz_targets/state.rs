//! A stored ledger, as damaged as it may be: what is accepted is stored and read back as it is, and
//! a process can go on from it.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use oidc_mirror::oidc::{Admission, KeySet, Ledger, Listing, Policy, parse_stored};

fuzz_target!(|text: &[u8]| {
    let Ok(ledger) = parse_stored::<Ledger>(text) else { return };
    let stored = serde_json::to_vec(&ledger).expect("it holds only strings and numbers");
    assert_eq!(parse_stored::<Ledger>(&stored).expect("it was stored"), ledger);
    if let Ok(Some(keys)) = Ledger::merge([&ledger, &ledger])
        && !keys.is_empty()
    {
        let (again, _) = KeySet::parse(&keys.render()).expect("what is rendered parses");
        assert_eq!(again, keys);
    }
    for admission in [Admission::Auto, Admission::Hold, Admission::Pinned] {
        go_on(&ledger, admission);
    }
});

/// Nothing that is stored makes a later round panic, nor one that another process made.
fn go_on(ledger: &Ledger, admission: Admission) {
    let policy = Policy {
        admission,
        revoked: ledger.revoked.clone(),
        ..Policy::default()
    };
    let now = ledger.as_of + Duration::from_mins(1);
    let listing = |keys| Listing {
        source: "https://10.0.0.11:6443/".to_owned(),
        is_file: false,
        keys,
    };
    for answer in [None, ledger.published().ok().flatten()] {
        let round = [listing(answer)];
        if let Ok((next, _)) = ledger.step(&round, &policy, now) {
            assert!(next.published().is_ok());
        }
        if let Ok((fresh, _)) = Ledger::default().step(&round, &policy, now) {
            _ = fresh.absorb(ledger, &policy).published();
        }
    }
    _ = ledger.decide(&policy, now);
}

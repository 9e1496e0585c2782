//! A stored ledger, as damaged as it may be: what is accepted is stored and read back as it is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oidc_mirror::oidc::{Ledger, parse_stored};

fuzz_target!(|text: &[u8]| {
    let Ok(ledger) = parse_stored::<Ledger>(text) else { return };
    let stored = serde_json::to_vec(&ledger).expect("it holds only strings and numbers");
    assert_eq!(parse_stored::<Ledger>(&stored).expect("it was stored"), ledger);
    if let Ok(Some(keys)) = Ledger::merge([&ledger, &ledger]) {
        assert!(!String::from_utf8(keys.render()).expect("JSON").contains("\"d\":"));
    }
});

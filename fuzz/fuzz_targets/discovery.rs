//! No discovery document and no issuer makes the core panic; what is kept is kept as it is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oidc_mirror::oidc::{Issuer, KeySet, Ledger, Snapshot, upstream_issuer};

fuzz_target!(|document: &[u8]| {
    let Ok(text) = upstream_issuer(document) else { return };
    let Ok(issuer) = Issuer::parse(&text) else { return };
    assert_eq!(issuer.as_str(), text);
    let snapshot = Snapshot::render(&issuer, KeySet::default(), &[], Ledger::default());
    assert_eq!(upstream_issuer(&snapshot.discovery.body).expect("we wrote it"), text);
});

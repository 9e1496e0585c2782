//! A file of public keys, PEM or JWKS: what is accepted holds at least one key, and is read by
//! whoever reads the documents as it was meant.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oidc_mirror::oidc::KeySet;

fuzz_target!(|text: &[u8]| {
    let Ok(keys) = KeySet::parse_file(text) else { return };
    assert!(!keys.is_empty());
    let (again, left_out) = KeySet::parse(&keys.render()).expect("what is rendered parses");
    assert_eq!(again, keys);
    assert!(left_out.is_empty());
});

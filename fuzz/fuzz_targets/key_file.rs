//! A file of public keys, PEM or JWKS: what is accepted holds at least one key.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oidc_mirror::oidc::KeySet;

fuzz_target!(|text: &[u8]| {
    if let Ok(keys) = KeySet::parse_file(text) {
        assert!(!keys.is_empty());
    }
});

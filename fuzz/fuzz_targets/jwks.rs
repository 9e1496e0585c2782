//! Whatever is accepted as a key set renders, and parses back to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oidc_mirror::oidc::KeySet;

fuzz_target!(|document: &[u8]| {
    if let Ok((keys, _)) = KeySet::parse(document) {
        let rendered = keys.render();
        let (again, left_out) = KeySet::parse(&rendered).expect("what is rendered parses");
        assert_eq!(again, keys);
        assert!(left_out.is_empty());
    }
});

//! A process in which much is wrong, for tests of what is shown.

use super::Standing;

/// One mirror that does well, one with every trouble, one that has nothing to give out.
pub(crate) fn sample() -> Standing {
    serde_json::from_str(TEXT).unwrap()
}

const TEXT: &str = include_str!("sample.json");

#[test]
fn what_is_read_is_written_the_same() {
    let before: serde_json::Value = serde_json::from_str(TEXT).unwrap();
    assert_eq!(serde_json::to_value(sample()).unwrap(), before);
}

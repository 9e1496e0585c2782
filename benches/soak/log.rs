//! What the mirror says meanwhile: only what its operator did, however busy its clients are.

use std::collections::BTreeMap;

use serde_json::Value;

/// How often each message came, by level.
pub(crate) fn count(log: &str) -> BTreeMap<String, u64> {
    let mut messages = BTreeMap::new();
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        let message = match (event["level"].as_str(), event["message"].as_str()) {
            (Some(level), Some(message)) => format!("{level} {message}"),
            // Whoever panics writes no JSON.
            _ => line.to_owned(),
        };
        *messages.entry(message).or_default() += 1;
    }
    messages
}

/// Whether a message is about something that the operator did.
pub(crate) fn is_expected(message: &str) -> bool {
    EXPECTED
        .iter()
        .any(|expected| message.starts_with(expected))
}

const EXPECTED: [&str; 12] = [
    "INFO a key appeared",
    "INFO a key is gone from every API server",
    "INFO a key is retired",
    "INFO a new certificate is in use",
    "INFO answering the operator",
    "INFO every mirror has its documents",
    "INFO reading the configuration again",
    "INFO serving",
    "INFO the API server can be read again",
    "INFO the new configuration is in use",
    // An API server is down while it is restarted.
    "WARN could not read an API server",
    // That of the cluster says for how long its documents may be cached; the soak does not wait.
    "WARN this API server may sign with a new key sooner",
];

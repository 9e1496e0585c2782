//! The one place that reads the wall clock for what is stored.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::oidc::Time;

/// The present moment; 1970 when the clock stands before it.
#[expect(
    clippy::disallowed_methods,
    reason = "what is stored is read by others, so it needs the time of all"
)]
pub(crate) fn now() -> Time {
    Time::after_epoch(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

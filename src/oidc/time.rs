//! A moment as it is stored: the core is told the time and never asks a clock.

use std::{
    fmt,
    ops::{Add, Sub},
    time::{Duration, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A moment in UTC, to the millisecond.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(into = "String", try_from = "String")]
pub struct Time {
    unix_millis: u64,
}

impl Time {
    /// This long after 1970 began; the part below a millisecond is dropped.
    pub fn after_epoch(duration: Duration) -> Self {
        let unix_millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            unix_millis: unix_millis.min(LATEST_MILLIS),
        }
    }

    /// The time since `earlier`; none when that is later, as after a step of the clock.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.unix_millis.saturating_sub(earlier.unix_millis))
    }

    /// The time since 1970 began.
    pub fn unix(self) -> Duration {
        Duration::from_millis(self.unix_millis)
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self::after_epoch(self.unix().saturating_add(duration))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self::after_epoch(self.unix().saturating_sub(duration))
    }
}

/// RFC 3339 in UTC, as it is stored.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(UNIX_EPOCH + self.unix()).fmt(f)
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        time.to_string()
    }
}

impl TryFrom<String> for Time {
    type Error = humantime::TimestampError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let time = humantime::parse_rfc3339(&text)?;
        Ok(Self::after_epoch(
            time.duration_since(UNIX_EPOCH).unwrap_or_default(),
        ))
    }
}

/// The last moment of the year 9999: RFC 3339 has no later one.
const LATEST_MILLIS: u64 = 253_402_300_799_999;

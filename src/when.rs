//! Moments and durations for people.

use std::time::Duration;

use crate::oidc::Time;

/// How long ago `time` was, in the largest unit: `3h ago`.
pub(crate) fn ago(time: Time, now: Time) -> String {
    match now.since(time).as_secs() {
        seconds @ ..MINUTE => format!("{seconds}s ago"),
        seconds @ MINUTE..HOUR => format!("{}m ago", seconds / MINUTE),
        seconds @ HOUR..TWO_DAYS => format!("{}h ago", seconds / HOUR),
        seconds => format!("{}d ago", seconds / DAY),
    }
}

/// A duration in its two largest units: `23h 10m`.
pub(crate) fn span(duration: Duration) -> String {
    let both = |seconds: u64, (large, name): (u64, char), (small, small_name): (u64, char)| {
        let (whole, rest) = (seconds / large, seconds % large / small);
        match rest {
            0 => format!("{whole}{name}"),
            rest => format!("{whole}{name} {rest}{small_name}"),
        }
    };
    match duration.as_secs() {
        seconds @ ..MINUTE => format!("{seconds}s"),
        seconds @ MINUTE..HOUR => both(seconds, (MINUTE, 'm'), (1, 's')),
        seconds @ HOUR..TWO_DAYS => both(seconds, (HOUR, 'h'), (MINUTE, 'm')),
        seconds => both(seconds, (DAY, 'd'), (HOUR, 'h')),
    }
}

/// A short duration to a tenth of a second: `2.1s`; a longer one as [`span`].
pub(crate) fn delay(duration: Duration) -> String {
    match duration.as_secs() {
        ..MINUTE => format!("{:.1}s", duration.as_secs_f64()),
        _ => span(duration),
    }
}

/// A moment in UTC, with its date unless that is today's. Never earlier than it is.
pub(crate) fn moment(time: Time, now: Time) -> String {
    // What is shown has no fraction of a second.
    let text = (time + Duration::from_millis(999)).to_string();
    let today = now.to_string();
    let (date, clock) = (text.get(..10), text.get(11..19));
    match (date, clock) {
        (date, Some(clock)) if date == today.get(..10) => format!("{clock} UTC"),
        (Some(date), Some(clock)) => format!("{date} {clock} UTC"),
        _ => text,
    }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const TWO_DAYS: u64 = 2 * DAY;

//! When to order: pure, so that it can be tested without waiting.

use std::time::Duration;

use crate::{backoff, oidc::Time};

/// When to renew a certificate: after two thirds of its time, up to a twentieth of it sooner by
/// `random` (0 to 1), so that those of many hosts are not renewed at one moment.
pub(super) fn due(not_before: Time, not_after: Time, random: f64) -> Time {
    let lifetime = not_after.since(not_before);
    not_before + lifetime * 2 / 3 - lifetime.mul_f64(random / 20.0)
}

/// The same for one that was issued just now: not before a third of what is left has passed, so that
/// no certificate, however old a CA says it is, makes the next order follow at once.
pub(super) fn due_again(now: Time, due: Time, not_after: Time) -> Time {
    let left = not_after.since(now).max(Duration::from_secs(3));
    due.max(now + left / 3)
}

/// The pause after `failures` orders in a row: from seconds when the server could not be asked, from
/// minutes when it said no, since CAs count that (Let's Encrypt allows five failures an hour).
pub(super) fn pause(failures: u32, was_refused: bool, random: f64) -> Duration {
    let step = if was_refused {
        REFUSED_STEP
    } else {
        UNREACHED_STEP
    };
    backoff::pause(failures.saturating_add(step), LONGEST_PAUSE, random)
}

/// Doublings of a second before the first pause.
const UNREACHED_STEP: u32 = 1;
const REFUSED_STEP: u32 = 8;
const LONGEST_PAUSE: Duration = Duration::from_hours(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_time() {
        let day = Duration::from_hours(24);
        let start = Time::after_epoch(1000 * day);
        let at = |random| due(start, start + 90 * day, random).since(start);
        assert_eq!(at(0.0), 60 * day);
        assert_eq!(at(1.0), 60 * day - 90 * day / 20);
        assert!(due(start, start, 1.0) <= start);
    }

    #[test]
    fn a_certificate_that_is_issued_old_is_not_ordered_again_at_once() {
        let hour = Duration::from_hours(1);
        let now = Time::after_epoch(1000 * hour);
        let again = |due, not_after| due_again(now, due, not_after).since(now);
        assert_eq!(again(now + 2 * hour, now + 3 * hour), 2 * hour);
        assert_eq!(again(now - hour, now + 3 * hour), hour);
        assert_eq!(again(now - hour, now), Duration::from_secs(1));
    }

    #[test]
    fn a_server_that_says_no_is_left_alone_for_longer() {
        for (failures, was_refused, seconds) in [
            (1, false, 2),
            (2, false, 4),
            (1, true, 256),
            (2, true, 512),
            (3, true, 1024),
            (u32::MAX, true, 7200),
            (u32::MAX, false, 7200),
        ] {
            let planned = Duration::from_secs(seconds);
            assert_eq!(pause(failures, was_refused, 0.5), planned, "{failures}");
        }
    }
}

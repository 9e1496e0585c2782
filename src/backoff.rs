//! How long to wait between two tries: pure, so that it can be tested without waiting.

use std::time::Duration;

/// The pause before the next try: `interval` while all is well, after `failures` in a row doubling
/// from one second up to `interval`; spread by `random` (0 to 1) around that, so that many mirrors
/// do not call at once.
pub(crate) fn pause(failures: u32, interval: Duration, random: f64) -> Duration {
    let planned = match failures.checked_sub(1) {
        None => interval,
        Some(repeated) => FIRST_RETRY
            .saturating_mul(2_u32.saturating_pow(repeated))
            .min(interval),
    };
    planned.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * random)
}

const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The share by which a pause is longer or shorter than planned, at most.
const SPREAD: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_after_failures_up_to_the_interval() {
        let interval = Duration::from_secs(300);
        for (failures, seconds) in [
            (0, 300),
            (1, 1),
            (2, 2),
            (4, 8),
            (9, 256),
            (10, 300),
            (u32::MAX, 300),
        ] {
            let planned = Duration::from_secs(seconds);
            assert_eq!(pause(failures, interval, 0.5), planned);
            assert_eq!(pause(failures, interval, 0.0), planned.mul_f64(0.9));
            assert!(pause(failures, interval, 0.999_999) < planned.mul_f64(1.1));
        }
        let short = Duration::from_millis(10);
        assert_eq!(pause(3, short, 0.5), short);
    }
}

//! The loop beside serving: publishes each new snapshot, and repairs what others change.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};
use tracing::{debug, error, info, warn};

use super::{Change, PublishError, Publisher, Standing};
use crate::{Report, oidc::Snapshot};

impl Publisher {
    /// Publishes each new snapshot, compares the target with it again `every` so often and repairs
    /// a difference; tries again sooner after a failure. Ends when the channel closes.
    ///
    /// Never holds up the producer; of several snapshots that come meanwhile the latest counts.
    pub async fn run(self, mut snapshots: watch::Receiver<Option<Arc<Snapshot>>>, every: Duration) {
        let mut course = Course::default();
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            let pause = match snapshot {
                None => Duration::MAX,
                Some(snapshot) => {
                    match self.publish(&snapshot).await {
                        Ok(changes) => course.published(&self, snapshot, &changes),
                        Err(error) => course.failed(&self, &error),
                    }
                    pause(course.failures, every, fastrand::f64())
                }
            };
            tokio::select! {
                changed = snapshots.changed() => if changed.is_err() {
                    return;
                },
                () = sleep(pause) => {}
            }
        }
    }
}

/// How it went so far: what turns many outcomes into one log line per change.
#[derive(Default)]
struct Course {
    /// What the target held when it was last published to.
    standing: Option<Arc<Snapshot>>,
    /// Failures in a row.
    failures: u32,
    /// The reason of the last of them.
    reason: Option<&'static str>,
}

impl Course {
    fn published(&mut self, target: &Publisher, snapshot: Arc<Snapshot>, changes: &[Change]) {
        if self.failures > 0 {
            info!(%target, failures = self.failures, "publishing works again");
        }
        (self.failures, self.reason) = (0, None);
        let again = self.standing.as_deref() == Some(&*snapshot);
        let unread = |change: &Change| change.found == Standing::Unreadable;
        if changes.is_empty() || again && changes.iter().all(unread) {
            debug!(%target, "published documents are as they should be");
        } else if again {
            let changes = listed(changes);
            warn!(%target, changes, "published documents were changed by someone else; repaired");
        } else {
            info!(%target, changes = listed(changes), keys = snapshot.keys.len(), "published");
        }
        self.standing = Some(snapshot);
    }

    fn failed(&mut self, target: &Publisher, error: &PublishError) {
        self.failures = self.failures.saturating_add(1);
        let report = Report(error);
        if self.reason.replace(error.reason()) == Some(error.reason()) {
            debug!(%target, error = %report, "could not publish");
        } else if error.needs_a_human() {
            error!(%target, error = %report, "could not publish");
        } else {
            warn!(%target, error = %report, "could not publish");
        }
    }
}

fn listed(changes: &[Change]) -> String {
    let shown: Vec<_> = changes.iter().map(Change::to_string).collect();
    shown.join(", ")
}

/// The time until the next try: `every` while it works, doubling from [`FIRST_RETRY`] after
/// failures, never more than `every`; `random` in 0..1 spreads it.
fn pause(failures: u32, every: Duration, random: f64) -> Duration {
    let whole = match failures.checked_sub(1) {
        None => every,
        Some(repeated) => FIRST_RETRY
            .saturating_mul(2_u32.saturating_pow(repeated))
            .min(every),
    };
    whole.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * random)
}

const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The share by which a pause is longer or shorter than planned, at most.
const SPREAD: f64 = 0.2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_after_failures_up_to_the_interval() {
        let every = Duration::from_secs(300);
        let cases = [
            (0, 300),
            (1, 1),
            (2, 2),
            (4, 8),
            (9, 256),
            (10, 300),
            (u32::MAX, 300),
        ];
        for (failures, seconds) in cases {
            let planned = Duration::from_secs(seconds);
            assert_eq!(pause(failures, every, 0.5), planned);
            assert_eq!(pause(failures, every, 0.0), planned.mul_f64(0.8));
            assert!(pause(failures, every, 0.999_999) < planned.mul_f64(1.2));
        }
        let short = Duration::from_millis(10);
        assert_eq!(pause(3, short, 0.5), short);
    }
}

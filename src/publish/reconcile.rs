//! The loop beside serving: publishes each new snapshot, and repairs what others change.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};
use tracing::{debug, error, info, warn};

use super::{Change, PublishError, Publisher, Standing};
use crate::{Report, backoff, oidc::Snapshot};

impl Publisher {
    /// Publishes each new snapshot, compares the target with it again `every` so often and repairs
    /// a difference; tries again sooner after a failure. Ends when the channel closes and what is
    /// under way is done; it may be dropped sooner.
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
                    backoff::pause(course.failures, every, fastrand::f64())
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
pub(super) struct Course {
    /// What the target held when it was last published to.
    standing: Option<Arc<Snapshot>>,
    /// Failures in a row.
    failures: u32,
    /// The reason of the last of them.
    reason: Option<&'static str>,
}

impl Course {
    pub(super) fn published(
        &mut self,
        target: &Publisher,
        snapshot: Arc<Snapshot>,
        changes: &[Change],
    ) {
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

    pub(super) fn failed(&mut self, target: &Publisher, error: &PublishError) {
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

/// Changes in one line, for logs.
pub fn listed(changes: &[Change]) -> String {
    let shown: Vec<_> = changes.iter().map(Change::to_string).collect();
    shown.join(", ")
}

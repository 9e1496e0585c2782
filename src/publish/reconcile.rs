//! The loop beside serving: publishes each new snapshot, and repairs what others change.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};
use tracing::{debug, error, info, warn};

use super::{Change, Name, Outcome, Progress, PublishError, Publisher, TurnReport};
use crate::{
    Report, Trouble, backoff, clock,
    oidc::{Kid, Snapshot},
};

impl Publisher {
    /// Publishes each new snapshot, compares the target with it again and again and repairs a
    /// difference; tries again sooner after a failure. Ends when the channel closes and what is
    /// under way is done; it may be dropped sooner.
    ///
    /// Never holds up the producer; of several snapshots that come meanwhile the latest counts.
    pub async fn run(mut self, mut snapshots: watch::Receiver<Option<Arc<Snapshot>>>) {
        let mut course = Course::new(self.to_string());
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            let pause = match snapshot {
                None => Duration::MAX,
                Some(snapshot) => {
                    let outcome = self.publish(&snapshot).await;
                    course.note(&outcome);
                    self.tell(&outcome);
                    self.pause(&course, &outcome)
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

    fn pause(&self, course: &Course, outcome: &Result<Outcome, PublishError>) -> Duration {
        // Where a write may have undone another one, that is found out soon.
        let is_doubtful = outcome
            .as_ref()
            .is_ok_and(|it| it.ignores_conditions && !it.changes.is_empty());
        let every = if is_doubtful {
            DOUBT_INTERVAL.min(self.reconcile_interval())
        } else {
            self.reconcile_interval()
        };
        backoff::pause(course.failures, every, fastrand::f64())
    }

    fn tell(&self, outcome: &Result<Outcome, PublishError>) {
        let mut progress = Progress::clone(&self.progress.borrow());
        match outcome {
            Ok(outcome) => {
                self.published
                    .send_replace(Some(Arc::clone(&outcome.published)));
                progress.last_success = Some(clock::now());
                progress.failure = None;
                progress.writes += u64::from(!outcome.changes.is_empty());
                progress.drifts += u64::from(!outcome.report.drifted.is_empty());
                progress.is_drifted = outcome.report.left_alone;
                progress.ignores_conditions = outcome.ignores_conditions;
            }
            Err(error) => {
                let message = Report(error).to_string();
                let before = progress.failure.as_ref();
                let trouble = Trouble::after(before, error.reason(), message, clock::now());
                progress.failure = Some(trouble);
                progress.failures += 1;
            }
        }
        self.progress.send_replace(Arc::new(progress));
    }
}

/// How it went so far: what turns many outcomes into one log line per change.
#[derive(Default)]
pub(super) struct Course {
    target: String,
    /// Failures in a row.
    pub(super) failures: u32,
    /// The reason of the last of them.
    reason: Option<&'static str>,
    publishers: BTreeSet<String>,
    ignores_conditions: bool,
    name_taken: bool,
    left_alone: Vec<Name>,
}

impl Course {
    pub(super) fn new(target: String) -> Self {
        Self {
            target,
            ..Self::default()
        }
    }

    /// Logs what is new in `outcome`.
    pub(super) fn note(&mut self, outcome: &Result<Outcome, PublishError>) {
        match outcome {
            Ok(outcome) => self.published(outcome),
            Err(error) => self.failed(error),
        }
    }

    fn published(&mut self, outcome: &Outcome) {
        let target = &self.target;
        if self.failures > 0 {
            info!(%target, failures = self.failures, "publishing works again");
        }
        (self.failures, self.reason) = (0, None);
        self.report(&outcome.report);
        let target = &self.target;
        if outcome.ignores_conditions && !self.ignores_conditions {
            log_ignored_conditions(target);
        }
        self.ignores_conditions = outcome.ignores_conditions;
        let documents = outcome.changes.iter().filter(|it| it.name != Name::State);
        let documents = listed(documents);
        if documents.is_empty() {
            debug!(%target, changes = listed(&outcome.changes), "the documents are as they should be");
        } else {
            let keys = outcome.published.keys.len();
            info!(%target, changes = documents, keys, "published");
        }
    }

    fn report(&mut self, report: &TurnReport) {
        let target = &self.target;
        log_findings(target, report);
        if report.left_alone && self.left_alone != report.drifted {
            let documents = names(&report.drifted);
            error!(
                %target, documents, foreign_keys = kids(&report.foreign_keys),
                "somebody else changed what is published; on-drift leaves it to you: find out who, \
                 and restart or run publish with on-drift = \"repair\""
            );
        }
        self.left_alone = if report.left_alone {
            report.drifted.clone()
        } else {
            Vec::new()
        };
        if report.name_taken && !self.name_taken {
            error!(
                %target,
                "another process publishes under the same name: give each a name of its own \
                 (--publisher, or `publisher` in the configuration)"
            );
        }
        self.name_taken = report.name_taken;
        let joined: Vec<_> = report.publishers.difference(&self.publishers).collect();
        if self.publishers.is_empty() {
            let publishers = report
                .publishers
                .iter()
                .cloned()
                .collect::<Vec<_>>()
                .join(", ");
            debug!(%target, publishers = %publishers.escape_debug(), "the publishers to this target");
        } else if !joined.is_empty() {
            warn!(
                %target, publisher = ?joined,
                "a new publisher adds keys to this target; if you do not know it, revoke its \
                 credentials"
            );
        }
        self.publishers.clone_from(&report.publishers);
    }

    fn failed(&mut self, error: &PublishError) {
        self.failures = self.failures.saturating_add(1);
        let (target, report) = (&self.target, Report(error));
        if self.reason.replace(error.reason()) == Some(error.reason()) {
            debug!(%target, error = %report, "could not publish");
        } else if error.needs_a_human() {
            error!(%target, error = %report, "could not publish");
        } else {
            warn!(%target, error = %report, "could not publish");
        }
    }
}

/// Warns of a store without conditional writes.
fn log_ignored_conditions(target: &str) {
    warn!(
        %target,
        "this store takes every write, whatever its condition (If-Match) says: while several \
         publishers write at once, one may undo the other for some seconds"
    );
}

/// Logs what a single outcome means to the operator, who sees no other.
pub fn log_outcome(target: &str, outcome: &Outcome) {
    log_findings(target, &outcome.report);
    if outcome.ignores_conditions {
        log_ignored_conditions(target);
    }
}

/// Logs what a turn found that somebody should look into.
fn log_findings(target: &str, report: &TurnReport) {
    if report.state_lost {
        error!(
            %target,
            "the state of the publishers was gone or damaged and is written anew; find out who \
             changed {}", Name::State
        );
    }
    if !report.adopted.is_empty() {
        warn!(
            %target, keys = kids(&report.adopted),
            "keys were published here before, and no API server lists them: they stay until their \
             tokens have expired; revoke those that you do not know (oidc-mirror keys revoke)"
        );
    }
    if !report.drifted.is_empty() && !report.left_alone {
        error!(
            %target, documents = names(&report.drifted), foreign_keys = kids(&report.foreign_keys),
            "somebody else changed what is published; it is repaired, find out who did it"
        );
    }
    if !report.expired.is_empty() {
        warn!(
            %target, publishers = ?report.expired,
            "publishers were silent for longer than publisher-expiry and are forgotten"
        );
    }
}

fn names(names: &[Name]) -> String {
    let names: Vec<_> = names.iter().map(Name::to_string).collect();
    names.join(", ")
}

fn kids(kids: &[Kid]) -> String {
    let kids: Vec<_> = kids.iter().map(Kid::to_string).collect();
    kids.join(", ")
}

/// Changes in one line, for logs.
pub fn listed<'a>(changes: impl IntoIterator<Item = &'a Change>) -> String {
    let shown: Vec<_> = changes.into_iter().map(Change::to_string).collect();
    shown.join(", ")
}

/// How soon is looked again where a write may have undone another one.
const DOUBT_INTERVAL: Duration = Duration::from_secs(2);

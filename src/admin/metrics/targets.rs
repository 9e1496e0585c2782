//! Publishing to each target of a mirror.

use std::fmt;

use prometheus_client::registry::Unit;

use super::families::{Families, flag, seconds};
use crate::admin::views::Glance;

impl Families<'_, '_> {
    pub(super) fn targets(&mut self) -> fmt::Result {
        let names: Vec<_> = self.glances.iter().map(target_names).collect();
        let of = self.glances.iter().zip(&names).flat_map(|(it, names)| {
            let targets = it.progress.iter().zip(names);
            targets.map(|(progress, name)| {
                let labels = vec![("mirror", &*it.view.name), ("target", &**name)];
                (labels, &**progress)
            })
        });
        let successes = of
            .clone()
            .filter_map(|(labels, it)| Some((labels, seconds(it.last_success?))));
        self.gauges(
            "publish_last_success_timestamp",
            Some(&Unit::Seconds),
            "When the target was last found, or made, as it should be.",
            successes,
        )?;
        let failing = of.clone().map(|(mut labels, it)| {
            labels.extend(
                it.failure
                    .as_ref()
                    .map(|trouble| ("reason", &*trouble.reason)),
            );
            (labels, flag(it.failure.is_some()))
        });
        self.gauges(
            "publish_failing",
            None,
            "Whether the last try to publish failed, and why.",
            failing,
        )?;
        let drifted = of.clone().map(|(labels, it)| (labels, flag(it.is_drifted)));
        self.gauges(
            "publish_drifted",
            None,
            "Whether the target holds what somebody else wrote, and it is left there.",
            drifted,
        )?;
        let writes = of.clone().map(|(labels, it)| (labels, it.writes));
        self.counters("publish_writes", "How often something was written.", writes)?;
        let failures = of.clone().map(|(labels, it)| (labels, it.failures));
        self.counters("publish_failures", "How often publishing failed.", failures)?;
        let drifts = of.map(|(labels, it)| (labels, it.drifts));
        self.counters(
            "publish_drifts",
            "How often somebody else had changed a document.",
            drifts,
        )
    }
}

/// The URLs of the targets; one that stands there twice, for two endpoints, gets a number.
fn target_names(glance: &Glance<'_>) -> Vec<String> {
    let targets = glance.progress.iter().enumerate();
    targets
        .map(|(number, progress)| {
            let target = &progress.target;
            let before = glance.progress.iter().take(number);
            match before.filter(|it| it.target == *target).count() {
                0 => target.clone(),
                same => format!("{target} ({})", same + 1),
            }
        })
        .collect()
}

//! What relying parties read of each mirror.

use std::fmt;

use prometheus_client::registry::Unit;

use super::families::{Families, flag, mirror, seconds};

impl Families<'_, '_> {
    pub(super) fn read_back(&mut self) -> fmt::Result {
        let of = self.glances.iter().filter_map(|it| {
            let read_back = it.read_back.as_deref()?;
            Some((mirror(it), read_back))
        });
        let public = of.clone().map(|(labels, it)| (labels, flag(it.is_public)));
        self.gauges(
            "read_back_public",
            None,
            "Whether relying parties read what is given out.",
            public,
        )?;
        let failing = of.clone().filter_map(|(mut labels, it)| {
            labels.push(("reason", &*it.failure.as_ref()?.reason));
            Some((labels, 1))
        });
        self.gauges(
            "read_back_failing",
            None,
            "The mirrors of which relying parties read something else, or nothing, and why.",
            failing,
        )?;
        let successes = of.filter_map(|(labels, it)| Some((labels, seconds(it.last_success?))));
        self.gauges(
            "read_back_last_success_timestamp",
            Some(&Unit::Seconds),
            "When the public documents were last found to be those given out.",
            successes,
        )
    }
}

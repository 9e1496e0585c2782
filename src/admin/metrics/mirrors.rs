//! How each mirror does.

use std::fmt;

use prometheus_client::registry::Unit;

use super::families::{Families, flag, mirror, seconds};
use crate::admin::views::Glance;

impl<'a> Families<'_, 'a> {
    pub(super) fn mirrors(&mut self) -> fmt::Result {
        self.per_mirror(
            "has_snapshot",
            "Whether there are documents to give out.",
            |it| it.snapshot.is_some(),
        )?;
        self.per_mirror(
            "stale",
            "Whether the documents are withheld because no API server has answered for longer \
             than max-stale.",
            Glance::is_stale,
        )?;
        self.per_mirror(
            "contradiction",
            "Whether the API servers contradict each other, so that their answers change nothing.",
            |it| it.status.contradiction.is_some(),
        )?;
        self.per_mirror(
            "state_saved",
            "Whether what is known of the keys is on disk, or need not be.",
            |it| it.status.state_error.is_none(),
        )?;
        let answers = self.glances.iter().filter_map(|it| {
            let time = it.status.ledger.last_answer?;
            Some((mirror(it), seconds(time)))
        });
        self.gauges(
            "last_answer_timestamp",
            Some(&Unit::Seconds),
            "When an API server last answered well.",
            answers,
        )?;
        let snapshots = self.glances.iter().filter_map(|it| {
            let time = it.snapshot.as_ref()?.ledger.as_of;
            Some((mirror(it), seconds(time)))
        });
        self.gauges(
            "snapshot_timestamp",
            Some(&Unit::Seconds),
            "When the documents given out were rendered.",
            snapshots,
        )
    }

    fn per_mirror(
        &mut self,
        name: &'static str,
        help: &'static str,
        holds: fn(&Glance<'a>) -> bool,
    ) -> fmt::Result {
        let samples = self.glances.iter().map(|it| (mirror(it), flag(holds(it))));
        self.gauges(name, None, help, samples)
    }
}

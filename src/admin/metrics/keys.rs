//! The keys of each mirror.

use std::fmt;

use prometheus_client::registry::Unit;

use super::families::{Families, mirror, number, seconds};
use crate::oidc::State;

impl Families<'_, '_> {
    pub(super) fn keys(&mut self) -> fmt::Result {
        let states = self.glances.iter().flat_map(|it| {
            let records = it.status.ledger.keys();
            State::ALL.map(|state| {
                let keys = records.iter().filter(|record| record.state == state);
                let labels = vec![("mirror", &*it.view.name), ("state", state.as_str())];
                (labels, number(keys.count()))
            })
        });
        self.gauges("keys", None, "The keys by where they stand.", states)?;
        let hashes = self.glances.iter().filter_map(|it| {
            let hash = it.snapshot.as_ref()?.jwks.hash();
            Some(vec![("mirror", &*it.view.name), ("hash", hash)])
        });
        self.infos(
            "key_set",
            "The key set given out, by the beginning of its entity tag: equal everywhere when all \
             agree.",
            hashes,
        )?;
        let newest = self.glances.iter().filter_map(|it| {
            let records = it.status.ledger.keys().iter();
            let first_seen = records.map(|record| record.first_seen).max()?;
            Some((mirror(it), seconds(first_seen)))
        });
        self.gauges(
            "newest_key_first_seen_timestamp",
            Some(&Unit::Seconds),
            "When an API server first listed the newest key: it changes when a new key appears.",
            newest,
        )?;
        let delays = self.glances.iter().filter_map(|it| {
            let records = it.status.ledger.keys().iter();
            let public =
                records.filter_map(|record| Some((record.first_seen, record.public_since?)));
            let (first_seen, public_since) = public.max()?;
            let took = public_since.since(first_seen).as_secs_f64();
            Some((mirror(it), took))
        });
        self.gauges(
            "key_public_after",
            Some(&Unit::Seconds),
            "The time from when an API server first listed the newest key to when it was first \
             seen at the public issuer.",
            delays,
        )
    }
}

//! The API servers of each mirror.

use std::fmt;

use prometheus_client::registry::Unit;

use super::families::{Families, flag, number, seconds};

impl Families<'_, '_> {
    pub(super) fn upstreams(&mut self) -> fmt::Result {
        let of = self.glances.iter().flat_map(|it| {
            let upstreams = it.status.upstreams.iter();
            upstreams.map(|upstream| {
                let labels = vec![("mirror", &*it.view.name), ("upstream", &*upstream.url)];
                (labels, upstream)
            })
        });
        let up = of
            .clone()
            .map(|(labels, it)| (labels, flag(it.failure.is_none())));
        self.gauges("upstream_up", None, "Whether the API server was read.", up)?;
        let failing = of.clone().filter_map(|(mut labels, it)| {
            labels.push(("reason", &*it.failure.as_ref()?.reason));
            Some((labels, 1))
        });
        self.gauges(
            "upstream_failing",
            None,
            "The API servers that were not read, and why.",
            failing,
        )?;
        let answers = self.glances.iter().flat_map(|it| {
            let upstreams = it.status.upstreams.iter();
            upstreams.filter_map(|upstream| {
                let labels = vec![("mirror", &*it.view.name), ("upstream", &*upstream.url)];
                Some((labels, seconds(it.last_answer(&upstream.url)?)))
            })
        });
        self.gauges(
            "upstream_last_answer_timestamp",
            Some(&Unit::Seconds),
            "When the API server last answered well.",
            answers,
        )?;
        let matches = of
            .clone()
            .filter_map(|(labels, it)| Some((labels, flag(it.issuer_matches?))));
        self.gauges(
            "upstream_issuer_matches",
            None,
            "Whether the tokens of the API server carry the public issuer.",
            matches,
        )?;
        let left_out = of.map(|(labels, it)| (labels, number(it.left_out)));
        self.gauges(
            "upstream_keys_left_out",
            None,
            "The keys of the API server that are not published because they must not be.",
            left_out,
        )
    }
}

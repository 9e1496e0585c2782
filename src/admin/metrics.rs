//! `/metrics`: the same in the text format of `OpenMetrics`, rendered when asked.
//!
//! Labels hold names that the operator wrote and short reasons of ours, never a kid or anything
//! else that a remote side chooses.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, text},
    metrics::{MetricType, exemplar::Exemplar},
    registry::{Registry, Unit},
};

use super::{Views, views::Glance};
use crate::oidc::{State, Time};

/// What [`render`] writes.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn render(views: &Views, now: Time) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("oidc_mirror");
    if let Some(counters) = &views.counters {
        counters.register(&mut registry);
    }
    let views = views.clone();
    registry.register_collector(Box::new(Scrape { views, now }));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Scrape {
    views: Views,
    now: Time,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let glances: Vec<_> = self.views.glances(self.now).collect();
        let mut families = Families {
            encoder,
            glances: &glances,
        };
        families.process()?;
        families.mirrors()?;
        families.keys()?;
        families.upstreams()?;
        families.targets()?;
        families.read_back()
    }
}

/// Writes one family of metrics after the other.
struct Families<'e, 'a> {
    encoder: DescriptorEncoder<'e>,
    glances: &'a [Glance<'a>],
}

/// The labels of one sample.
type Labels<'a> = Vec<(&'static str, &'a str)>;

impl<'a> Families<'_, 'a> {
    fn process(&mut self) -> fmt::Result {
        let labels = vec![("version", env!("CARGO_PKG_VERSION"))];
        self.infos("build", "The release that runs.", [labels])
    }

    fn mirrors(&mut self) -> fmt::Result {
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
        )
    }

    fn keys(&mut self) -> fmt::Result {
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
            let tag = it.snapshot.as_ref()?.jwks.etag.to_str().ok()?;
            let hash = tag.trim_matches('"').get(..HASH_CHARS)?;
            Some(vec![("mirror", &*it.view.name), ("hash", hash)])
        });
        self.infos(
            "key_set",
            "The key set given out, by the beginning of its entity tag: equal everywhere when all \
             agree.",
            hashes,
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

    fn upstreams(&mut self) -> fmt::Result {
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

    fn targets(&mut self) -> fmt::Result {
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

    fn read_back(&mut self) -> fmt::Result {
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

    fn per_mirror(
        &mut self,
        name: &'static str,
        help: &'static str,
        holds: fn(&Glance<'a>) -> bool,
    ) -> fmt::Result {
        let samples = self.glances.iter().map(|it| (mirror(it), flag(holds(it))));
        self.gauges(name, None, help, samples)
    }

    fn gauges<'s, V: EncodeGaugeValue>(
        &mut self,
        name: &'static str,
        unit: Option<&Unit>,
        help: &'static str,
        samples: impl Iterator<Item = (Labels<'s>, V)>,
    ) -> fmt::Result {
        let mut metric = self
            .encoder
            .encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in samples {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counters<'s>(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl Iterator<Item = (Labels<'s>, u64)>,
    ) -> fmt::Result {
        let kind = MetricType::Counter;
        let mut metric = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in samples {
            let none = None::<&Exemplar<Labels<'_>, f64>>;
            metric
                .encode_family(&labels)?
                .encode_counter(&value, none)?;
        }
        Ok(())
    }

    fn infos<'s>(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = Labels<'s>>,
    ) -> fmt::Result {
        let kind = MetricType::Info;
        let mut metric = self.encoder.encode_descriptor(name, help, None, kind)?;
        for labels in samples {
            metric.encode_info(&labels)?;
        }
        Ok(())
    }
}

fn mirror<'a>(glance: &Glance<'a>) -> Labels<'a> {
    vec![("mirror", &glance.view.name)]
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

fn flag(holds: bool) -> u32 {
    u32::from(holds)
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn seconds(time: Time) -> f64 {
    time.unix().as_secs_f64()
}

/// As much of an entity tag as tells two key sets apart.
const HASH_CHARS: usize = 12;

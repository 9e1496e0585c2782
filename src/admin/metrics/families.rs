//! Writes one family of metrics after the other.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeGaugeValue},
    metrics::{MetricType, exemplar::Exemplar},
    registry::Unit,
};

use crate::{
    admin::{CertificateStanding, views::Glance},
    oidc::Time,
};

/// What there is to tell of, and whom to.
pub(super) struct Families<'e, 'a> {
    pub(super) encoder: DescriptorEncoder<'e>,
    pub(super) glances: &'a [Glance<'a>],
    pub(super) certificates: &'a [CertificateStanding],
}

/// The labels of one sample.
pub(super) type Labels<'a> = Vec<(&'static str, &'a str)>;

impl Families<'_, '_> {
    pub(super) fn gauges<'s, V: EncodeGaugeValue>(
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

    pub(super) fn counters<'s>(
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

    pub(super) fn infos<'s>(
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

pub(super) fn mirror<'a>(glance: &Glance<'a>) -> Labels<'a> {
    vec![("mirror", &glance.view.name)]
}

pub(super) fn flag(holds: bool) -> u32 {
    u32::from(holds)
}

pub(super) fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

pub(super) fn seconds(time: Time) -> f64 {
    time.unix().as_secs_f64()
}

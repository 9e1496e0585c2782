//! All families in one text.

use std::fmt;

use http::{HeaderMap, header::ACCEPT};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text},
    registry::Registry,
};

use super::{classic::classic, families::Families};
use crate::{admin::Views, oidc::Time};

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admin) enum Format {
    /// The text format of Prometheus, which everybody reads.
    Classic,
    /// That of `OpenMetrics`, which Prometheus asks for.
    OpenMetrics,
}

impl Format {
    /// What the `headers` of a request ask for.
    pub(in crate::admin) fn asked(headers: &HeaderMap) -> Self {
        let mut accepted = headers.get_all(ACCEPT).iter();
        let names_it = |value: &str| value.contains("application/openmetrics-text");
        if accepted.any(|it| it.to_str().is_ok_and(names_it)) {
            Self::OpenMetrics
        } else {
            Self::Classic
        }
    }

    pub(in crate::admin) const fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

pub(in crate::admin) fn render(
    views: &Views,
    format: Format,
    now: Time,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("oidc_mirror");
    if let Some(counters) = &views.counters {
        counters.register(&mut registry);
    }
    let views = views.clone();
    registry.register_collector(Box::new(Scrape { views, now }));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(match format {
        Format::Classic => classic(&text),
        Format::OpenMetrics => text,
    })
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
            certificates: &self.views.certificates(self.now),
        };
        families.infos(
            "build",
            "The release that runs.",
            [vec![("version", env!("CARGO_PKG_VERSION"))]],
        )?;
        families.mirrors()?;
        families.keys()?;
        families.upstreams()?;
        families.targets()?;
        families.read_back()?;
        families.certificates()
    }
}

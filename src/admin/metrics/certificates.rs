//! The certificates that are served with.

use std::fmt;

use prometheus_client::registry::Unit;

use super::families::{Families, flag, seconds};

impl Families<'_, '_> {
    pub(super) fn certificates(&mut self) -> fmt::Result {
        let certificates = self.certificates;
        let expiries = certificates
            .iter()
            .filter_map(|it| Some((vec![("name", &*it.name)], seconds(it.not_after?))));
        self.gauges(
            "certificate_expiry_timestamp",
            Some(&Unit::Seconds),
            "When the certificate expires.",
            expiries,
        )?;
        let failing = certificates.iter().map(|it| {
            let mut labels = vec![("name", &*it.name)];
            labels.extend(it.reason.as_ref().map(|reason| ("reason", &**reason)));
            (labels, flag(it.reason.is_some()))
        });
        self.gauges(
            "certificate_failing",
            None,
            "Whether the last try to have a newer certificate failed, and why.",
            failing,
        )
    }
}

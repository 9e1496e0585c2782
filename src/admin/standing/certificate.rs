//! How one certificate stands.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Check;
use crate::{
    oidc::Time,
    serve::CertificateStatus,
    when::{moment, span},
};

/// How one certificate stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CertificateStanding {
    /// What the operator knows it by.
    pub name: String,
    /// The hosts it is for.
    pub hosts: Vec<String>,
    /// When it expires; `None` while there is none.
    pub not_after: Option<Time>,
    /// Why the last try to have a newer one failed, shortly; `None` when it did not.
    pub reason: Option<Cow<'static, str>>,
    /// What to say of it.
    pub check: Check,
}

impl CertificateStanding {
    pub(in crate::admin) fn new(status: &CertificateStatus, now: Time) -> Self {
        Self {
            name: status.name.clone(),
            hosts: status.hosts.clone(),
            not_after: status.not_after,
            reason: status.reason.map(Cow::Borrowed),
            check: check(status, now),
        }
    }
}

/// None of it makes a process unready: the CA that is to give a certificate may have to reach it.
fn check(status: &CertificateStatus, now: Time) -> Check {
    let (found, is_late) = match status.not_after {
        None => ("there is none yet".to_owned(), true),
        Some(end) if end <= now => (format!("expired {}", moment(end, now)), true),
        Some(end) => {
            let left = end.since(now);
            (
                format!("expires in {}", span(left)),
                status.due.is_some_and(|due| due <= now),
            )
        }
    };
    match (&status.failure, is_late) {
        (Some(failure), _) => Check::failed("certificate", found, failure),
        (None, true) => Check::failed(
            "certificate",
            found,
            "put a newer one in its place, and its key with it; it is taken within a minute",
        ),
        (None, false) => Check::well("certificate", found),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::sync::watch;

    use super::*;
    use crate::admin::{Standing, Verdict, Views, metrics, ready};

    const LATE: Duration = Duration::from_hours(14 * 24);

    fn noon() -> Time {
        Time::try_from("2026-11-24T12:00:00Z".to_owned()).unwrap()
    }

    fn views(not_after: Option<Time>, failure: Option<&str>) -> Views {
        let status = CertificateStatus {
            name: "public".to_owned(),
            hosts: vec!["oidc.example.com".to_owned()],
            not_after,
            due: not_after.map(|end| noon() + end.since(noon()).saturating_sub(LATE)),
            failure: failure.map(str::to_owned),
            reason: failure.map(|_| "dns"),
        };
        // What was sent last stays when nobody sends any more.
        let (_, certificates) = watch::channel(Arc::new(vec![status]));
        Views {
            certificates: Some(certificates),
            ..Views::default()
        }
    }

    #[test]
    fn a_certificate_warns_in_time_and_takes_nothing_away() {
        let days = |days: u64| Some(noon() + Duration::from_hours(24 * days));
        for (not_after, failure, line) in [
            (days(62), None, "[+]certificate public ok: expires in 62d\n"),
            (days(15), None, "[+]certificate public ok: expires in 15d\n"),
            (
                days(13),
                None,
                "[-]certificate public failed: expires in 13d: put a newer one",
            ),
            (
                days(62),
                Some("no name"),
                "[-]certificate public failed: expires in 62d: no name\n",
            ),
            (
                Some(noon()),
                None,
                "[-]certificate public failed: expired 12:00:00 UTC: put",
            ),
            (
                None,
                None,
                "[-]certificate public failed: there is none yet: put",
            ),
        ] {
            let views = views(not_after, failure);
            let (is_ready, text) = ready::render(&views, true, noon());
            assert!(is_ready && text.starts_with(line), "{text}");
            let expected = if line.starts_with("[+]") {
                Verdict::Well
            } else {
                Verdict::Attention
            };
            assert_eq!(Standing::new(&views, noon()).verdict, expected, "{line}");
        }
    }

    #[test]
    fn its_metrics_tell_when_it_expires_and_why_there_is_no_newer_one() {
        let metrics = |failure| {
            let views = views(Some(noon()), failure);
            metrics::render(&views, metrics::Format::Classic, noon()).unwrap()
        };
        let expiry = "oidc_mirror_certificate_expiry_timestamp_seconds{name=\"public\"} 1795521600";
        assert!(metrics(None).contains(expiry), "{}", metrics(None));
        assert!(metrics(None).contains("oidc_mirror_certificate_failing{name=\"public\"} 0\n"));
        let failing = "oidc_mirror_certificate_failing{name=\"public\",reason=\"dns\"} 1\n";
        assert!(metrics(Some("no such name")).contains(failing));
    }
}

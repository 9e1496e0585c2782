//! How a whole process stands.

use serde::{Deserialize, Serialize};

use super::{CertificateStanding, MirrorStanding, Verdict};
use crate::{admin::Views, oidc::Time};

/// How a process stands: `/status`.
///
/// Members in kebab-case, moments as RFC 3339. What is added later gets new members; those that are
/// here keep their meaning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Standing {
    /// All in one word: that of the mirror that does worst.
    pub verdict: Verdict,
    /// When this was so.
    pub as_of: Time,
    /// The release that runs.
    pub release: String,
    /// Its mirrors, in the order configured.
    pub mirrors: Vec<MirrorStanding>,
    /// The certificates it serves with.
    pub certificates: Vec<CertificateStanding>,
}

impl Standing {
    pub(in crate::admin) fn new(views: &Views, now: Time) -> Self {
        let mirrors: Vec<_> = views
            .glances(now)
            .map(|it| MirrorStanding::new(&it))
            .collect();
        let certificates = views.certificates(now);
        let checks = certificates.iter().map(|it| &it.check);
        let worst = mirrors.iter().map(|it| it.verdict).min();
        Self {
            verdict: Verdict::of(true, checks).min(worst.unwrap_or(Verdict::Well)),
            as_of: now,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            mirrors,
            certificates,
        }
    }

    /// How many mirrors or certificates need attention.
    pub fn troubled(&self) -> usize {
        let mirrors = self.mirrors.iter().filter(|it| it.verdict != Verdict::Well);
        let certificates = self.certificates.iter().filter(|it| !it.check.is_well());
        mirrors.count() + certificates.count()
    }
}

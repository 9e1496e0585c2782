//! What can be seen of each mirror: the channels on which the others tell how they do.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::standing::CertificateStanding;
use crate::{
    config::settings,
    mirror::{Snapshots, Status, Statuses},
    oidc::{Snapshot, Time},
    publish::Progress,
    serve::{CertificateStatus, Counters},
    verify::ReadBackStatus,
};

/// What can be seen of all mirrors of a process, in the order configured.
#[derive(Clone, Debug, Default)]
pub struct Views {
    /// One for each mirror.
    pub mirrors: Vec<View>,
    /// What the listeners count; `None` when nothing is served.
    pub counters: Option<Counters>,
    /// How the certificates do; `None` when none is served with.
    pub certificates: Option<watch::Receiver<Arc<Vec<CertificateStatus>>>>,
}

/// What can be seen of one mirror.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Its public issuer.
    pub issuer: String,
    /// The time from one round to the next, and what a round may take, together.
    pub patience: Duration,
    /// How long relying parties may use the documents without reading them again.
    pub max_age: Duration,
    /// Which keys are published, and for how long.
    pub keys: settings::Keys,
    /// How it does.
    pub statuses: Statuses,
    /// What it gives out.
    pub snapshots: Snapshots,
    /// How publishing to each target goes.
    pub progress: Vec<watch::Receiver<Arc<Progress>>>,
    /// How reading back goes; `None` when nothing is read back.
    pub read_back: Option<watch::Receiver<Arc<ReadBackStatus>>>,
}

/// One mirror at one moment.
#[derive(Debug)]
pub(super) struct Glance<'a> {
    pub(super) view: &'a View,
    pub(super) status: Arc<Status>,
    pub(super) snapshot: Option<Arc<Snapshot>>,
    pub(super) progress: Vec<Arc<Progress>>,
    pub(super) read_back: Option<Arc<ReadBackStatus>>,
    pub(super) now: Time,
}

impl Views {
    pub(super) fn glances(&self, now: Time) -> impl Iterator<Item = Glance<'_>> {
        self.mirrors.iter().map(move |view| view.glance(now))
    }

    pub(super) fn certificates(&self, now: Time) -> Vec<CertificateStanding> {
        let Some(certificates) = &self.certificates else {
            return Vec::new();
        };
        let certificates = Arc::clone(&certificates.borrow());
        let standing = certificates.iter();
        standing
            .map(|it| CertificateStanding::new(it, now))
            .collect()
    }
}

impl View {
    fn glance(&self, now: Time) -> Glance<'_> {
        Glance {
            view: self,
            status: Arc::clone(&self.statuses.borrow()),
            snapshot: self.snapshots.borrow().clone(),
            progress: self
                .progress
                .iter()
                .map(|it| Arc::clone(&it.borrow()))
                .collect(),
            read_back: self.read_back.as_ref().map(|it| Arc::clone(&it.borrow())),
            now,
        }
    }
}

impl Glance<'_> {
    /// When the API server at `url` last answered well; `None` when it never did.
    pub(super) fn last_answer(&self, url: &str) -> Option<Time> {
        let upstreams = &self.status.ledger.upstreams;
        upstreams.iter().find(|it| it.source == url)?.last_answer
    }

    /// The time since an API server last answered well; `None` when none ever did.
    fn age(&self) -> Option<Duration> {
        self.status.age(self.now)
    }

    /// The time since `earlier`.
    pub(super) fn since(&self, earlier: Time) -> Duration {
        self.now.since(earlier)
    }

    /// Whether the last answer of an API server is older than is allowed.
    pub(super) fn is_stale(&self) -> bool {
        let limits = self.view.keys.max_stale.zip(self.age());
        self.status.is_stale || limits.is_some_and(|(limit, age)| age > limit)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.snapshot.is_some() && !self.is_stale()
    }
}

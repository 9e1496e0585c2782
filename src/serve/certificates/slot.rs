//! One certificate: what handshakes get now, and what the operator is told about it.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tracing::{error, info, warn};

use super::pair::Pair;
use crate::oidc::Time;

/// How one certificate is, for the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateStatus {
    /// The host it is for, or the file it comes from.
    pub name: String,
    /// The DNS names in it.
    pub hosts: Vec<String>,
    /// When it expires; `None` while there is none yet.
    pub not_after: Option<Time>,
    /// From when on there should be a newer one.
    pub due: Option<Time>,
    /// Why the newest one could not be had or taken.
    pub failure: Option<String>,
    /// The same in a word.
    pub reason: Option<&'static str>,
}

/// How the certificates of a listener are.
pub(super) type Statuses = watch::Sender<Arc<Vec<CertificateStatus>>>;

/// The place of one certificate.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    name: String,
    served: watch::Sender<Option<Arc<Pair>>>,
    statuses: Statuses,
    number: usize,
    /// The failure that was logged last, while it lasts.
    said: Option<String>,
    standing: Standing,
}

impl Slot {
    /// A place behind those that `statuses` lists.
    pub(super) fn new(name: &str, pair: Option<Pair>, statuses: &Statuses) -> Self {
        let number = statuses.borrow().len();
        statuses.send_modify(|all| {
            Arc::make_mut(all).push(CertificateStatus {
                name: name.to_owned(),
                ..CertificateStatus::default()
            });
        });
        let slot = Self {
            name: name.to_owned(),
            served: watch::Sender::new(pair.map(Arc::new)),
            statuses: statuses.clone(),
            number,
            said: None,
            standing: Standing::Good,
        };
        slot.tell(None);
        slot
    }

    /// What handshakes get.
    pub(super) fn served(&self) -> watch::Receiver<Option<Arc<Pair>>> {
        self.served.subscribe()
    }

    /// What handshakes get now.
    pub(super) fn pair(&self) -> Option<Arc<Pair>> {
        self.served.borrow().clone()
    }

    /// Serves `pair` from now on.
    pub(super) fn take(&mut self, pair: Pair) {
        let before = self.pair();
        let name = &self.name;
        let (hosts, expires) = (pair.hosts.join(" "), pair.not_after);
        info!(name, hosts, %expires, "a new certificate is in use");
        if let Some(before) = before
            && !before.hosts.iter().any(|host| pair.covers(host))
        {
            let before = before.hosts.join(" ");
            warn!(
                name,
                hosts, before, "the new certificate is for other names than the one before"
            );
        }
        self.served.send_replace(Some(Arc::new(pair)));
        self.said = None;
        self.tell(None);
    }

    /// Notes that a newer certificate could not be had or taken: the present one stays.
    pub(super) fn fail(&mut self, reason: &'static str, failure: String) {
        if self.said.as_ref() == Some(&failure) {
            return;
        }
        let name = &self.name;
        match self.pair() {
            Some(present) => error!(
                name, error = failure, expires = %present.not_after,
                "no new certificate; the present one stays"
            ),
            None => error!(
                name,
                error = failure,
                "no certificate yet; nothing is served for this host"
            ),
        }
        self.said = Some(failure.clone());
        self.tell(Some((reason, failure)));
    }

    /// Notes that what is in use is what should be.
    pub(super) fn recover(&mut self) {
        if self.said.take().is_some() {
            info!(name = self.name, "the certificate in use is the newest one");
            self.tell(None);
        }
    }

    /// Warns when the certificate is about to expire, or has expired.
    pub(super) fn look_at_clock(&mut self, now: Time) {
        let Some(pair) = self.pair() else { return };
        let standing = Standing::of(&pair, now);
        if standing == self.standing {
            return;
        }
        self.standing = standing;
        let (name, expires) = (&self.name, pair.not_after);
        match standing {
            Standing::Expired => {
                error!(name, %expires, "the certificate has expired; relying parties refuse it");
            }
            Standing::Expiring => {
                warn!(name, %expires, "the certificate expires soon, and nobody has renewed it");
            }
            Standing::Good => {}
        }
    }

    fn tell(&self, failure: Option<(&'static str, String)>) {
        let pair = self.pair();
        self.statuses.send_modify(|all| {
            let status = &mut Arc::make_mut(all)[self.number];
            if let Some(pair) = pair {
                status.hosts.clone_from(&pair.hosts);
                status.not_after = Some(pair.not_after);
                status.due = Some(due(&pair));
            }
            (status.reason, status.failure) = failure.unzip();
        });
    }
}

/// How close a certificate is to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Expired,
    Expiring,
    Good,
}

impl Standing {
    pub(super) fn of(pair: &Pair, now: Time) -> Self {
        if pair.is_expired(now) {
            Self::Expired
        } else if now >= due(pair) {
            Self::Expiring
        } else {
            Self::Good
        }
    }
}

/// From when on there should be a newer one.
fn due(pair: &Pair) -> Time {
    // One that lives for days only is renewed within days.
    let lifetime = pair.not_after.since(pair.not_before);
    pair.not_before + (lifetime - WARN_AHEAD.min(lifetime / 4))
}

const WARN_AHEAD: Duration = Duration::from_hours(14 * 24);

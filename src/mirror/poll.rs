//! One mirror: its upstreams, its ledger, its snapshot, and the rounds that keep it fresh.

use std::sync::Arc;

use futures_util::future::join_all;
use thiserror::Error;
use tokio::{sync::watch, time::Instant};
use tracing::{debug, error, info, warn};

use super::alarm::{Alarm, Change};
use crate::{
    Report, backoff,
    config::settings::{self, OnIssuerMismatch},
    oidc::{Event, KeySet, Ledger, LeftOut, Snapshot},
    upstream::{self, Answer, CredentialError, FetchError, Upstream},
};

/// What a mirror hands over: the newest snapshot, `None` before the first.
pub type Snapshots = watch::Receiver<Option<Arc<Snapshot>>>;

/// One cluster mirrored to one issuer.
#[derive(Debug)]
pub struct Mirror {
    settings: settings::Mirror,
    upstreams: Vec<Polled>,
    ledger: Ledger,
    contradiction: Alarm,
    failures: u32,
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
}

/// One upstream and what is remembered of it from round to round.
#[derive(Debug)]
struct Polled {
    upstream: Upstream,
    failing: Alarm,
    foreign_issuer: Alarm,
    left_out: Vec<LeftOut>,
    /// Until when the upstream asked not to be asked again.
    not_before: Option<Instant>,
}

/// No round has produced anything to publish yet.
#[derive(Debug, Error)]
#[error(
    "no API server of mirror {mirror:?} gave documents that may be published; see the lines above"
)]
pub struct NoSnapshot {
    mirror: String,
}

impl Mirror {
    /// Reads the credentials and prepares the connections; sends nothing yet.
    ///
    /// # Errors
    ///
    /// [`CredentialError`] when a credential is missing, unreadable or refused.
    pub async fn open(settings: settings::Mirror) -> Result<Self, CredentialError> {
        let upstreams = upstream::connect(&settings)
            .await?
            .into_iter()
            .map(Polled::new)
            .collect();
        Ok(Self {
            settings,
            upstreams,
            ledger: Ledger::default(),
            contradiction: Alarm::default(),
            failures: 0,
            snapshots: watch::Sender::new(None),
        })
    }

    /// The channel on which every new snapshot appears.
    pub fn snapshots(&self) -> Snapshots {
        self.snapshots.subscribe()
    }

    /// Polls for ever.
    pub async fn run(mut self) {
        loop {
            self.round().await;
            let pause = backoff::pause(self.failures, self.settings.poll_interval, fastrand::f64());
            tokio::time::sleep(pause).await;
        }
    }

    /// One round, and what there is to publish after it.
    ///
    /// # Errors
    ///
    /// [`NoSnapshot`] when there is nothing; the reasons were logged.
    pub async fn once(&mut self) -> Result<Arc<Snapshot>, NoSnapshot> {
        self.round().await;
        let snapshot = self.snapshots.borrow().clone();
        snapshot.ok_or_else(|| NoSnapshot {
            mirror: self.settings.name.clone(),
        })
    }

    /// Asks every upstream once and hands over a new snapshot if anything changed.
    async fn round(&mut self) {
        let name = &self.settings.name;
        let fetches = self.upstreams.iter_mut().map(|polled| polled.poll(name));
        let answers = join_all(fetches).await;
        let silent = answers.iter().any(Option::is_none);
        self.failures = if silent {
            self.failures.saturating_add(1)
        } else {
            0
        };

        let mut issuers_agree = true;
        for (polled, answer) in self.upstreams.iter_mut().zip(&answers) {
            issuers_agree &= polled.compare_issuer(&self.settings, answer.as_ref());
        }
        let round: Vec<_> = answers
            .into_iter()
            .map(|answer| answer.map(|answer| answer.keys))
            .collect();
        self.step(&round);
        if issuers_agree || self.settings.on_issuer_mismatch == OnIssuerMismatch::Publish {
            self.hand_over();
        }
    }

    fn step(&mut self, round: &[Option<KeySet>]) {
        let mirror = &self.settings.name;
        let stepped = self.ledger.step(round);
        let change = self.contradiction.set(stepped.is_err());
        match stepped {
            Ok((ledger, events)) => {
                if change == Some(Change::Ended) {
                    info!(mirror, "the API servers agree again");
                }
                // What a fresh start finds is no news.
                if !self.ledger.keys().is_empty() {
                    events.iter().for_each(|event| log_event(mirror, event));
                }
                self.ledger = ledger;
            }
            Err(reject) if change == Some(Change::Started) => error!(
                mirror, error = %Report(&reject),
                "the API servers contradict each other; the last good documents stay"
            ),
            Err(reject) => {
                debug!(mirror, error = %Report(&reject), "the API servers still contradict each other");
            }
        }
    }

    /// Renders and sends the snapshot unless the present one says the same.
    fn hand_over(&self) {
        let (keys, complete) = (self.ledger.keys(), self.ledger.is_complete());
        if keys.is_empty() {
            return;
        }
        self.snapshots.send_if_modified(|present| {
            let is_same =
                |snapshot: &Arc<Snapshot>| snapshot.keys == *keys && snapshot.complete == complete;
            if present.as_ref().is_some_and(is_same) {
                return false;
            }
            let settings::Mirror {
                issuer,
                discovery_members,
                ..
            } = &self.settings;
            let snapshot = Snapshot::render(issuer, keys.clone(), discovery_members, complete);
            *present = Some(Arc::new(snapshot));
            true
        });
    }
}

fn log_event(mirror: &str, event: &Event) {
    match event {
        Event::Added(kid) => info!(mirror, %kid, "a key appeared"),
        Event::Removed(kid) => info!(mirror, %kid, "a key is gone from every API server"),
    }
}

impl Polled {
    fn new(upstream: Upstream) -> Self {
        Self {
            upstream,
            failing: Alarm::default(),
            foreign_issuer: Alarm::default(),
            left_out: Vec::new(),
            not_before: None,
        }
    }

    /// Asks the upstream, unless it asked for a pause that still lasts.
    async fn poll(&mut self, mirror: &str) -> Option<Answer> {
        if self.not_before.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let fetched = self.upstream.fetch().await;
        let change = self.failing.set(fetched.is_err());
        match fetched {
            Ok(answer) => {
                let upstream = self.upstream.url();
                if change == Some(Change::Ended) {
                    info!(mirror, %upstream, "the API server can be read again");
                }
                if answer.left_out != self.left_out {
                    for unfit in &answer.left_out {
                        warn!(mirror, %upstream, reason = %unfit, "a key is not published");
                    }
                    self.left_out.clone_from(&answer.left_out);
                }
                Some(answer)
            }
            Err(error) => {
                self.not_before = error.retry_after().map(|pause| Instant::now() + pause);
                self.log_failure(mirror, change, &error);
                None
            }
        }
    }

    fn log_failure(&self, mirror: &str, change: Option<Change>, error: &FetchError) {
        let (upstream, reason, report) = (self.upstream.url(), error.reason(), Report(error));
        match change {
            Some(Change::Started) if error.needs_a_human() => {
                error!(mirror, %upstream, reason, error = %report, "the documents of an API server are refused");
            }
            Some(Change::Started) => {
                warn!(mirror, %upstream, reason, error = %report, "could not read an API server");
            }
            _ => {
                debug!(mirror, %upstream, reason, error = %report, "could still not read an API server");
            }
        }
    }

    /// Whether the upstream's tokens carry the public issuer, by its last good answer.
    fn compare_issuer(&mut self, settings: &settings::Mirror, answer: Option<&Answer>) -> bool {
        let Some(answer) = answer else {
            return !self.foreign_issuer.is_raised();
        };
        let agrees = answer.issuer == settings.issuer.as_str();
        let (mirror, upstream) = (&settings.name, self.upstream.url());
        match self.foreign_issuer.set(!agrees) {
            Some(Change::Started) => warn!(
                mirror, %upstream, public_issuer = %settings.issuer,
                token_issuer = %answer.issuer.chars().take(ISSUER_SHOWN_CHARS).collect::<String>().escape_debug(),
                "tokens carry another issuer than the documents, so every relying party refuses \
                 them; make the public issuer the first --service-account-issuer of this API \
                 server and keep the present one second"
            ),
            Some(Change::Ended) => info!(mirror, %upstream, "tokens carry the public issuer now"),
            None => {}
        }
        agrees
    }
}

/// As much of a foreign issuer as a log line shows.
const ISSUER_SHOWN_CHARS: usize = 200;

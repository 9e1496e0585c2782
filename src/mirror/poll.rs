//! One mirror: its upstreams, its ledger, its snapshot, and the rounds that keep it fresh.

use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};

use futures_util::future::{join, join_all};
use thiserror::Error;
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use super::{
    key_files::KeyFile,
    memory::Memory,
    polled::Polled,
    status::{Status, Statuses},
};
use crate::{
    Report,
    alarm::{Alarm, Change},
    backoff, clock,
    config::settings::{self, OnIssuerMismatch},
    oidc::{Event, Kid, Ledger, Listing, Policy, Reject, Snapshot, State, Time},
    upstream::{self, CredentialError},
};

/// What a mirror hands over: the newest snapshot; `None` while there is nothing to give out.
pub type Snapshots = watch::Receiver<Option<Arc<Snapshot>>>;

/// One cluster mirrored to one issuer.
#[derive(Debug)]
pub struct Mirror {
    settings: Arc<settings::Mirror>,
    upstreams: Vec<Polled>,
    key_files: Vec<KeyFile>,
    memory: Memory,
    ledger: Arc<Ledger>,
    issuers_agree: bool,
    contradiction: Alarm,
    stale: Alarm,
    failures: u32,
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    statuses: watch::Sender<Arc<Status>>,
    /// The keys that were seen at the public issuer.
    public: watch::Sender<BTreeSet<Kid>>,
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
    /// Reads the credentials and prepares the connections; sends nothing yet. What is remembered
    /// is handed over at once.
    ///
    /// # Errors
    ///
    /// [`CredentialError`] when a credential is missing, unreadable or refused.
    pub async fn open(
        settings: Arc<settings::Mirror>,
        mut memory: Memory,
    ) -> Result<Self, CredentialError> {
        let upstreams = upstream::connect(&settings).await?;
        let key_files = settings.keys.extra_files.iter().cloned();
        let mut mirror = Self {
            upstreams: upstreams.into_iter().map(Polled::new).collect(),
            key_files: key_files.map(KeyFile::new).collect(),
            ledger: Arc::new(std::mem::take(&mut memory.ledger)),
            memory,
            issuers_agree: true,
            contradiction: Alarm::default(),
            stale: Alarm::default(),
            failures: 0,
            snapshots: watch::Sender::new(None),
            statuses: watch::Sender::default(),
            public: watch::Sender::default(),
            settings,
        };
        mirror.decide();
        mirror.tell(None, None);
        Ok(mirror)
    }

    /// The channel on which every new snapshot appears.
    pub fn snapshots(&self) -> Snapshots {
        self.snapshots.subscribe()
    }

    /// The channel on which every new status appears.
    pub fn statuses(&self) -> Statuses {
        self.statuses.subscribe()
    }

    /// Where the keys are to be told that were seen at the public issuer.
    pub fn public(&self) -> watch::Sender<BTreeSet<Kid>> {
        self.public.clone()
    }

    /// Polls for ever, from its `turn` on. The second round comes at any time within the interval:
    /// so mirrors that start together do not go on together.
    pub async fn run(mut self: Box<Self>, turn: Duration) {
        tokio::time::sleep(turn).await;
        let mut share = fastrand::f64();
        loop {
            // What only a round needs is not kept until the next one.
            Box::pin(self.round()).await;
            let pause = backoff::pause(self.failures, self.settings.poll_interval, fastrand::f64());
            self.rest(pause.mul_f64(share)).await;
            share = 1.0;
        }
    }

    /// Waits for `pause`, or until the operator has decided something about this mirror.
    async fn rest(&mut self, pause: Duration) {
        let mut end = pin!(tokio::time::sleep(pause));
        loop {
            tokio::select! {
                () = &mut end => return,
                () = self.memory.decided() => {
                    if self.memory.read_decisions().await {
                        return self.decide();
                    }
                }
            }
        }
    }

    /// One round, and what there is to publish after it.
    ///
    /// # Errors
    ///
    /// [`NoSnapshot`] when there is nothing, or nothing but what was known before; the reasons were
    /// logged.
    pub async fn once(&mut self) -> Result<Arc<Snapshot>, NoSnapshot> {
        self.round().await;
        let mut upstreams = self.upstreams.iter();
        let was_answered = upstreams.any(|it| it.status().failure.is_none());
        let is_news = was_answered && !self.contradiction.is_raised();
        let snapshot = self.snapshots.borrow().clone().filter(|_| is_news);
        snapshot.ok_or_else(|| NoSnapshot {
            mirror: self.settings.name.clone(),
        })
    }

    /// Asks every upstream once and hands over a new snapshot if anything changed.
    async fn round(&mut self) {
        let round = self.listings().await;
        self.memory.read_decisions().await;
        let contradiction = self.step(&round);
        let state_error = self.memory.save(&self.ledger).await;
        self.hand_over();
        self.tell(contradiction, state_error);
    }

    async fn listings(&mut self) -> Vec<Listing> {
        let name = &self.settings.name;
        let fetches = self.upstreams.iter_mut().map(|polled| polled.poll(name));
        let files = self.key_files.iter_mut().map(|file| file.list(name));
        let (answers, files) = join(join_all(fetches), join_all(files)).await;
        let silent = answers.iter().any(Option::is_none);
        self.failures = if silent {
            self.failures.saturating_add(1)
        } else {
            0
        };
        self.issuers_agree = true;
        for (polled, answer) in self.upstreams.iter_mut().zip(&answers) {
            self.issuers_agree &= polled.compare_issuer(&self.settings, answer.as_ref());
            polled.compare_age(&self.settings, answer.as_ref());
        }
        let upstreams = self.upstreams.iter().zip(answers);
        upstreams
            .map(|(polled, answer)| Listing {
                source: polled.source().to_owned(),
                is_file: false,
                keys: answer.map(|answer| answer.keys),
            })
            .chain(files)
            .collect()
    }

    /// What the settings and the operator's later decisions say together.
    fn policy(&self) -> Policy {
        let mut policy = self.settings.keys.policy.clone();
        let decisions = &self.memory.decisions;
        policy.revoked.extend(decisions.revoked.iter().cloned());
        policy.approved.extend(decisions.approved.iter().cloned());
        policy
    }

    /// Applies what the operator decided, without waiting for an upstream.
    fn decide(&mut self) {
        if !self.ledger.is_blank() {
            let now = clock::now();
            let decided = self.ledger.decide(&self.policy(), now);
            self.take(decided, now);
            self.hand_over();
        }
    }

    /// Steps the ledger; gives back why the round cannot be believed.
    fn step(&mut self, round: &[Listing]) -> Option<String> {
        let now = clock::now();
        let stepped = self.ledger.step(round, &self.policy(), now);
        self.take(stepped, now)
    }

    /// Takes the new ledger, or says why there is none.
    fn take(&mut self, stepped: Stepped, now: Time) -> Option<String> {
        let mirror = &self.settings.name;
        let change = self.contradiction.set(stepped.is_err());
        match stepped {
            Ok((ledger, events)) => {
                if change == Some(Change::Ended) {
                    info!(mirror, "the API servers agree again");
                }
                // What a fresh start finds is no news.
                if !self.ledger.is_blank() {
                    events.iter().for_each(|event| log_event(mirror, event));
                }
                self.ledger = Arc::new(ledger.seen_in_public(&self.public.borrow(), now));
                None
            }
            Err(reject) => {
                let error = Report(&reject).to_string();
                if change == Some(Change::Started) {
                    error!(
                        mirror,
                        error,
                        "the API servers contradict each other; the last good documents stay"
                    );
                } else {
                    debug!(mirror, error, "the API servers still contradict each other");
                }
                Some(error)
            }
        }
    }

    /// Renders and sends the snapshot unless the present one says the same.
    fn hand_over(&mut self) {
        let is_stale = self.is_stale();
        let mirror = &self.settings.name;
        match self.stale.set(is_stale) {
            Some(Change::Started) => error!(
                mirror,
                "no API server has answered for longer than max-stale; the documents are withheld"
            ),
            Some(Change::Ended) => info!(mirror, "the documents are fresh again"),
            None => {}
        }
        if is_stale {
            self.snapshots
                .send_if_modified(|present| present.take().is_some());
            return;
        }
        let agree =
            self.issuers_agree || self.settings.on_issuer_mismatch == OnIssuerMismatch::Publish;
        if !agree {
            return;
        }
        match self.snapshot() {
            Ok(None) => {}
            Ok(Some(snapshot)) => {
                self.snapshots.send_replace(Some(Arc::new(snapshot)));
            }
            Err(reject) => {
                error!(mirror, error = %Report(&reject), "the last good documents stay");
            }
        }
    }

    fn is_stale(&self) -> bool {
        let oldest = self.settings.keys.max_stale.zip(self.ledger.last_answer);
        oldest.is_some_and(|(oldest, answer)| clock::now().since(answer) > oldest)
    }

    /// What is to be handed over, if that is news.
    fn snapshot(&self) -> Result<Option<Snapshot>, Reject> {
        let refresh = self.settings.keys.policy.longest_gap();
        let is_news = |present: &Arc<Snapshot>| {
            !present.ledger.agrees_with(&self.ledger)
                || self.ledger.as_of.since(present.ledger.as_of) >= refresh
        };
        if !self.snapshots.borrow().as_ref().is_none_or(is_news) {
            return Ok(None);
        }
        let settings::Mirror {
            issuer,
            discovery_members,
            ..
        } = &*self.settings;
        let keys = self.ledger.published()?;
        let ledger = || Arc::clone(&self.ledger);
        Ok(keys.map(|keys| Snapshot::render(issuer, keys, discovery_members, ledger())))
    }

    fn tell(&self, contradiction: Option<String>, state_error: Option<String>) {
        self.statuses.send_replace(Arc::new(Status {
            name: self.settings.name.clone(),
            issuer: self.settings.issuer.as_str().to_owned(),
            ledger: Arc::clone(&self.ledger),
            upstreams: self
                .upstreams
                .iter()
                .map(|it| it.status().clone())
                .collect(),
            contradiction,
            has_snapshot: self.snapshots.borrow().is_some(),
            is_stale: self.stale.is_raised(),
            state_error,
        }));
    }
}

type Stepped = Result<(Ledger, Vec<Event>), Reject>;

fn log_event(mirror: &str, event: &Event) {
    let kid = &event.kid;
    match (event.before, event.now) {
        (None, Some(State::Active)) => info!(mirror, %kid, "a key appeared"),
        (Some(State::Held), Some(State::Active)) => info!(mirror, %kid, "a held key is published"),
        (Some(_), Some(State::Active)) => info!(mirror, %kid, "a key is back"),
        (_, Some(State::Held)) => warn!(
            mirror, %kid,
            "a new key is held back: no relying party accepts its tokens until it is approved \
             (oidc-mirror keys approve) or pinned"
        ),
        (_, Some(State::Retiring)) => info!(
            mirror, %kid,
            "a key is gone from every API server; it stays published while tokens may need it"
        ),
        (_, Some(State::Retired)) => {
            info!(mirror, %kid, "a key is retired: no token needs it any more");
        }
        (_, Some(State::Revoked)) => {
            warn!(mirror, %kid, "a key is revoked: no token of it is accepted");
        }
        (_, None) => debug!(mirror, %kid, "a key is forgotten"),
    }
}

//! What a mirror remembers while it runs, and how it says that it cannot.

use std::{fs, path::PathBuf, time::Duration};

use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use super::store::{DECISIONS, Decisions, StateDir, StateError, Store};
use crate::{
    Report,
    alarm::{Alarm, Change},
    clock,
    config::settings,
    oidc::{Ledger, Time},
};

/// What a mirror knows from before, and where it keeps what it learns.
#[derive(Debug)]
pub struct Memory {
    mirror: String,
    store: Option<Store>,
    pub(super) ledger: Ledger,
    pub(super) decisions: Decisions,
    unreadable: Alarm,
    unsaved: Alarm,
    saved: Option<Ledger>,
    /// Changes when the operator has decided something; `None` where that cannot be.
    decided: Option<watch::Receiver<()>>,
}

impl Memory {
    /// Remembers `ledger`, and nothing beyond the life of the process.
    pub fn volatile(mirror: &settings::Mirror, ledger: Ledger) -> Self {
        Self {
            mirror: mirror.name.clone(),
            store: None,
            ledger,
            decisions: Decisions::default(),
            unreadable: Alarm::default(),
            unsaved: Alarm::default(),
            saved: None,
            decided: None,
        }
    }

    /// Reads what is in the state directory, sets aside what cannot be used there, and says so.
    pub fn open(mirror: &settings::Mirror, directory: &StateDir) -> Self {
        let store = directory.store(&mirror.name, &mirror.issuer);
        let ledger = load(&mirror.name, &store);
        let decisions = store.decisions();
        let mut memory = Self {
            decided: Some(directory.decided()),
            store: Some(store),
            ..Self::volatile(mirror, ledger)
        };
        // Until the decisions can be read those stand that the ledger saw.
        memory.decisions.revoked.clone_from(&memory.ledger.revoked);
        memory.take_decisions(decisions);
        memory
    }

    /// Takes over `ledger` where it knows more than the disk: from the mirror that ran before.
    #[must_use]
    pub fn or_else(mut self, ledger: Ledger) -> Self {
        if ledger.as_of > self.ledger.as_of {
            self.ledger = ledger;
        }
        self
    }

    /// Waits until the operator has decided something.
    pub(super) async fn decided(&mut self) {
        let has_changed = match &mut self.decided {
            // An error means that the process is ending.
            Some(decided) => decided.changed().await.is_ok(),
            None => false,
        };
        if !has_changed {
            std::future::pending::<()>().await;
        }
    }

    /// Reads what the operator has decided meanwhile, and says whether that is anything.
    pub(super) async fn read_decisions(&mut self) -> bool {
        let Some(store) = &self.store else {
            return false;
        };
        let decisions = store.decisions_off_thread().await;
        let is_news = decisions.as_ref().is_ok_and(|it| *it != self.decisions);
        self.take_decisions(decisions);
        is_news
    }

    fn take_decisions(&mut self, decisions: Result<Decisions, StateError>) {
        let mirror = &self.mirror;
        let change = self.unreadable.set(decisions.is_err());
        match decisions {
            Ok(decisions) => self.decisions = decisions,
            Err(error) if change == Some(Change::Started) => error!(
                mirror, error = %Report(&error),
                "the decisions about keys cannot be read; those known before stay"
            ),
            Err(_) => {}
        }
    }

    /// Saves `ledger` if that is due; gives back why it is not on disk.
    pub(super) async fn save(&mut self, ledger: &Ledger) -> Option<String> {
        let store = self.store.as_mut()?;
        let is_due = |saved: &Ledger| {
            !saved.agrees_with(ledger) || ledger.as_of.since(saved.as_of) >= SAVE_INTERVAL
        };
        if !self.saved.as_ref().is_none_or(is_due) && !self.unsaved.is_raised() {
            return None;
        }
        let outcome = store.save(ledger.clone()).await;
        let mirror = &self.mirror;
        let change = self.unsaved.set(outcome.is_err());
        match outcome {
            Ok(()) => {
                if change == Some(Change::Ended) {
                    info!(mirror, "the state can be saved again");
                }
                self.saved = Some(ledger.clone());
                None
            }
            Err(error) => {
                let error = Report(&error).to_string();
                if change == Some(Change::Started) {
                    error!(
                        mirror,
                        error,
                        "the state is not saved; the documents are given out all the same, but \
                         after a restart keys that are on their way out would be missing"
                    );
                } else {
                    debug!(mirror, error, "the state is still not saved");
                }
                Some(error)
            }
        }
    }
}

fn load(mirror: &str, store: &Store) -> Ledger {
    match store.load() {
        Ok(ledger) => ledger.unwrap_or_default(),
        Err(error @ StateError::Read { .. }) => {
            error!(mirror, error = %Report(&error), "the saved state cannot be read; starting without");
            Ledger::default()
        }
        Err(error) => {
            let aside = store.set_aside(clock::now());
            let kept = match &aside {
                Ok(path) => path.display().to_string(),
                Err(error) => format!("nowhere: {error}"),
            };
            error!(
                mirror, error = %Report(&error), kept,
                "the saved state cannot be used; starting without, so keys that no API server \
                 lists any more are missing now"
            );
            Ledger::default()
        }
    }
}

impl StateDir {
    /// Tells the mirrors when the operator has decided something, for ever.
    pub async fn watch(&self) {
        let path = self.root().join(DECISIONS);
        let mut seen = changed_at(path.clone()).await;
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            let now = changed_at(path.clone()).await;
            if now != seen {
                seen = now;
                self.tell_decided();
            }
        }
    }
}

/// When something was last put into the directory: each file in it is replaced, never rewritten.
async fn changed_at(directory: PathBuf) -> Option<Time> {
    let read = move || fs::metadata(directory)?.modified();
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(modified)) => {
            let since = modified.duration_since(std::time::UNIX_EPOCH);
            since.ok().map(Time::after_epoch)
        }
        Ok(Err(_)) => None,
        Err(died) => {
            warn!(error = %died, "could not look at the decisions about keys");
            None
        }
    }
}

/// How old what is on disk may be when only times have changed.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

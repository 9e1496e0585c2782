//! `publish`: one full round, and exit.

use std::{
    io::{self, IsTerminal as _},
    sync::Arc,
};

use futures_util::future::join_all;
use thiserror::Error;
use tracing::{error, info};

use super::{Exit, observe::Readers, publisher, runtime};
use crate::{
    Report,
    config::settings::{self, Settings},
    mirror::{Memory, Mirror, NoSnapshot, StateDir},
    oidc::{Ledger, Snapshot},
    publish::{
        Change, Name, PublishError, Publisher,
        diff::{self, Colour},
        listed, log_outcome,
    },
    upstream::CredentialError,
};

pub(super) fn execute(settings: &Settings, dry_run: bool) -> Exit {
    if settings
        .mirrors
        .iter()
        .any(|mirror| mirror.targets.is_empty())
    {
        error!("say where to publish to: --to s3://bucket/prefix or --to file:///directory");
        return Exit::Configuration;
    }
    runtime::block_on(async {
        let state_dir = match settings
            .state_dir
            .as_deref()
            .map(StateDir::open)
            .transpose()
        {
            Ok(state_dir) => state_dir,
            Err(error) => {
                error!(error = %Report(&error), "could not publish");
                return Exit::Failed;
            }
        };
        let once = Once {
            publisher: publisher::name(settings),
            state_dir,
            readers: Readers::default(),
            dry_run,
        };
        let mirrors = settings.mirrors.iter();
        let failures = join_all(mirrors.map(|mirror| once.publish(mirror)))
            .await
            .concat();
        // What cannot work at all counts before what may work another time.
        let worst = failures.iter().find(|exit| **exit == Exit::Configuration);
        *worst.or_else(|| failures.first()).unwrap_or(&Exit::Done)
    })
}

/// What is the same for all mirrors.
struct Once {
    publisher: String,
    state_dir: Option<StateDir>,
    readers: Readers,
    dry_run: bool,
}

impl Once {
    /// Publishes one mirror to all its targets; says what failed and how the process is to end for
    /// it.
    async fn publish(&self, settings: &settings::Mirror) -> Vec<Exit> {
        let fail = |failure: Failure| {
            error!(mirror = settings.name, error = %Report(&failure), "could not publish");
            Exit::from(&failure)
        };
        let snapshot = match self.snapshot(settings).await {
            Ok(snapshot) => snapshot,
            Err(failure) => return vec![fail(failure)],
        };
        let targets = settings.targets.iter();
        let outcomes =
            join_all(targets.map(|target| self.publish_to(target, settings, &snapshot))).await;
        let (mut failures, mut changed) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome {
                Ok(published) => changed.extend(published),
                Err(failure) => failures.push(fail(failure)),
            }
        }
        if self.reads_back(settings) && !changed.is_empty() {
            self.readers.confirm(settings, &changed).await;
        }
        failures
    }

    fn reads_back(&self, settings: &settings::Mirror) -> bool {
        settings.upkeep.read_back && !self.dry_run
    }

    async fn snapshot(&self, settings: &settings::Mirror) -> Result<Arc<Snapshot>, Failure> {
        let memory = match &self.state_dir {
            Some(state_dir) => Memory::open(settings, state_dir),
            None => Memory::volatile(settings, Ledger::default()),
        };
        let mut mirror = Mirror::open(Arc::new(settings.clone()), memory).await?;
        if self.reads_back(settings) {
            // What the ledger says of a key depends on since when relying parties read it.
            let keys = self.readers.public_keys(settings).await;
            mirror.public().send_replace(keys);
        }
        Ok(mirror.once().await?)
    }

    /// Publishes to one target; gives back what relying parties are to read if that is new.
    async fn publish_to(
        &self,
        target: &settings::Target,
        settings: &settings::Mirror,
        snapshot: &Arc<Snapshot>,
    ) -> Result<Option<Arc<Snapshot>>, Failure> {
        let mut publisher = Publisher::open(target, settings, &self.publisher).await?;
        if self.dry_run {
            show(target, &publisher.compare(snapshot).await?);
            return Ok(None);
        }
        let outcome = publisher.publish(snapshot).await?;
        log_outcome(&publisher.to_string(), &outcome);
        if outcome.report.left_alone {
            return Err(Failure::Drifted);
        }
        let (mirror, keys) = (&settings.name, outcome.published.keys.len());
        if outcome.changes.is_empty() {
            info!(mirror, %target, keys, "already equal");
        } else {
            info!(mirror, %target, keys, changes = listed(&outcome.changes), "published");
        }
        let is_new = outcome.changes.iter().any(|it| it.name != Name::State);
        Ok(is_new.then_some(outcome.published))
    }
}

/// Why a mirror was not published.
#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    #[error(
        "somebody else changed what is published, and on-drift leaves it to you: find out who, and \
         publish with on-drift = \"repair\""
    )]
    Drifted,
    #[error(transparent)]
    NoSnapshot(#[from] NoSnapshot),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl From<&Failure> for Exit {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Credentials(_) => Self::Configuration,
            Failure::Drifted | Failure::NoSnapshot(_) | Failure::Publish(_) => Self::Failed,
        }
    }
}

/// Prints what would change: coloured on a terminal, plain elsewhere.
#[expect(clippy::print_stdout, reason = "this is what a dry run is for")]
fn show(target: &settings::Target, changes: &[Change]) {
    if changes.is_empty() {
        println!("{target}: already equal, nothing would be written");
    }
    let colour = if io::stdout().is_terminal() {
        Colour::Ansi
    } else {
        Colour::Plain
    };
    let (documents, state): (Vec<_>, Vec<_>) = changes
        .iter()
        .partition(|change| change.name != Name::State);
    for change in state {
        println!("{target}: would {change}, what the publishers know of the keys");
    }
    for change in documents {
        println!("{}", diff::unified(change, &target.to_string(), colour));
    }
}

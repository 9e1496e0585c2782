//! `publish`: one full round, and exit.

use std::{
    io::{self, IsTerminal as _},
    sync::Arc,
};

use futures_util::future::join_all;
use thiserror::Error;
use tracing::{error, info};

use super::{Exit, runtime};
use crate::{
    Report,
    config::settings::{self, Settings},
    mirror::{Memory, Mirror, NoSnapshot},
    oidc::{Ledger, Snapshot},
    publish::{
        Change, PublishError, Publisher,
        diff::{self, Colour},
        listed,
    },
    upstream::CredentialError,
};

pub(super) fn execute(settings: Settings, dry_run: bool) -> Exit {
    if settings
        .mirrors
        .iter()
        .any(|mirror| mirror.targets.is_empty())
    {
        error!("say where to publish to: --to s3://bucket/prefix or --to file:///directory");
        return Exit::Configuration;
    }
    runtime::block_on(async {
        let mirrors = settings.mirrors.into_iter();
        let failures = join_all(mirrors.map(|mirror| publish(mirror, dry_run)))
            .await
            .concat();
        // What cannot work at all counts before what may work another time.
        let worst = failures.iter().find(|exit| **exit == Exit::Configuration);
        *worst.or_else(|| failures.first()).unwrap_or(&Exit::Done)
    })
}

/// Publishes one mirror to all its targets; says what failed and how the process is to end for it.
async fn publish(settings: settings::Mirror, dry_run: bool) -> Vec<Exit> {
    let fail = |failure: Failure| {
        error!(mirror = settings.name, error = %Report(&failure), "could not publish");
        Exit::from(&failure)
    };
    let snapshot = match snapshot(&settings).await {
        Ok(snapshot) => snapshot,
        Err(failure) => return vec![fail(failure)],
    };
    let targets = settings.targets.iter().map(async |target| {
        let publisher = Publisher::open(target, &settings.metadata).await?;
        if dry_run {
            show(target, &publisher.compare(&snapshot).await?);
            return Ok::<_, Failure>(());
        }
        let changes = publisher.publish(&snapshot).await?;
        let (mirror, keys) = (&settings.name, snapshot.keys.len());
        if changes.is_empty() {
            info!(mirror, %target, keys, "already equal");
        } else {
            info!(mirror, %target, keys, changes = listed(&changes), "published");
        }
        Ok(())
    });
    join_all(targets)
        .await
        .into_iter()
        .filter_map(Result::err)
        .map(fail)
        .collect()
}

async fn snapshot(settings: &settings::Mirror) -> Result<Arc<Snapshot>, Failure> {
    let memory = Memory::volatile(settings, Ledger::default());
    Ok(Mirror::open(settings.clone(), memory).await?.once().await?)
}

/// Why a mirror was not published.
#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    #[error(transparent)]
    NoSnapshot(#[from] NoSnapshot),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl From<&Failure> for Exit {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Credentials(_) => Self::Configuration,
            Failure::NoSnapshot(_) | Failure::Publish(_) => Self::Failed,
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
    for change in changes {
        println!("{}", diff::unified(change, &target.to_string(), colour));
    }
}

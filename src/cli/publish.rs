//! `publish`: one full round, and exit.

use std::io::{self, IsTerminal as _};

use futures_util::future::join_all;
use thiserror::Error;
use tracing::{error, info};

use super::{Exit, runtime};
use crate::{
    Report,
    config::{
        ConfigError,
        settings::{self, Settings},
    },
    mirror::{Mirror, NoSnapshot},
    publish::{
        Change, PublishError, Publisher,
        diff::{self, Colour},
    },
    upstream::CredentialError,
};

pub(super) fn execute(settings: Result<Settings, ConfigError>, dry_run: bool) -> Exit {
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => {
            error!(error = %Report(&error), "the configuration cannot be used");
            return Exit::Configuration;
        }
    };
    if settings
        .mirrors
        .iter()
        .any(|mirror| mirror.targets.is_empty())
    {
        error!("say where to publish to: --to s3://bucket/prefix or --to file:///directory");
        return Exit::Configuration;
    }
    runtime::block_on(async {
        let published = join_all(
            settings
                .mirrors
                .into_iter()
                .map(|mirror| publish(mirror, dry_run)),
        )
        .await;
        // A configuration that cannot work is the more lasting trouble.
        let exits = published.into_iter().flatten().map(|error| {
            error!(error = %Report(&error), "could not publish");
            Exit::from(&error)
        });
        exits
            .reduce(|one, other| {
                if one == Exit::Configuration {
                    one
                } else {
                    other
                }
            })
            .unwrap_or(Exit::Done)
    })
}

/// Publishes one mirror to all its targets; gives back what failed.
async fn publish(settings: settings::Mirror, dry_run: bool) -> Vec<Failure> {
    let snapshot = async {
        let mut mirror = Mirror::open(settings.clone()).await?;
        Ok::<_, Failure>(mirror.once().await?)
    };
    let snapshot = match snapshot.await {
        Ok(snapshot) => snapshot,
        Err(failure) => return vec![failure],
    };
    let publishing = settings.targets.iter().map(async |target| {
        let publisher = Publisher::open(target, &settings.metadata).await?;
        if dry_run {
            show(target, &publisher.compare(&snapshot).await?);
            return Ok::<_, Failure>(());
        }
        let changes = publisher.publish(&snapshot).await?;
        if changes.is_empty() {
            info!(mirror = settings.name, %target, keys = snapshot.keys.len(), "already equal");
        }
        Ok(())
    });
    join_all(publishing)
        .await
        .into_iter()
        .filter_map(Result::err)
        .collect()
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

//! `run`: serve, and publish to the targets, until told to stop.

use std::{convert::Infallible, io};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
};
use tracing::{error, info, warn};

use super::{
    Exit, runtime,
    service::{Reloaded, Service},
};
use crate::{
    Report,
    config::{ConfigError, settings::Settings},
};

/// Runs with what `load` gives, and with what it gives again on SIGHUP.
pub(super) fn execute(load: impl Fn() -> Result<Settings, ConfigError>) -> Exit {
    match load_useful(&load) {
        Ok(settings) => runtime::block_on(run(settings, || load_useful(&load))),
        Err(error) => {
            error!(error = %Report(&error), "the configuration cannot be used");
            Exit::Configuration
        }
    }
}

fn load_useful(load: impl Fn() -> Result<Settings, ConfigError>) -> Result<Settings, ConfigError> {
    let settings = load()?;
    let publishes = settings
        .mirrors
        .iter()
        .any(|mirror| !mirror.targets.is_empty());
    if settings.serve.is_some() || publishes {
        Ok(settings)
    } else {
        Err(ConfigError::Together(
            "there is nothing to do: say where to serve (--listen) or where to publish to (--to)"
                .to_owned(),
        ))
    }
}

async fn run(settings: Settings, load: impl Fn() -> Result<Settings, ConfigError>) -> Exit {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            error!(%error, "could not listen for signals");
            return Exit::Failed;
        }
    };
    let service = match Service::bind(settings).await {
        Ok(service) => service,
        Err(error) => {
            error!(error = %Report(&error), "could not start");
            return Exit::from(&error);
        }
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let (reload, reloads) = mpsc::channel(1);
    let mut running = std::pin::pin!(service.run_reloading(async { _ = stopped.await }, reloads));
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = signals.end.next() => {
            drop(stop);
            tokio::select! {
                ended = running => ended,
                () = signals.end.next() => {
                    warn!("ended at once by a second signal");
                    return Exit::Failed;
                }
            }
        }
        never = pass_on(&mut signals.hang_up, load, reload) => match never {},
    };
    match ended {
        Ok(()) => Exit::Done,
        Err(error) => {
            error!(error = %Report(&error), "the service ended");
            Exit::Failed
        }
    }
}

/// Loads the configuration again on each SIGHUP.
async fn pass_on(
    hang_up: &mut Signal,
    load: impl Fn() -> Result<Settings, ConfigError>,
    reload: mpsc::Sender<Reloaded>,
) -> Infallible {
    while hang_up.recv().await.is_some() {
        info!("reading the configuration again");
        // When nobody takes it the process is ending.
        if reload.send(load()).await.is_err() {
            break;
        }
    }
    std::future::pending().await
}

struct Signals {
    end: End,
    hang_up: Signal,
}

/// SIGINT and SIGTERM.
struct End {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            end: End {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
            },
            hang_up: signal(SignalKind::hangup())?,
        })
    }
}

impl End {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

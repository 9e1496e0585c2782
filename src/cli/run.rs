//! `run`: serve, and publish to the targets, until told to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, warn};

use super::{Exit, runtime, service::Service};
use crate::{Report, config::settings::Settings};

pub(super) fn execute(settings: Settings) -> Exit {
    if settings.serve.is_none()
        && settings
            .mirrors
            .iter()
            .all(|mirror| mirror.targets.is_empty())
    {
        error!(
            "there is nothing to do: say where to serve (--listen) or where to publish to (--to)"
        );
        return Exit::Configuration;
    }
    runtime::block_on(run(settings))
}

async fn run(settings: Settings) -> Exit {
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
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut running = std::pin::pin!(service.run(async { _ = stopped.await }));
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = signals.next() => {
            drop(stop);
            tokio::select! {
                ended = running => ended,
                () = signals.next() => {
                    warn!("ended at once by a second signal");
                    return Exit::Failed;
                }
            }
        }
    };
    match ended {
        Ok(()) => Exit::Done,
        Err(error) => {
            error!(error = %Report(&error), "the service ended");
            Exit::Failed
        }
    }
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

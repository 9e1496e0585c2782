//! The assembly: mirrors, publishers and listeners of one process.

use std::{future::Future, net::SocketAddr, sync::Arc};

use thiserror::Error;
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinSet},
};
use tracing::{error, info};

use super::{
    StartError, manager,
    observe::Readers,
    publisher,
    work::{Channels, Host, Known, Work},
};
use crate::{
    Report,
    admin::{Admin, Views},
    config::{ConfigError, settings::Settings},
    mirror::StateDir,
    serve::{Activated, Counters, Ends, Listener, Routes},
};

/// Everything that was asked for, ready to start: files read, sockets bound, nothing sent yet.
#[derive(Debug)]
pub struct Service {
    /// Without the mirrors, which are the work.
    settings: Settings,
    host: Host,
    work: Work,
    listener: Option<Listener>,
    admin: Option<Admin>,
}

/// A configuration that was read again, as good or bad as it is.
pub type Reloaded = Result<Settings, ConfigError>;

impl Service {
    /// Reads credentials and certificates and binds the sockets.
    ///
    /// # Errors
    ///
    /// [`StartError`] at the first thing that cannot be had.
    pub async fn bind(mut settings: Settings) -> Result<Self, StartError> {
        let activated = Activated::from_env().map_err(StartError::Activation)?;
        let listener = match &settings.serve {
            Some(serve) => Some(Listener::bind(serve.clone(), &activated, None).await?),
            None => None,
        };
        let admin = match settings.admin {
            Some(admin) => Some(Admin::bind(admin).await?),
            None => None,
        };
        let state_dir = settings.state_dir.as_deref().map(StateDir::open);
        let host = Host {
            publisher: publisher::name(&settings),
            state_dir: state_dir.transpose()?.map(Arc::new),
            readers: Readers::default(),
            activated,
            counters: Counters::default(),
        };
        let mirrors = std::mem::take(&mut settings.mirrors);
        Ok(Self {
            work: Work::open(mirrors, listener.is_some(), &host, Known::default()).await?,
            settings,
            host,
            listener,
            admin,
        })
    }

    /// The addresses served on, with real ports where 0 was asked for.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listener
            .as_ref()
            .map(Listener::addresses)
            .unwrap_or_default()
    }

    /// The address at which the operator asks, with its real port where 0 was asked for.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(Admin::address)
    }

    /// Mirrors, serves and publishes until `shutdown`, then finishes the requests in flight.
    ///
    /// # Errors
    ///
    /// [`TaskDied`] when a part that should live as long as the process ended.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), TaskDied> {
        let (_nobody, reloads) = mpsc::channel(1);
        self.run_reloading(shutdown, reloads).await
    }

    /// As [`run`](Self::run), and takes each configuration that comes on `reloads`, or keeps the
    /// present one.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn run_reloading(
        self,
        shutdown: impl Future<Output = ()>,
        mut reloads: mpsc::Receiver<Reloaded>,
    ) -> Result<(), TaskDied> {
        if let Some(address) = self.admin_address() {
            info!(%address, "answering the operator");
        }
        let mut running = self.start();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                died = running.first_death() => return Err(died),
                Some(reloaded) = reloads.recv() => running.reload(reloaded).await,
            }
        }
        info!("stopping");
        manager::stopping();
        running.stop().await
    }

    fn start(self) -> Running {
        let mut running = Running {
            settings: self.settings,
            host: self.host,
            routes: watch::Sender::default(),
            views: watch::Sender::default(),
            channels: Channels::default(),
            work: JoinSet::new(),
            fronts: JoinSet::new(),
            front: None,
            others: JoinSet::new(),
            stop: watch::Sender::new(false),
        };
        if let Some(directory) = running.host.state_dir.clone() {
            running.others.spawn(async move { directory.watch().await });
        }
        if self.listener.as_ref().is_some_and(Listener::is_plain) {
            info!(
                "plain HTTP is spoken: a proxy in front has to end TLS, since relying parties \
                 accept https only"
            );
        }
        running.set(self.work, self.listener);
        // Not before there is something to see: without mirrors, all of them are ready.
        if let Some(admin) = self.admin {
            let views = running.views.subscribe();
            let stopped = running.stop.subscribe();
            running.fronts.spawn(admin.run(views, stopped));
        }
        let snapshots = running.channels.snapshots.clone();
        running.others.spawn(manager::announce(snapshots));
        let views = running.views.subscribe();
        running.others.spawn(manager::describe(views.clone()));
        running.others.spawn(manager::watchdog(views));
        running
    }
}

/// A service that runs, and what it takes to change it.
struct Running {
    /// Without the mirrors, which are the work.
    settings: Settings,
    host: Host,
    routes: watch::Sender<Arc<Routes>>,
    views: watch::Sender<Arc<Views>>,
    channels: Channels,
    /// The tasks of the present configuration; they may be cut at any moment.
    work: JoinSet<()>,
    /// What answers requests: what is in flight when it is stopped is finished.
    fronts: JoinSet<()>,
    front: Option<Front>,
    /// What lives as long as the process, and may be cut.
    others: JoinSet<()>,
    stop: watch::Sender<bool>,
}

/// The listener of the present configuration.
struct Front {
    listener: Listener,
    handed_over: watch::Sender<bool>,
}

impl Running {
    /// Puts these in the place of what was done before, which finishes what it has begun.
    fn set(&mut self, mut work: Work, listener: Option<Listener>) {
        let routes = std::mem::take(&mut work.routes);
        self.routes.send_replace(Arc::new(routes));
        work.views.certificates = listener.as_ref().and_then(Listener::certificates);
        let views = std::mem::take(&mut work.views);
        self.views.send_replace(Arc::new(views));
        self.channels = std::mem::take(&mut work.channels);
        self.work = work.start(&self.host.readers);
        let before = self.front.take();
        if let Some(listener) = listener {
            if let Some(keeping) = listener.keep_certificates() {
                self.work.spawn(keeping);
            }
            let handed_over = watch::Sender::new(false);
            let ends = Ends {
                handed_over: handed_over.subscribe(),
                stop: self.stop.subscribe(),
            };
            let counters = self.host.counters.clone();
            let front = listener
                .clone()
                .run(self.routes.subscribe(), counters, ends);
            self.fronts.spawn(front);
            self.front = Some(Front {
                listener,
                handed_over,
            });
        }
        // Another one accepts already on the same sockets, so that nobody is refused.
        if let Some(before) = before {
            before.handed_over.send_replace(true);
        }
        for (address, protocol) in self.front.iter().flat_map(Front::addresses) {
            info!(%address, protocol, "serving");
        }
    }

    /// Waits for a task that should not have ended.
    async fn first_death(&mut self) -> TaskDied {
        loop {
            let ended = tokio::select! {
                Some(ended) = self.work.join_next() => ended,
                Some(ended) = self.others.join_next() => ended,
                Some(ended) = self.fronts.join_next() => match ended {
                    // Its place was taken, and its connections have ended.
                    Ok(()) => continue,
                    died => died,
                },
                else => return TaskDied { source: None },
            };
            return TaskDied {
                source: ended.err(),
            };
        }
    }

    /// Takes a new configuration, or says why not.
    async fn reload(&mut self, reloaded: Reloaded) {
        manager::reloading();
        let outcome = match reloaded {
            Ok(settings) => {
                let applied = self.apply(settings).await;
                applied.map_err(|error| Report(&error).to_string())
            }
            Err(error) => Err(Report(&error).to_string()),
        };
        match outcome {
            Ok(()) => info!("the new configuration is in use"),
            Err(error) => error!(
                error,
                "the new configuration is refused; the present one stays"
            ),
        }
        manager::reloaded();
    }

    async fn apply(&mut self, mut settings: Settings) -> Result<(), StartError> {
        let fixed = |settings: &Settings| {
            let admin = settings.admin.map(|admin| admin.listen);
            (
                settings.state_dir.clone(),
                settings.publisher.clone(),
                admin,
            )
        };
        if fixed(&settings) != fixed(&self.settings) {
            return Err(StartError::NeedsRestart("state-dir, publisher or admin"));
        }
        // Everything that can fail comes before anything is changed.
        let present = self.front.as_ref().map(|front| &front.listener);
        let listener = match &settings.serve {
            Some(serve) => {
                let activated = &self.host.activated;
                Some(Listener::bind(serve.clone(), activated, present).await?)
            }
            None => None,
        };
        let mirrors = std::mem::take(&mut settings.mirrors);
        let known = self.channels.known();
        let work = Work::open(mirrors, listener.is_some(), &self.host, known).await?;
        self.settings = settings;
        self.set(work, listener);
        Ok(())
    }

    async fn stop(mut self) -> Result<(), TaskDied> {
        // Publishing and polling may be cut at any moment; requests in flight may not.
        self.work.shutdown().await;
        self.others.shutdown().await;
        self.stop.send_replace(true);
        // With it goes its share of the sockets, so that nobody connects in vain.
        self.front = None;
        while let Some(ended) = self.fronts.join_next().await {
            ended.map_err(|source| TaskDied {
                source: Some(source),
            })?;
        }
        Ok(())
    }
}

impl Front {
    fn addresses(&self) -> impl Iterator<Item = (String, &'static str)> {
        let is_plain = self.listener.is_plain();
        let protocol = if is_plain { "http" } else { "https" };
        let names = self.listener.names();
        names.map(move |address| (address, protocol))
    }
}

/// A part that should live as long as the process ended.
#[derive(Debug, Error)]
#[error("a part of the service died; this is a bug, please report it")]
pub struct TaskDied {
    source: Option<JoinError>,
}

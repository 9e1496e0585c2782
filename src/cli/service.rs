//! The assembly: mirrors, publishers and listeners of one process.

use std::{future::Future, io, net::SocketAddr, sync::Arc};

use sd_notify::NotifyState;
use thiserror::Error;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};
use tracing::{info, warn};

use super::{
    Exit,
    observe::{self, Readers},
    publisher,
};
use crate::{
    admin::{Admin, AdminError, Views},
    config::settings::{self, Settings},
    mirror::{Memory, Mirror, Snapshots, StateDir, StateError},
    oidc::{Issuer, Ledger},
    publish::{PublishError, Publisher},
    serve::{Listener, Routes, ServeError},
    upstream::CredentialError,
    verify::ReadBack,
};

/// Everything that was asked for, ready to start: files read, sockets bound, nothing sent yet.
#[derive(Debug)]
pub struct Service {
    mirrors: Vec<Mirror>,
    publishers: Vec<(Publisher, Snapshots)>,
    read_backs: Vec<(Issuer, ReadBack)>,
    state_dir: Option<StateDir>,
    publisher: String,
    listener: Option<Listener>,
    routes: Routes,
    admin: Option<Admin>,
    views: Views,
}

impl Service {
    /// Reads credentials and certificates and binds the sockets.
    ///
    /// # Errors
    ///
    /// [`StartError`] at the first thing that cannot be had.
    pub async fn bind(settings: Settings) -> Result<Self, StartError> {
        let publisher = publisher::name(&settings);
        let listener = match settings.serve {
            Some(serve) => Some(Listener::bind(serve).await?),
            None => None,
        };
        let admin = match settings.admin {
            Some(admin) => Some(Admin::bind(admin).await?),
            None => None,
        };
        let state_dir = settings.state_dir.as_deref().map(StateDir::open);
        let mut service = Self {
            state_dir: state_dir.transpose()?,
            publisher,
            mirrors: Vec::new(),
            publishers: Vec::new(),
            read_backs: Vec::new(),
            listener,
            routes: Routes::default(),
            admin,
            views: Views::default(),
        };
        for settings in settings.mirrors {
            service.add(settings).await?;
        }
        Ok(service)
    }

    async fn add(&mut self, settings: settings::Mirror) -> Result<(), StartError> {
        for warning in settings.issuer.warnings() {
            warn!(mirror = settings.name, issuer = %settings.issuer, "{warning}");
        }
        let memory = match &self.state_dir {
            Some(directory) => Memory::open(&settings, directory),
            None => Memory::volatile(&settings, Ledger::default()),
        };
        let mirror = Mirror::open(settings.clone(), memory)
            .await
            .map_err(|source| StartError::Credentials {
                mirror: settings.name.clone(),
                source,
            })?;
        let mut publishers = Vec::with_capacity(settings.targets.len());
        for target in &settings.targets {
            publishers.push(Publisher::open(target, &settings, &self.publisher).await?);
        }
        let is_served = self.listener.is_some();
        let (view, read_back) = observe::watch(&settings, &mirror, is_served, &publishers);
        self.views.mirrors.push(view);
        let read_back = read_back.map(|it| (settings.issuer.clone(), it));
        self.read_backs.extend(read_back);
        let publishers = publishers.into_iter();
        self.publishers
            .extend(publishers.map(|it| (it, mirror.snapshots())));
        self.routes
            .add(&settings.issuer, &settings.metadata, mirror.snapshots());
        self.mirrors.push(mirror);
        Ok(())
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
        for address in self.addresses() {
            let is_plain = self.listener.as_ref().is_some_and(Listener::is_plain);
            let protocol = if is_plain { "http" } else { "https" };
            info!(%address, protocol, "serving");
        }
        if let Some(address) = self.admin_address() {
            info!(%address, "answering the operator");
        }
        let (stop, stopped) = watch::channel(false);
        let snapshots: Vec<_> = self.mirrors.iter().map(Mirror::snapshots).collect();
        let mut tasks = JoinSet::new();
        if let Some(listener) = self.listener {
            tasks.spawn(listener.run(Arc::new(self.routes), stopped));
        }
        if let Some(admin) = self.admin {
            let views = watch::Sender::new(Arc::new(self.views)).subscribe();
            tasks.spawn(admin.run(views, stop.subscribe()));
        }
        let mut background = JoinSet::new();
        background.spawn(announce(snapshots));
        if let Some(directory) = self.state_dir {
            background.spawn(directory.watch());
        }
        for (publisher, snapshots) in self.publishers {
            background.spawn(publisher.run(snapshots));
        }
        let readers = Readers::default();
        for (issuer, read_back) in self.read_backs {
            background.spawn(readers.clone().run(issuer, read_back));
        }
        for mirror in self.mirrors {
            background.spawn(mirror.run());
        }
        tokio::select! {
            () = shutdown => {}
            died = first_death(&mut tasks, &mut background) => return Err(died),
        }
        info!("stopping");
        notify(&[NotifyState::Stopping]);
        // Publishing and polling may be cut at any moment; requests in flight may not.
        background.shutdown().await;
        stop.send_replace(true);
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|source| TaskDied {
                source: Some(source),
            })?;
        }
        Ok(())
    }
}

/// Waits for a task that should not have ended.
async fn first_death(tasks: &mut JoinSet<()>, background: &mut JoinSet<()>) -> TaskDied {
    let ended = tokio::select! {
        Some(ended) = tasks.join_next() => ended,
        Some(ended) = background.join_next() => ended,
        else => return TaskDied { source: None },
    };
    TaskDied {
        source: ended.err(),
    }
}

/// Tells the service manager when every mirror has something to serve.
async fn announce(snapshots: Vec<Snapshots>) {
    notify(&[NotifyState::Status(
        "waiting for the first answer of the API servers",
    )]);
    for mut snapshots in snapshots {
        // A closed channel means that the process is ending.
        if snapshots.wait_for(Option::is_some).await.is_err() {
            return;
        }
    }
    info!("every mirror has its documents");
    notify(&[
        NotifyState::Ready,
        NotifyState::Status("every mirror has its documents"),
    ]);
    std::future::pending::<()>().await;
}

/// Does nothing where no service manager listens.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "could not notify the service manager");
    }
}

/// Why the service did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The operator cannot ask.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The credentials of a mirror cannot be used.
    #[error("mirror {mirror:?} has no usable credentials")]
    Credentials {
        /// The mirror.
        mirror: String,
        /// Why not.
        source: CredentialError,
    },
    /// A target cannot be used.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Nothing can be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<&StartError> for Exit {
    fn from(error: &StartError) -> Self {
        match error {
            StartError::Serve(ServeError::Bind { source, .. })
                if source.kind() != io::ErrorKind::PermissionDenied =>
            {
                // Another process may give the address back.
                Self::Failed
            }
            StartError::Admin(error) if error.may_pass() => Self::Failed,
            // Another process may end.
            StartError::State(_) => Self::Failed,
            StartError::Admin(_)
            | StartError::Credentials { .. }
            | StartError::Publish(_)
            | StartError::Serve(_) => Self::Configuration,
        }
    }
}

/// A part that should live as long as the process ended.
#[derive(Debug, Error)]
#[error("a part of the service died; this is a bug, please report it")]
pub struct TaskDied {
    source: Option<JoinError>,
}

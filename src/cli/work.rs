//! What one configuration asks for: the mirrors, and all that hangs on them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tracing::warn;

use super::{
    StartError,
    observe::{self, Readers},
};
use crate::{
    admin::Views,
    config::settings,
    mirror::{Memory, Mirror, Snapshots, StateDir, Statuses},
    oidc::{Issuer, Ledger},
    publish::Publisher,
    serve::{Activated, Counters, Routes},
    verify::ReadBack,
};

/// What does not change while the process lives.
#[derive(Debug)]
pub(super) struct Host {
    /// The name of this process among those that publish to one place.
    pub(super) publisher: String,
    pub(super) state_dir: Option<Arc<StateDir>>,
    pub(super) readers: Readers,
    /// The sockets that the service manager has handed over.
    pub(super) activated: Activated,
    /// What the listeners count, from one configuration to the next.
    pub(super) counters: Counters,
}

/// The mirrors of one configuration, ready to start.
#[derive(Debug, Default)]
pub(super) struct Work {
    mirrors: Vec<Mirror>,
    publishers: Vec<(Publisher, Snapshots)>,
    read_backs: Vec<(Issuer, ReadBack)>,
    pub(super) routes: Routes,
    pub(super) views: Views,
    pub(super) channels: Channels,
}

/// Where the mirrors of one configuration hand over what they have and how they do.
#[derive(Clone, Debug, Default)]
pub(super) struct Channels {
    pub(super) snapshots: Vec<Snapshots>,
    statuses: Vec<Statuses>,
}

/// What mirrors know, by name and issuer.
pub(super) type Known = HashMap<(String, String), Ledger>;

impl Channels {
    /// What the mirrors know now.
    pub(super) fn known(&self) -> Known {
        let statuses = self.statuses.iter().map(|it| Arc::clone(&it.borrow()));
        statuses
            .map(|it| {
                (
                    (it.name.clone(), it.issuer.clone()),
                    it.ledger.as_ref().clone(),
                )
            })
            .collect()
    }
}

impl Work {
    /// Reads credentials and files of all mirrors; each goes on from what is `known` of it.
    pub(super) async fn open(
        mirrors: Vec<settings::Mirror>,
        is_served: bool,
        host: &Host,
        mut known: Known,
    ) -> Result<Self, StartError> {
        let mut work = Self::default();
        work.views.counters = is_served.then(|| host.counters.clone());
        for settings in mirrors {
            let name = (settings.name.clone(), settings.issuer.as_str().to_owned());
            let known = known.remove(&name).unwrap_or_default();
            work.add(Arc::new(settings), is_served, host, known).await?;
        }
        Ok(work)
    }

    async fn add(
        &mut self,
        settings: Arc<settings::Mirror>,
        is_served: bool,
        host: &Host,
        known: Ledger,
    ) -> Result<(), StartError> {
        for warning in settings.issuer.warnings() {
            warn!(mirror = settings.name, issuer = %settings.issuer, "{warning}");
        }
        let memory = match &host.state_dir {
            Some(directory) => Memory::open(&settings, directory).or_else(known),
            None => Memory::volatile(&settings, known),
        };
        let mirror = Mirror::open(Arc::clone(&settings), memory)
            .await
            .map_err(|source| StartError::Credentials {
                mirror: settings.name.clone(),
                source,
            })?;
        let mut publishers = Vec::with_capacity(settings.targets.len());
        for target in &settings.targets {
            publishers.push(Publisher::open(target, &settings, &host.publisher).await?);
        }
        let (view, read_back) = observe::watch(&settings, &mirror, is_served, &publishers);
        self.views.mirrors.push(view);
        let read_back = read_back.map(|it| (settings.issuer.clone(), it));
        self.read_backs.extend(read_back);
        let publishers = publishers.into_iter();
        self.publishers
            .extend(publishers.map(|it| (it, mirror.snapshots())));
        self.routes
            .add(&settings.issuer, &settings.metadata, mirror.snapshots());
        self.channels.snapshots.push(mirror.snapshots());
        self.channels.statuses.push(mirror.statuses());
        self.mirrors.push(mirror);
        Ok(())
    }

    /// Starts mirroring, publishing and reading back; dropping the tasks ends all of it.
    pub(super) fn start(self, readers: &Readers) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for (publisher, snapshots) in self.publishers {
            tasks.spawn(publisher.run(snapshots));
        }
        for (issuer, read_back) in self.read_backs {
            tasks.spawn(readers.clone().run(issuer, read_back));
        }
        for (number, mirror) in (0..).zip(self.mirrors) {
            tasks.spawn(Box::new(mirror).run(TURN * number));
        }
        tasks
    }
}

/// The time from one mirror's first round to that of the next: ten thousand must not open their
/// connections at once, and a few need not wait.
const TURN: Duration = Duration::from_millis(2);

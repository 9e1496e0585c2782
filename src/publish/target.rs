//! One target, whatever its kind.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};

use super::{
    board::Board,
    directory::Directory,
    error::PublishError,
    object::{Change, Condition, Found, Name, Object, Standing, Version},
    plan::{Duty, Job, Refusal, TurnReport, Versions},
    progress::Progress,
    s3::{Bucket, SharedCredentialsProvider},
    turn::{Answer, Request, Turn},
};
use crate::{
    clock,
    config::settings::{self, Target},
    oidc::{Ledger, Snapshot, Time},
};

/// Publishes snapshots to one target.
#[derive(Debug)]
pub struct Publisher {
    place: Place,
    duty: Arc<Duty>,
    left: Option<Versions>,
    offered: Option<Time>,
    /// Whether the target heeds conditions; `None` before that was tried.
    heeds_conditions: Option<bool>,
    pub(super) progress: watch::Sender<Arc<Progress>>,
    pub(super) published: watch::Sender<Option<Arc<Snapshot>>>,
}

#[derive(Clone, Debug)]
enum Place {
    Bucket(Box<Bucket>),
    Directory(Directory),
}

/// What publishing came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was written, in this order; nothing when all was as it should be.
    pub changes: Vec<Change>,
    /// What else was found out.
    pub report: TurnReport,
    /// What is published now: the keys of all publishers.
    pub published: Arc<Snapshot>,
    /// Whether the target takes a write whatever its condition says.
    pub ignores_conditions: bool,
}

impl Publisher {
    /// Makes ready to publish for `mirror` under the name `publisher`; nothing is read or written
    /// yet.
    ///
    /// # Errors
    ///
    /// A CA file that cannot be used, or no region.
    pub async fn open(
        target: &Target,
        mirror: &settings::Mirror,
        publisher: &str,
    ) -> Result<Self, PublishError> {
        Self::open_with(target, mirror, publisher, None).await
    }

    /// As [`open`](Self::open), with `credentials` for a bucket instead of those that profile,
    /// environment or instance give.
    ///
    /// # Errors
    ///
    /// A CA file that cannot be used, or no region.
    pub async fn open_with(
        target: &Target,
        mirror: &settings::Mirror,
        publisher: &str,
        credentials: Option<SharedCredentialsProvider>,
    ) -> Result<Self, PublishError> {
        let place = match target {
            Target::Directory(root) => Place::Directory(Directory::new(root.clone())),
            Target::S3(target) => {
                Place::Bucket(Box::pin(Bucket::open(target, credentials)).await?.into())
            }
        };
        let keeps_metadata = matches!(place, Place::Bucket(_));
        let duty = Duty {
            publisher: publisher.to_owned(),
            issuer: mirror.issuer.clone(),
            members: mirror.discovery_members.clone(),
            metadata: keeps_metadata.then(|| mirror.metadata.clone()),
            policy: mirror.keys.policy.clone(),
            upkeep: mirror.upkeep,
        };
        Ok(Self {
            place,
            duty: Arc::new(duty),
            left: None,
            offered: None,
            heeds_conditions: None,
            progress: watch::Sender::new(Arc::new(Progress::new(&mirror.name, target))),
            published: watch::Sender::new(None),
        })
    }

    /// The channel on which the progress appears.
    pub fn progress(&self) -> watch::Receiver<Arc<Progress>> {
        self.progress.subscribe()
    }

    /// The channel on which appears what the target was last found, or made, to hold: the keys of
    /// all publishers.
    pub fn published(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.published.subscribe()
    }

    pub(super) fn reconcile_interval(&self) -> Duration {
        self.duty.upkeep.reconcile_interval
    }

    /// Makes the target hold what `snapshot` and the other publishers say, and tells what that
    /// changed: nothing when it held it.
    ///
    /// # Errors
    ///
    /// The first failure. The keys may then be newer than the discovery document, never older.
    pub async fn publish(&mut self, snapshot: &Arc<Snapshot>) -> Result<Outcome, PublishError> {
        let mut turn = self.turn(snapshot);
        if self.heeds_conditions == Some(false) {
            turn.confirm();
        }
        while let Some(request) = turn.request() {
            let answer = self.place.perform(&request).await?;
            if let (Request::Write(name, object, _), Answer::Written(_), None) =
                (&request, &answer, self.heeds_conditions)
            {
                let heeds = self.place.heeds_conditions(*name, object).await?;
                self.heeds_conditions = Some(heeds);
                if !heeds {
                    turn.confirm();
                }
            }
            self.offered = self.offered.max(Some(snapshot.ledger.as_of));
            if answer == Answer::Conflict {
                self.wait_for_others(turn.conflicts()).await?;
            }
            self.go_on(&mut turn, answer)?;
        }
        let Some((changes, plan, left)) = turn.finish() else {
            unreachable!("a turn without further request is over")
        };
        self.left = Some(left);
        Ok(Outcome {
            changes,
            report: plan.report,
            published: plan.published,
            ignores_conditions: self.heeds_conditions == Some(false),
        })
    }

    /// What [`publish`](Self::publish) would change.
    ///
    /// # Errors
    ///
    /// When the target cannot be read, or `snapshot` must not be published over what it holds.
    pub async fn compare(&self, snapshot: &Arc<Snapshot>) -> Result<Vec<Change>, PublishError> {
        let mut turn = self.turn(snapshot);
        loop {
            if let Some(plan) = turn.planned() {
                return Ok(plan.changes.clone());
            }
            let Some(request) = turn.request() else {
                return Ok(Vec::new());
            };
            let answer = self.place.perform(&request).await?;
            self.go_on(&mut turn, answer)?;
        }
    }

    /// What each publisher to the target knows of its keys.
    ///
    /// # Errors
    ///
    /// When the state cannot be read.
    pub async fn ledgers(&self) -> Result<BTreeMap<String, Ledger>, PublishError> {
        match self.place.read(Name::State).await?.standing {
            Standing::Missing => Ok(BTreeMap::new()),
            Standing::Unreadable => Err(self.refused(Refusal::Denied(Name::State))),
            Standing::Present(object) => match Board::parse(&object.body) {
                Ok(board) => Ok(board.into_ledgers()),
                Err(unusable) => Err(self.refused(unusable.into())),
            },
        }
    }

    fn turn(&self, snapshot: &Arc<Snapshot>) -> Turn {
        Turn::new(Job {
            duty: Arc::clone(&self.duty),
            snapshot: Arc::clone(snapshot),
            now: clock::now(),
            left: self.left.clone(),
            offered: self.offered,
        })
    }

    fn go_on(&self, turn: &mut Turn, answer: Answer) -> Result<(), PublishError> {
        turn.answer(answer).map_err(|refusal| self.refused(refusal))
    }

    fn refused(&self, source: Refusal) -> PublishError {
        PublishError::Refused {
            target: self.to_string(),
            source,
        }
    }

    /// Lets the others finish, the longer the more often they were faster.
    async fn wait_for_others(&self, conflicts: u32) -> Result<(), PublishError> {
        if conflicts >= MAX_CONFLICTS {
            return Err(PublishError::Contended {
                target: self.to_string(),
                tries: conflicts,
            });
        }
        let longest = CONFLICT_PAUSE * 2_u32.pow(conflicts.min(5));
        sleep(longest.mul_f64(fastrand::f64())).await;
        Ok(())
    }
}

impl Place {
    async fn perform(&self, request: &Request) -> Result<Answer, PublishError> {
        match request {
            Request::Read(name) => self.read(*name).await.map(Answer::Found),
            Request::Write(name, object, condition) => {
                let written = self.write(*name, object, condition).await?;
                Ok(written.map_or(Answer::Conflict, Answer::Written))
            }
        }
    }

    async fn read(&self, name: Name) -> Result<Found, PublishError> {
        match self {
            Self::Bucket(bucket) => bucket.read(name).await,
            Self::Directory(directory) => directory.read(name).await,
        }
    }

    async fn write(
        &self,
        name: Name,
        object: &Object,
        condition: &Condition,
    ) -> Result<Option<Version>, PublishError> {
        match self {
            Self::Bucket(bucket) => bucket.write(name, object, condition).await,
            Self::Directory(directory) => directory.write(name, object, condition).await,
        }
    }

    /// Tries a write that must not happen: of what was just written, so that nothing is lost where
    /// it does.
    async fn heeds_conditions(&self, name: Name, object: &Object) -> Result<bool, PublishError> {
        match self {
            Self::Bucket(bucket) => {
                let impossible = Condition::IfVersion(NO_VERSION.to_owned());
                Ok(bucket.write(name, object, &impossible).await?.is_none())
            }
            Self::Directory(_) => Ok(true),
        }
    }
}

/// The URL of the target.
impl fmt::Display for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Bucket(bucket) => f.write_str(&bucket.url()),
            Place::Directory(directory) => write!(f, "file://{}", directory.root().display()),
        }
    }
}

/// An ETag that no object has.
const NO_VERSION: &str = "\"00000000000000000000000000000000\"";
/// A publisher that lost so often gives way until its next turn.
const MAX_CONFLICTS: u32 = 20;
const CONFLICT_PAUSE: Duration = Duration::from_millis(20);

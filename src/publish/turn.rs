//! One turn of one publisher at one target: reads, then writes, each only while nothing else has
//! changed meanwhile; whoever comes second reads again.
//!
//! Pure: it says what to do next and is told what came of it, so that every interleaving of
//! several publishers, with crashes between any two steps, can be tried out without a store.

use super::{
    object::{Change, Condition, Found, Name, Object, Standing, Version},
    plan::{Job, Plan, Reads, Refusal, Versions},
};

/// What a turn wants done at the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Read(Name),
    Write(Name, Object, Condition),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Found(Found),
    Written(Version),
    /// The condition does not hold: another publisher was faster.
    Conflict,
}

/// One turn under way.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) job: Job,
    /// Whether what was written has to be read again, since the target may not heed conditions.
    confirms: bool,
    pub(super) found: Vec<Found>,
    pub(super) plan: Option<Plan>,
    /// How many changes of the plan are carried out.
    pub(super) written: usize,
    /// What was written in all, over all tries.
    changes: Vec<Change>,
    versions: Versions,
    conflicts: u32,
}

impl Turn {
    pub(super) fn new(job: Job) -> Self {
        Self {
            job,
            confirms: false,
            found: Vec::new(),
            plan: None,
            written: 0,
            changes: Vec::new(),
            versions: Versions::default(),
            conflicts: 0,
        }
    }

    /// Reads again whatever is written from now on.
    pub(super) fn confirm(&mut self) {
        self.confirms = true;
    }

    /// What to do next; `None` when the turn is over.
    pub(super) fn request(&self) -> Option<Request> {
        let Some(plan) = &self.plan else {
            return READS.get(self.found.len()).copied().map(Request::Read);
        };
        let change = plan.changes.get(self.written)?;
        let condition = self.found_of(change.name)?.unchanged();
        Some(Request::Write(
            change.name,
            change.wanted.clone(),
            condition,
        ))
    }

    /// Goes on after the answer to the present request.
    pub(super) fn answer(&mut self, answer: Answer) -> Result<(), Refusal> {
        match answer {
            Answer::Found(found) => self.read(found),
            Answer::Written(version) => {
                self.write(version);
                Ok(())
            }
            Answer::Conflict => self.conflict(),
        }
    }

    fn read(&mut self, found: Found) -> Result<(), Refusal> {
        self.found.push(found);
        let [jwks, discovery, state] = self.found.as_slice() else {
            return Ok(());
        };
        let reads = Reads {
            jwks: jwks.clone(),
            discovery: discovery.clone(),
            state: state.clone(),
        };
        let unread =
            |name| self.found_of(name).map(|it| &it.standing) == Some(&Standing::Unreadable);
        let wrote = |name| self.changes.iter().any(|change| change.name == name);
        if let Some(denied) = READS.into_iter().find(|name| unread(*name) && wrote(*name)) {
            return Err(Refusal::Denied(denied));
        }
        self.versions = Versions {
            state: reads.state.version.clone(),
            jwks: reads.jwks.version.clone(),
            discovery: reads.discovery.version.clone(),
        };
        self.plan = Some(self.job.plan(&reads)?);
        Ok(())
    }

    fn write(&mut self, version: Version) {
        let Some(change) = self
            .plan
            .as_ref()
            .and_then(|it| it.changes.get(self.written))
        else {
            return;
        };
        let slot = match change.name {
            Name::State => &mut self.versions.state,
            Name::Jwks => &mut self.versions.jwks,
            Name::Discovery => &mut self.versions.discovery,
        };
        *slot = Some(version);
        // Whether it really was missing shows when it is read again.
        self.confirms |= change.found == Standing::Unreadable;
        self.changes.push(change.clone());
        self.written += 1;
        let is_last = self
            .plan
            .as_ref()
            .is_some_and(|it| it.changes.len() == self.written);
        if is_last && self.confirms {
            self.restart();
        }
    }

    fn conflict(&mut self) -> Result<(), Refusal> {
        let change = self
            .plan
            .as_ref()
            .and_then(|it| it.changes.get(self.written));
        if let Some(change) = change
            && change.found == Standing::Unreadable
        {
            return Err(Refusal::Denied(change.name));
        }
        self.conflicts += 1;
        self.restart();
        Ok(())
    }

    fn restart(&mut self) {
        self.found.clear();
        self.plan = None;
        self.written = 0;
    }

    fn found_of(&self, name: Name) -> Option<&Found> {
        let at = READS.iter().position(|it| *it == name)?;
        self.found.get(at)
    }

    /// How often another publisher was faster.
    pub(super) fn conflicts(&self) -> u32 {
        self.conflicts
    }

    /// What there is to write, once everything is read.
    pub(super) fn planned(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// What was written and what the turn came to; `None` while it is under way.
    pub(super) fn finish(self) -> Option<(Vec<Change>, Plan, Versions)> {
        Some((self.changes, self.plan?, self.versions))
    }
}

/// The order of reading. The state is last: see [`Reads`].
const READS: [Name; 3] = [Name::Jwks, Name::Discovery, Name::State];

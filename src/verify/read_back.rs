//! Reads the documents back through the public issuer, again and again: a change is public only
//! when a relying party reads it.

use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};

use futures_util::future::select_all;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tracing::{debug, info, warn};

use super::{NotPublic, RelyingParty, public::content};
use crate::{
    Trouble,
    alarm::{Alarm, Change},
    backoff, clock,
    config::settings,
    oidc::{Kid, Snapshot, Time},
};

/// What some place gives out; `None` while it gives nothing out.
type GivenOut = watch::Receiver<Option<Arc<Snapshot>>>;

/// Reads back what one mirror gives out.
#[derive(Debug)]
pub struct ReadBack {
    mirror: String,
    given_out: Vec<GivenOut>,
    public: watch::Sender<BTreeSet<Kid>>,
    /// For how long something else may rightly be public.
    patience: Duration,
    /// Time between two looks while nothing changes.
    interval: Duration,
    statuses: watch::Sender<Arc<ReadBackStatus>>,
}

/// How reading back goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadBackStatus {
    /// When the public documents were last those given out.
    pub last_success: Option<Time>,
    /// Why the last look found something else; `None` when it did not.
    pub failure: Option<Trouble>,
    /// Whether the public documents were those given out at the last look.
    pub is_public: bool,
    /// How long the last change took to become public.
    pub took: Option<Duration>,
}

impl ReadBack {
    /// Reads back what `mirror` gives out at any of the places `given_out`, and tells `public`
    /// which keys it finds.
    pub fn new(
        mirror: &settings::Mirror,
        given_out: Vec<GivenOut>,
        public: watch::Sender<BTreeSet<Kid>>,
    ) -> Self {
        Self {
            mirror: mirror.name.clone(),
            given_out,
            public,
            patience: patience(mirror),
            interval: mirror.upkeep.reconcile_interval,
            statuses: watch::Sender::default(),
        }
    }

    /// The channel on which the status appears.
    pub fn statuses(&self) -> watch::Receiver<Arc<ReadBackStatus>> {
        self.statuses.subscribe()
    }

    /// Looks after each change until the documents are public, and from time to time whether they
    /// still are; for ever.
    pub async fn run(mut self, relying_party: RelyingParty) {
        let mut course = Course::default();
        loop {
            course.expect(&self.expected(), Instant::now());
            let pause = if course.expects_nothing() {
                Duration::MAX
            } else {
                self.look(&relying_party, &mut course).await;
                course.pause(self.interval, fastrand::f64())
            };
            self.rest(pause, &course).await;
        }
    }

    async fn look(&mut self, relying_party: &RelyingParty, course: &mut Course) {
        let seen = relying_party.look().await;
        // What was given out meanwhile counts: the answer may already be that.
        let expected = self.expected();
        course.expect(&expected, Instant::now());
        let verdict = match seen {
            Ok(public) => {
                let kids = public.kids();
                self.public.send_if_modified(|known| {
                    let is_news = *known != kids;
                    *known = kids;
                    is_news
                });
                public.compare(&expected)
            }
            Err(error) => Err(error.into()),
        };
        let news = course.note(verdict.as_ref().err(), self.patience, Instant::now());
        self.log(news, verdict.as_ref().err(), &expected);
        self.tell(course, verdict.as_ref().err());
    }

    fn log(&self, news: Option<News>, trouble: Option<&NotPublic>, expected: &[Arc<Snapshot>]) {
        let mirror = &self.mirror;
        let keys = expected.first().map_or(0, |snapshot| snapshot.keys.len());
        match (news, trouble) {
            (Some(News::Trouble), Some(error)) => {
                let reason = error.reason();
                warn!(mirror, reason, %error, "relying parties do not read what is given out");
            }
            (Some(News::Over), _) => {
                info!(mirror, keys, "relying parties read what is given out again");
            }
            (Some(News::Public { took }), _) => info!(mirror, keys, ?took, "public"),
            (_, Some(error)) => debug!(mirror, reason = error.reason(), %error, "not public yet"),
            (_, None) => {}
        }
    }

    fn tell(&self, course: &Course, trouble: Option<&NotPublic>) {
        let now = clock::now();
        let before = Arc::clone(&self.statuses.borrow());
        let failure = trouble
            .map(|it| Trouble::after(before.failure.as_ref(), it.reason(), it.to_string(), now));
        self.statuses.send_replace(Arc::new(ReadBackStatus {
            last_success: match trouble {
                None => Some(now),
                Some(_) => before.last_success,
            },
            failure,
            is_public: trouble.is_none(),
            took: course.took,
        }));
    }

    /// Waits for `pause`, or until something else is given out.
    async fn rest(&mut self, pause: Duration, course: &Course) {
        let mut end = pin!(sleep(pause));
        loop {
            tokio::select! {
                () = &mut end => return,
                () = any_changed(&mut self.given_out) => {
                    if !look_the_same(&self.expected(), &course.expected) {
                        return;
                    }
                }
            }
        }
    }

    fn expected(&mut self) -> Vec<Arc<Snapshot>> {
        let newest = self.given_out.iter_mut();
        newest
            .filter_map(|it| it.borrow_and_update().clone())
            .collect()
    }
}

/// For how long something else may rightly be public: what a cache keeps, and what another
/// publisher to the same target wrote, which is learnt when the target is next compared.
fn patience(mirror: &settings::Mirror) -> Duration {
    let others = match mirror.targets.as_slice() {
        [] => Duration::ZERO,
        _ => mirror.upkeep.reconcile_interval,
    };
    mirror.metadata.max_age() + others + CACHE_SLACK
}

/// Waits until one of `places` gives something out; forgets those that are gone.
async fn any_changed(places: &mut Vec<GivenOut>) {
    while !places.is_empty() {
        let waits = places.iter_mut().map(|it| Box::pin(it.changed()));
        let (changed, place, _) = select_all(waits).await;
        match changed {
            Ok(()) => return,
            Err(_) => drop(places.remove(place)),
        }
    }
    std::future::pending::<()>().await;
}

/// Whether relying parties see the same in both.
fn look_the_same(some: &[Arc<Snapshot>], others: &[Arc<Snapshot>]) -> bool {
    let pairs = || some.iter().zip(others);
    some.len() == others.len() && pairs().all(|(one, other)| content(one) == content(other))
}

/// How it went so far: when to look again, and what is worth a line in the log. It is told the
/// time.
#[derive(Debug, Default)]
struct Course {
    /// What is given out.
    expected: Vec<Arc<Snapshot>>,
    /// When the documents changed that nobody has read yet.
    awaited_since: Option<Instant>,
    differing_since: Option<Instant>,
    failing_since: Option<Instant>,
    /// Looks in a row that did not find what was given out.
    misses: u32,
    trouble: Alarm,
    /// How long the last change took to become public.
    took: Option<Duration>,
}

/// What is worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// The trouble is over.
    Over,
    /// A change is public.
    Public {
        /// How long that took.
        took: Duration,
    },
    /// Relying parties do not read what they should.
    Trouble,
}

impl Course {
    /// Notes what is given out now.
    fn expect(&mut self, given_out: &[Arc<Snapshot>], now: Instant) {
        if !look_the_same(given_out, &self.expected) {
            self.expected = given_out.to_vec();
            self.awaited_since = Some(now);
            self.differing_since = None;
            self.misses = 0;
        }
    }

    fn expects_nothing(&self) -> bool {
        self.expected.is_empty()
    }

    /// Notes what a look found.
    fn note(
        &mut self,
        trouble: Option<&NotPublic>,
        patience: Duration,
        now: Instant,
    ) -> Option<News> {
        let Some(trouble) = trouble else {
            (self.differing_since, self.failing_since) = (None, None);
            self.misses = 0;
            let awaited = self.awaited_since.take();
            let took = awaited.map(|since| now.duration_since(since));
            self.took = took.or(self.took);
            return match self.trouble.set(false) {
                Some(Change::Ended) => Some(News::Over),
                _ => took.map(|took| News::Public { took }),
            };
        };
        self.misses = self.misses.saturating_add(1);
        let (since, patience) = if trouble.may_be_a_cache() {
            self.failing_since = None;
            (self.differing_since.get_or_insert(now), patience)
        } else {
            (self.failing_since.get_or_insert(now), FAILURE_PATIENCE)
        };
        let is_overdue = now.duration_since(*since) >= patience;
        let change = is_overdue.then(|| self.trouble.set(true))?;
        (change == Some(Change::Started)).then_some(News::Trouble)
    }

    /// How long to wait before the next look: `interval` while all is well.
    fn pause(&self, interval: Duration, random: f64) -> Duration {
        match self.misses {
            0 => backoff::pause(0, interval, random),
            misses => backoff::pause(misses, LONGEST_PAUSE, random),
        }
    }
}

/// Time beyond the age that caches may reach, for those that are late.
const CACHE_SLACK: Duration = Duration::from_secs(60);
/// How long documents may be unreadable before that is worth a warning: a load balancer may take
/// its time to notice that somebody serves.
const FAILURE_PATIENCE: Duration = Duration::from_secs(10);
/// The longest time between two looks while the documents are not public.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
#[path = "tests/read_back.rs"]
mod tests;

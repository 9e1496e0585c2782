//! One round: what the upstreams say now, applied to what is known.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{Event, Ledger, Policy, Record, State, Upstream};
use crate::oidc::{Key, KeySet, Kid, Reject, Time};

/// One result per source, in the order configured.
pub type Round = [Listing];

/// What one source says in one round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The URL of the upstream, or the path of the file.
    pub source: String,
    /// Whether it is a file of the operator's, whose keys need no further admission.
    pub is_file: bool,
    /// The keys that it lists; `None` when it did not answer well.
    pub keys: Option<KeySet>,
}

impl Ledger {
    /// The ledger after `round`, and what changed.
    ///
    /// # Errors
    ///
    /// [`Reject`] when the upstreams contradict each other or what tokens may still need. The
    /// ledger then stays as it is: an answer that cannot be believed must not replace one that was.
    pub fn step(
        &self,
        round: &Round,
        policy: &Policy,
        now: Time,
    ) -> Result<(Self, Vec<Event>), Reject> {
        let upstreams = self.upstreams_after(round, now);
        let was_complete = !round.is_empty() && round.iter().all(|it| it.keys.is_some());
        let known: HashMap<_, _> = self.keys.iter().map(|it| (it.key.kid(), it)).collect();
        let mut listed = listed(round, policy)?;
        // Another key has taken the kid of a revoked one, and stays.
        let is_replaced = |key: &Key| {
            let present = known.get(key.kid());
            policy.revokes(key)
                && present.is_some_and(|it| {
                    it.key != *key && it.is_published() && !policy.revokes(&it.key)
                })
        };
        listed.retain(|(key, _)| !is_replaced(key));
        let silent_files = round.iter().zip(&upstreams);
        let silent_files = silent_files
            .filter(|(listing, _)| listing.is_file && listing.keys.is_none())
            .map(|(_, upstream)| upstream);
        let step = Step {
            policy,
            now,
            elapsed: now.since(self.as_of).min(policy.longest_gap()),
            is_complete: was_complete,
            early: !self.is_settled,
            listed: listed.iter().map(|(key, by)| (key.kid(), by)).collect(),
            vouched: silent_files.flat_map(|it| &it.kids).collect(),
        };
        let mut keys = Vec::with_capacity(self.keys.len() + listed.len());
        for (key, seen_by) in &listed {
            let known = known.get(key.kid()).copied();
            keys.push(step.list(key, seen_by, known)?);
        }
        let absent = self.keys.iter().filter(|it| !step.lists(&it.key));
        keys.extend(absent.filter_map(|record| step.miss(record)));
        sort(&mut keys, &upstreams);
        forget(&mut keys, now);

        let answered = round.iter().any(|it| !it.is_file && it.keys.is_some());
        let mut after = Self {
            as_of: now,
            is_settled: self.is_settled,
            last_answer: answered.then_some(now).or(self.last_answer),
            upstreams,
            was_complete,
            keys,
            revoked: policy.revoked.clone(),
        };
        after.is_settled |= after.is_complete();
        // There may be no more keys than relying parties read.
        after.published()?;
        let events = after.events_since(self);
        Ok((after, events))
    }

    /// The ledger once `policy` is applied to what is known, between two rounds.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    pub fn decide(&self, policy: &Policy, now: Time) -> Result<(Self, Vec<Event>), Reject> {
        let silent = |upstream: &Upstream| Listing {
            source: upstream.source.clone(),
            is_file: upstream.is_file,
            keys: None,
        };
        let silence: Vec<_> = self.upstreams.iter().map(silent).collect();
        let (mut decided, events) = self.step(&silence, policy, now)?;
        // Nobody was asked, so the time since the last round goes on.
        decided.as_of = self.as_of;
        decided.was_complete = self.was_complete;
        Ok((decided, events))
    }

    fn upstreams_after(&self, round: &Round, now: Time) -> Vec<Upstream> {
        let before = |source: &str| self.upstreams.iter().find(|it| it.source == source);
        let one = |listing: &Listing| match (&listing.keys, before(&listing.source)) {
            (Some(keys), _) => Upstream {
                source: listing.source.clone(),
                is_file: listing.is_file,
                last_answer: Some(now),
                kids: keys.keys().iter().map(Key::kid).cloned().collect(),
            },
            (None, Some(before)) => before.clone(),
            (None, None) => Upstream {
                source: listing.source.clone(),
                is_file: listing.is_file,
                last_answer: None,
                kids: Vec::new(),
            },
        };
        round.iter().map(one).collect()
    }
}

/// The sources of a key.
#[derive(Debug, Default)]
pub(super) struct SeenBy<'a> {
    /// With their places in the round.
    sources: Vec<(usize, &'a str)>,
    in_file: bool,
}

/// What is listed, and by whom: API servers mostly list the same, which is then looked at once.
type Groups<'a> = Vec<(&'a KeySet, Vec<(usize, &'a Listing)>)>;

fn groups(round: &Round) -> Groups<'_> {
    let mut groups = Groups::new();
    for (at, listing) in round.iter().enumerate() {
        let Some(keys) = &listing.keys else { continue };
        match groups.iter_mut().find(|(other, _)| *other == keys) {
            Some((_, listings)) => listings.push((at, listing)),
            None => groups.push((keys, vec![(at, listing)])),
        }
    }
    groups
}

/// The keys that `round` lists, in its order, and who lists each; revoked ones stand behind.
fn listed<'a>(round: &'a Round, policy: &Policy) -> Result<Vec<(Key, SeenBy<'a>)>, Reject> {
    // What is revoked speaks only for itself, not for another key that has taken its kid.
    let most = round
        .iter()
        .filter_map(|it| it.keys.as_ref())
        .map(KeySet::len);
    let most = most.max().unwrap_or_default();
    let mut seen = HashMap::<(&Kid, bool), SeenBy<'a>>::with_capacity(most);
    let (mut sound, mut revoked) = (Vec::new(), Vec::<&Key>::new());
    for (keys, listings) in groups(round) {
        for key in keys.keys() {
            let is_revoked = policy.revokes(key);
            let seen_by = seen.entry((key.kid(), is_revoked)).or_default();
            let sources = listings.iter().map(|(at, it)| (*at, it.source.as_str()));
            seen_by.sources.extend(sources);
            seen_by.in_file |= listings.iter().any(|(_, it)| it.is_file);
            if is_revoked {
                revoked.push(key);
            } else {
                sound.push(key.clone());
            }
        }
    }
    for seen_by in seen.values_mut() {
        seen_by.sources.sort_unstable();
    }
    let sound = KeySet::of(sound)?;
    let mut listed: Vec<_> = sound
        .keys()
        .iter()
        .filter_map(|key| Some((key.clone(), seen.remove(&(key.kid(), false))?)))
        .collect();
    // A revoked key is no contradiction to one that has taken its kid, which counts.
    let revoked = revoked
        .into_iter()
        .filter(|key| sound.find(key.kid()).is_none());
    listed.extend(revoked.filter_map(|key| Some((key.clone(), seen.remove(&(key.kid(), true))?))));
    Ok(listed)
}

/// What a round means for one key.
pub(super) struct Step<'a> {
    pub(super) policy: &'a Policy,
    pub(super) now: Time,
    /// The time since the last round, as far as it is believed.
    pub(super) elapsed: Duration,
    pub(super) is_complete: bool,
    /// Whether some upstream has never answered, so that no key is new yet.
    pub(super) early: bool,
    pub(super) listed: HashMap<&'a Kid, &'a SeenBy<'a>>,
    /// What the operator's files listed that cannot be read now.
    pub(super) vouched: HashSet<&'a Kid>,
}

impl Step<'_> {
    fn lists(&self, key: &Key) -> bool {
        self.listed.contains_key(key.kid())
    }

    /// A key that a source lists.
    fn list(&self, key: &Key, by: &SeenBy<'_>, known: Option<&Record>) -> Result<Record, Reject> {
        let known = match known {
            Some(known) if known.key == *key => Some(known),
            Some(known) if known.is_published() && !self.policy.revokes(&known.key) => {
                return Err(Reject::KidReused {
                    kid: key.kid().clone(),
                    thumbprint: known.key.thumbprint(),
                });
            }
            Some(_) | None => None,
        };
        let mut record = known.cloned().unwrap_or_else(|| Record {
            key: key.clone(),
            state: State::Held,
            since: self.now,
            absent_for: Duration::ZERO,
            first_seen: self.now,
            last_seen: self.now,
            seen_by: Arc::default(),
            published_since: None,
            public_since: None,
        });
        record.last_seen = self.now;
        let sources = || by.sources.iter().map(|(_, source)| *source);
        if !sources().eq(record.seen_by.iter()) {
            record.seen_by = Arc::new(sources().map(str::to_owned).collect());
        }
        let state = if self.policy.revokes(key) {
            State::Revoked
        } else if self.admits(key, by, known) {
            State::Active
        } else {
            State::Held
        };
        record.enter(state, self.now);
        Ok(record)
    }

    fn admits(&self, key: &Key, by: &SeenBy<'_>, known: Option<&Record>) -> bool {
        use super::Admission::Pinned;
        // What was published before is not new; but pins are for all.
        let was_admitted = self.policy.admission != Pinned
            && known.is_some_and(|it| it.published_since.is_some() && it.state != State::Revoked);
        let is_vouched_for = known.is_some_and(|it| self.vouches(it));
        by.in_file || was_admitted || is_vouched_for || self.policy.admits(key, self.early)
    }

    /// Whether a file that cannot be read now keeps this key where it stands.
    pub(super) fn vouches(&self, record: &Record) -> bool {
        record.is_published() && self.vouched.contains(record.key.kid())
    }

    /// A key that no source of this round lists; `None` when it is forgotten.
    pub(super) fn miss(&self, record: &Record) -> Option<Record> {
        let mut record = record.clone();
        match record.state {
            _ if self.policy.revokes(&record.key) => record.enter(State::Revoked, self.now),
            _ if self.policy.unpins(&record.key) && !self.vouches(&record) => return None,
            _ if !self.is_complete => {}
            State::Active => record.enter(State::Retiring, self.now),
            State::Retiring => {
                // What is stored may be any time.
                record.absent_for = record.absent_for.saturating_add(self.elapsed);
                if record.absent_for >= self.policy.retain_keys {
                    record.enter(State::Retired, self.now);
                }
            }
            State::Retired => {}
            // Never published, or not revoked any more: nothing of it is needed.
            State::Held | State::Revoked => return None,
        }
        Some(record)
    }
}

/// Puts the keys that upstreams list, by what each last said, in their order; the others stay as
/// they are, behind those.
pub(super) fn sort(keys: &mut [Record], upstreams: &[Upstream]) {
    let mut ranks = HashMap::with_capacity(keys.len());
    let mut before: &[Kid] = &[];
    for upstream in upstreams {
        // What the one before said gives no new ranks.
        if upstream.kids != before {
            for kid in &upstream.kids {
                let rank = ranks.len();
                ranks.entry(kid).or_insert(rank);
            }
            before = &upstream.kids;
        }
    }
    keys.sort_by_cached_key(|record| {
        let is_gone = matches!(record.state, State::Retiring | State::Retired);
        let rank = ranks.get(record.key.kid()).copied();
        (is_gone, rank.unwrap_or(usize::MAX))
    });
}

/// Forgets what went long ago, and the oldest of too many.
pub(super) fn forget(keys: &mut Vec<Record>, now: Time) {
    keys.retain(|it| it.state != State::Retired || now.since(it.since) < RETIRED_KEPT);
    let mut retired: Vec<_> = keys
        .iter()
        .filter(|it| it.state == State::Retired)
        .map(|it| it.since)
        .collect();
    if let Some(surplus) = retired.len().checked_sub(MAX_RETIRED).filter(|it| *it > 0) {
        retired.sort_unstable();
        let oldest_kept = retired[surplus];
        keys.retain(|it| it.state != State::Retired || it.since >= oldest_kept);
    }
}

/// How long a retired key is remembered, for the operator.
const RETIRED_KEPT: Duration = Duration::from_hours(30 * 24);
/// As many retired keys as are remembered.
const MAX_RETIRED: usize = 100;

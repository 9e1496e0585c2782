//! Every interleaving of two publishers and many of five, with crashes between any two steps and
//! answers that are lost after the write has happened.
//!
//! Held after every step: a key that a publisher has acknowledged is never missing while that
//! publisher counts on it, and no discovery document is newer than the keys. Held at the end: all
//! agree, and have nothing left to do.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    sync::Arc,
};

use proptest::prelude::*;

use super::{
    super::{object::*, plan::*, turn::*},
    sample::*,
};
use crate::oidc::{KeySet, Kid, Ledger, Record, Snapshot};

/// A target whose conditional writes are atomic, or are not heeded.
#[derive(Clone, Default)]
struct Store {
    objects: BTreeMap<Name, (Object, Version)>,
    /// The kids in the JWKS.
    published: BTreeSet<String>,
    heeds_nothing: bool,
}

impl Store {
    fn perform(&mut self, request: &Request) -> Answer {
        match request {
            Request::Read(name) => Answer::Found(match self.objects.get(name) {
                None => Found {
                    standing: Standing::Missing,
                    version: None,
                },
                Some((object, version)) => Found {
                    standing: Standing::Present(object.clone()),
                    version: Some(version.clone()),
                },
            }),
            Request::Write(name, object, condition) => {
                let present = self.objects.get(name).map(|(_, version)| version);
                let holds = match condition {
                    Condition::IfMissing => present.is_none(),
                    Condition::IfVersion(version) => present == Some(version),
                };
                if !holds && !self.heeds_nothing {
                    return Answer::Conflict;
                }
                let version = digest(object);
                if *name == Name::Jwks {
                    self.published = kids_in(object);
                }
                self.objects
                    .insert(*name, (object.clone(), version.clone()));
                Answer::Written(version)
            }
        }
    }
}

/// Equal for equal content, as an ETag of S3 is.
fn digest(object: &Object) -> Version {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &object.body);
    format!("{digest:?}")
}

fn kids_in(jwks: &Object) -> BTreeSet<String> {
    let (keys, _) = KeySet::parse(&jwks.body).unwrap();
    keys.keys()
        .iter()
        .map(|key| key.kid().as_str().to_owned())
        .collect()
}

/// One process: its rounds in their order, and what it is doing.
#[derive(Clone)]
struct Process {
    name: String,
    rounds: Vec<Arc<Snapshot>>,
    round: usize,
    turn: Option<Turn>,
    left: Option<Versions>,
    /// The keys that this process has acknowledged and still counts on.
    owed: BTreeSet<String>,
}

impl Process {
    fn new(name: &str, rounds: Vec<Arc<Snapshot>>) -> Self {
        Self {
            name: name.to_owned(),
            rounds,
            round: 0,
            turn: None,
            left: None,
            owed: BTreeSet::new(),
        }
    }

    fn snapshot(&self) -> &Arc<Snapshot> {
        &self.rounds[self.round]
    }

    fn begin(&mut self, heeds_nothing: bool) {
        let mut turn = Turn::new(Job {
            left: self.left.clone(),
            ..job(&self.name, self.snapshot())
        });
        if heeds_nothing {
            turn.confirm();
        }
        self.turn = Some(turn);
    }

    /// Ends the turn, if it is over, and acknowledges what it published.
    fn settle(&mut self) {
        if self
            .turn
            .as_ref()
            .is_none_or(|turn| turn.request().is_some())
        {
            return;
        }
        let (_, _, left) = self.turn.take().unwrap().finish().unwrap();
        self.left = Some(left);
        let snapshot = Arc::clone(self.snapshot());
        let kids = snapshot
            .keys
            .keys()
            .iter()
            .map(|key| key.kid().as_str().to_owned());
        self.owed.extend(kids);
    }

    fn next_round(&mut self) {
        self.round += 1;
        let gone = |record: &Record| !record.is_published();
        let keys = self.rounds[self.round]
            .ledger
            .keys()
            .iter()
            .filter(|it| gone(it));
        let gone: BTreeSet<_> = keys.map(|it| it.key.kid().as_str().to_owned()).collect();
        self.owed.retain(|kid| !gone.contains(kid));
    }

    /// Ends the process and starts it anew without memory: it knows what the API servers list now,
    /// and what it wrote into the state.
    fn crash(&mut self) {
        (self.turn, self.left) = (None, None);
        let ledger = &self.snapshot().ledger;
        let listed: String = ledger.upstreams[0].kids.iter().map(Kid::as_str).collect();
        let fresh = step(&Ledger::default(), [Some(&listed); 2], "", ledger.as_of);
        self.rounds[self.round] = snapshot_of(fresh);
    }
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The process goes on by one step: begins a turn, or does one request.
    Step(usize),
    /// It does its request and never hears of it.
    Lost(usize),
    Crash(usize),
    NextRound(usize),
}

#[derive(Clone)]
struct World {
    store: Store,
    processes: Vec<Process>,
    /// How many more answers may be lost and processes crash.
    mishaps: u32,
    /// The algorithms of every key that was ever published.
    algorithms: BTreeSet<&'static str>,
}

impl World {
    fn new(processes: Vec<Process>, mishaps: u32) -> Self {
        Self {
            store: Store::default(),
            processes,
            mishaps,
            algorithms: BTreeSet::new(),
        }
    }

    fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for (at, process) in self.processes.iter().enumerate() {
            let is_idle = process.turn.is_none();
            let has_acknowledged = process.left.is_some();
            if !is_idle || !has_acknowledged {
                events.push(Event::Step(at));
            }
            if is_idle && has_acknowledged && process.round + 1 < process.rounds.len() {
                events.push(Event::NextRound(at));
            }
            if !is_idle && self.mishaps > 0 {
                events.push(Event::Crash(at));
                let request = process.turn.as_ref().and_then(Turn::request);
                if matches!(request, Some(Request::Write(..))) {
                    events.push(Event::Lost(at));
                }
            }
        }
        events
    }

    fn happen(&mut self, event: Event) {
        let (Event::Step(at) | Event::Lost(at) | Event::Crash(at) | Event::NextRound(at)) = event;
        let process = &mut self.processes[at];
        match event {
            Event::Step(_) => match &mut process.turn {
                None => process.begin(self.store.heeds_nothing),
                Some(turn) => {
                    let request = turn.request().unwrap();
                    let answer = self.store.perform(&request);
                    turn.answer(answer).unwrap();
                    process.settle();
                    self.check(&request);
                }
            },
            Event::Lost(_) => {
                let request = process.turn.take().unwrap().request().unwrap();
                _ = self.store.perform(&request);
                self.mishaps -= 1;
                self.check(&request);
                self.processes[at].begin(self.store.heeds_nothing);
            }
            Event::Crash(_) => {
                process.crash();
                self.mishaps -= 1;
            }
            Event::NextRound(_) => {
                process.next_round();
                process.begin(self.store.heeds_nothing);
            }
        }
        if !self.store.heeds_nothing {
            self.check_owed(event);
        }
    }

    fn check_owed(&self, event: Event) {
        let published = &self.store.published;
        for process in &self.processes {
            let lost: Vec<_> = process.owed.difference(published).collect();
            assert!(
                lost.is_empty(),
                "{event:?}: {} misses {lost:?}",
                process.name
            );
        }
    }

    /// Holds that a discovery document names no algorithm whose keys were not published before.
    fn check(&mut self, request: &Request) {
        let Request::Write(name, object, _) = request else {
            return;
        };
        match name {
            Name::State => {}
            Name::Jwks => {
                let (keys, _) = KeySet::parse(&object.body).unwrap();
                let algorithms = keys.keys().iter().map(|key| key.algorithm().as_str());
                self.algorithms.extend(algorithms);
            }
            Name::Discovery => {
                let document: serde_json::Value = serde_json::from_slice(&object.body).unwrap();
                let named = document["id_token_signing_alg_values_supported"].as_array();
                for algorithm in named.unwrap() {
                    assert!(self.algorithms.contains(algorithm.as_str().unwrap()));
                }
            }
        }
    }

    /// Lets every process finish undisturbed, and holds that they agree.
    fn converge(mut self) {
        for _ in 0..3 {
            for at in 0..self.processes.len() {
                let process = &mut self.processes[at];
                process.round = process.rounds.len() - 1;
                process.begin(self.store.heeds_nothing);
                while self.processes[at].turn.is_some() {
                    self.happen(Event::Step(at));
                }
            }
        }
        let published = self.store.published.clone();
        let before = self.store.objects.clone();
        for at in 0..self.processes.len() {
            let wanted = &self.processes[at].snapshot().keys;
            for key in wanted.keys() {
                assert!(published.contains(key.kid().as_str()), "{published:?}");
            }
            self.processes[at].begin(self.store.heeds_nothing);
            while self.processes[at].turn.is_some() {
                self.happen(Event::Step(at));
            }
        }
        assert!(self.store.objects == before, "they never come to rest");
    }

    /// What tells one state of the world from another, as far as it matters for the future.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (_, version) in self.store.objects.values() {
            version.hash(&mut hasher);
        }
        self.mishaps.hash(&mut hasher);
        for process in &self.processes {
            process.round.hash(&mut hasher);
            process.snapshot().jwks.etag.hash(&mut hasher);
            process.left.hash(&mut hasher);
            process.owed.hash(&mut hasher);
            process.turn.is_some().hash(&mut hasher);
            if let Some(turn) = &process.turn {
                for found in &turn.found {
                    found.version.hash(&mut hasher);
                }
                (turn.written, turn.plan.is_some()).hash(&mut hasher);
                turn.job.left.hash(&mut hasher);
            }
        }
        hasher.finish()
    }
}

/// Tries every order of events, each state of the world once; says how many there were.
fn explore(world: World) -> usize {
    let mut seen = HashSet::from([world.fingerprint()]);
    let mut open = vec![world];
    while let Some(world) = open.pop() {
        let events = world.events();
        if events.is_empty() {
            world.clone().converge();
        }
        for event in events {
            let mut next = world.clone();
            next.happen(event);
            if seen.insert(next.fingerprint()) {
                open.push(next);
            }
        }
    }
    seen.len()
}

/// A process whose API servers list these keys, one round after the other; what has gone has
/// retired.
fn process(name: &str, rounds: &[&str]) -> Process {
    let mut ledger = Ledger::default();
    let mut now = hours(0);
    let mut snapshots = Vec::new();
    for kids in rounds {
        // Enough rounds for whatever has gone to retire.
        for _ in 0..30 {
            ledger = step(&ledger, [Some(kids); 2], "", now);
            now = now + std::time::Duration::from_hours(1);
        }
        snapshots.push(snapshot_of(ledger.clone()));
    }
    Process::new(name, snapshots)
}

#[test]
fn two_publishers_lose_no_key_in_any_order() {
    let histories: [(&[&str], &[&str], u32); 5] = [
        // A key goes on one while it comes on the other.
        (&["ab", "a"], &["a", "ab"], 0),
        // A key comes on each.
        (&["a", "ab"], &["a", "ac"], 0),
        // A key goes on one, another comes on the other.
        (&["ab", "a"], &["a", "ac"], 0),
        // One replaces its key, the other has only ever seen its own; and something goes wrong.
        (&["a", "b"], &["c"], 1),
        // Both see the same.
        (&["a", "ab", "b"], &["a", "ab"], 0),
    ];
    for (one, other, mishaps) in histories {
        let processes = vec![process("one", one), process("other", other)];
        let states = explore(World::new(processes, mishaps));
        assert!(states > 500, "{states}");
    }
}

#[test]
fn the_explorer_finds_what_a_store_without_conditions_loses() {
    let mut world = World::new(vec![process("one", &["a"]), process("other", &["b"])], 0);
    world.store.heeds_nothing = true;
    // Both read an empty target, and each writes only what it knows.
    let finish = |world: &mut World, at: usize| {
        while world.processes[at].turn.is_some() {
            world.happen(Event::Step(at));
        }
    };
    for at in [0, 1, 0, 1, 0, 1, 0, 1] {
        world.happen(Event::Step(at));
    }
    finish(&mut world, 0);
    let lost = world.clone();
    finish(&mut world, 1);
    let expected = ["a", "b"].map(str::to_owned).into();
    assert_ne!(lost.store.published, expected);
    world.converge();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn five_publishers_lose_no_key(
        histories in prop::collection::vec(
            prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "bc", "cd", "ae"]), 1..4),
            5,
        ),
        choices in prop::collection::vec(any::<prop::sample::Index>(), 400),
        heeds_nothing in prop::bool::weighted(0.2),
    ) {
        let names = ["v", "w", "x", "y", "z"];
        let processes = names.iter().zip(&histories).map(|(name, rounds)| process(name, rounds));
        let mut world = World::new(processes.collect(), 3);
        world.store.heeds_nothing = heeds_nothing;
        for choice in choices {
            let events = world.events();
            if events.is_empty() {
                break;
            }
            world.happen(events[choice.index(events.len())]);
        }
        world.converge();
    }
}

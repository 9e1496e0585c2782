//! The control plane: what each API server lists and signs with at any second, and the tokens that
//! it mints meanwhile.

use std::{array, ops::Range};

use fastrand::Rng;
use oidc_mirror::{
    demo::{KeyError, KeyKind, SigningKey},
    oidc::KeySet,
};

/// Seconds of simulated time since the beginning.
pub(crate) type Second = u32;

pub(crate) const MINUTE: Second = 60;
pub(crate) const HOUR: Second = 60 * MINUTE;
pub(crate) const END: Second = 60 * HOUR;
pub(crate) const SERVERS: usize = 3;
pub(crate) const KEYS: usize = 3;
/// When no API server can be reached.
pub(crate) const OUTAGE: Range<Second> = 10 * HOUR..10 * HOUR + 10 * MINUTE;

/// The key files of an API server; keys are named by their number.
#[derive(Clone, Copy)]
pub(crate) struct Files {
    pub(crate) signs: usize,
    pub(crate) lists: &'static [usize],
}

/// A new key in place of an old one.
pub(crate) struct Rotation {
    pub(crate) name: &'static str,
    pub(crate) steps: [Step; 3],
}

/// New key files, with which the API servers are restarted one after the other.
pub(crate) struct Step {
    pub(crate) at: Second,
    pub(crate) files: Files,
    pub(crate) text: &'static str,
}

pub(crate) static ROTATIONS: [Rotation; 2] = [
    Rotation {
        name: "A hurried rotation",
        steps: [
            step(2, files(0, &[0, 1]), "key 2 is listed"),
            step(4, files(1, &[1, 0]), "key 2 signs"),
            step(6, files(1, &[1]), "key 1 is removed; its tokens live on"),
        ],
    },
    Rotation {
        name: "A rotation by the book",
        steps: [
            step(26, files(1, &[1, 2]), "key 3 is listed"),
            step(28, files(2, &[2, 1]), "key 3 signs"),
            step(
                53,
                files(2, &[2]),
                "key 2 is removed; its tokens have expired",
            ),
        ],
    },
];

const fn step(hour: Second, files: Files, text: &'static str) -> Step {
    let at = hour * HOUR;
    Step { at, files, text }
}

const fn files(signs: usize, lists: &'static [usize]) -> Files {
    Files { signs, lists }
}

const FIRST: Files = files(0, &[0]);

/// From the restart of one API server to that of the next.
const PACE: Second = 20 * MINUTE;
/// How long an API server is down for a restart.
const RESTART: Second = 60;

/// What an API server does for a while.
pub(crate) struct Span {
    pub(crate) time: Range<Second>,
    /// `None` while it is down.
    pub(crate) up: Option<Up>,
}

/// An API server that answers.
pub(crate) struct Up {
    pub(crate) files: Files,
    pub(crate) document: KeySet,
}

/// API servers behind one address, each of which can also be asked by its own.
pub(crate) struct Plane {
    pub(crate) servers: [Vec<Span>; SERVERS],
    keys: Vec<SigningKey>,
}

/// A service-account token.
pub(crate) struct Token {
    pub(crate) key: usize,
    /// From its issue to its expiry, or to the end of the simulation.
    pub(crate) life: Range<Second>,
}

impl Plane {
    pub(crate) fn new(rng: &mut Rng) -> Result<Self, KeyError> {
        let keys = (0..KEYS).map(|_| SigningKey::generate(KeyKind::P256));
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        let delays: [Second; SERVERS] = [0, PACE, 2 * PACE];
        let servers = delays.map(|delay| life(delay, &keys, rng));
        Ok(Self { servers, keys })
    }

    /// What a server lists; `None` while it is down.
    pub(crate) fn answer(&self, server: usize, now: Second) -> Option<KeySet> {
        self.up(server, now).map(|it| it.document.clone())
    }

    /// Which of the keys a document holds.
    pub(crate) fn held(&self, document: &KeySet) -> [bool; KEYS] {
        let has = |kid: &str| document.keys().iter().any(|it| it.kid().as_str() == kid);
        array::from_fn(|key| has(self.keys[key].kid()))
    }

    /// Tokens from whichever server is up, for an hour or for a day.
    pub(crate) fn mint(&self, rng: &mut Rng) -> Vec<Token> {
        let mut tokens = Vec::new();
        for now in (0..END).step_by(MINT_EVERY) {
            let up = (0..SERVERS).filter_map(|server| self.up(server, now));
            let up: Vec<_> = up.collect();
            let lifetime = if rng.bool() { 24 * HOUR } else { HOUR };
            tokens.extend(rng.choice(up).map(|up| Token {
                key: up.files.signs,
                life: now..END.min(now + lifetime),
            }));
        }
        tokens
    }

    fn up(&self, server: usize, now: Second) -> Option<&Up> {
        let spans = &self.servers[server];
        let span = spans.partition_point(|span| span.time.end <= now);
        spans.get(span)?.up.as_ref()
    }
}

/// The life of a server that is restarted `delay` after the first one, and up to a minute more.
fn life(delay: Second, keys: &[SigningKey], rng: &mut Rng) -> Vec<Span> {
    let mut downs = vec![(OUTAGE, None)];
    downs.extend(steps().map(|step| {
        let start = step.at + delay + rng.u32(..MINUTE);
        (start..start + RESTART, Some(step.files))
    }));
    downs.sort_by_key(|(time, _)| time.start);
    let (mut spans, mut files, mut since) = (Vec::new(), FIRST, 0);
    let up = |files| {
        let document = document(files, keys);
        Some(Up { files, document })
    };
    let span = |time, up| Span { time, up };
    for (down, files_after) in downs {
        spans.push(span(since..down.start, up(files)));
        since = down.end;
        files = files_after.unwrap_or(files);
        spans.push(span(down, None));
    }
    spans.push(span(since..END, up(files)));
    spans
}

/// What an API server with these files answers, as a mirror reads it.
fn document(files: Files, keys: &[SigningKey]) -> KeySet {
    let jwks: Vec<_> = files.lists.iter().map(|key| keys[*key].jwk()).collect();
    let document = serde_json::json!({"keys": jwks}).to_string();
    let (document, _) = KeySet::parse(document.as_bytes()).expect("at least one key, all sound");
    document
}

/// The steps of all rotations.
pub(crate) fn steps() -> impl Iterator<Item = &'static Step> {
    ROTATIONS.iter().flat_map(|rotation| &rotation.steps)
}

/// A token every so many seconds.
const MINT_EVERY: usize = 5;

//! What to write: from what stands at a target, what this publisher knows, and what the others do.
//!
//! Pure: it never does I/O. The state comes before the keys, so that every publisher knows a key
//! that is published, and the keys come before the discovery document, so that none is newer than
//! its keys. What is equal is not written.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use http::HeaderValue;
use serde_json::Value;
use thiserror::Error;

use super::{
    board::{Board, Unusable},
    object::{Change, Found, Name, Object, Standing, Version},
};
use crate::{
    Report,
    config::settings::{Metadata, OnDrift, Upkeep},
    oidc::{Issuer, KeySet, Kid, Ledger, Policy, Snapshot, State, Time},
};

/// What a publisher does at one target, whatever it has to publish.
#[derive(Clone, Debug)]
pub(super) struct Duty {
    /// The name of this publisher among those of the target.
    pub(super) publisher: String,
    pub(super) issuer: Issuer,
    pub(super) members: Vec<(String, Value)>,
    /// `None` for targets that keep none.
    pub(super) metadata: Option<Metadata>,
    pub(super) policy: Policy,
    pub(super) upkeep: Upkeep,
}

/// What is known when a turn begins.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) duty: Arc<Duty>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) now: Time,
    /// What the last turn left behind; `None` in the first one of a process.
    pub(super) left: Option<Versions>,
    /// Of when the latest ledger is that this process tried to put there.
    pub(super) offered: Option<Time>,
}

/// The versions of all objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Versions {
    pub(super) state: Option<Version>,
    pub(super) jwks: Option<Version>,
    pub(super) discovery: Option<Version>,
}

/// What was read of all objects. The state was read last: whoever adds a key after that finds the
/// documents changed by us, or we find them changed by him.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reads {
    pub(super) jwks: Found,
    pub(super) discovery: Found,
    pub(super) state: Found,
}

/// What a turn comes to.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// What to write, in this order, each on condition that nothing has changed.
    pub(super) changes: Vec<Change>,
    pub(super) report: TurnReport,
    /// What is published when the plan is carried out.
    pub(super) published: Arc<Snapshot>,
}

/// What a turn found out beside what it wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TurnReport {
    /// The documents that somebody else changed.
    pub drifted: Vec<Name>,
    /// The keys that were published and that no publisher knows.
    pub foreign_keys: Vec<Kid>,
    /// Whether what drifted was left as it is.
    pub left_alone: bool,
    /// The keys that were published before there was a state, and that stay for a while.
    pub adopted: Vec<Kid>,
    /// Whether the state was of no use, or gone although it had been there.
    pub state_lost: bool,
    /// Whether another process publishes under the name of this one.
    pub name_taken: bool,
    /// All publishers to the target.
    pub publishers: BTreeSet<String>,
    /// Publishers that were silent for too long and are counted on no more.
    pub expired: BTreeSet<String>,
}

/// Why nothing may be written now.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The publishers contradict each other.
    #[error("the publishers to it do not agree: {0}")]
    Contradiction(String),
    /// A later release publishes there as well.
    #[error(
        "a later release of oidc-mirror publishes there and its state has the format {0}: upgrade \
         this one"
    )]
    Newer(u32),
    /// The state is not what any publisher wrote.
    #[error("{} is damaged; publishing writes it anew", Name::State)]
    Damaged,
    /// Something is there that may not be read.
    #[error(
        "{0} is there and reading it is denied, so it cannot be known what writing it would \
         destroy: allow reading it (s3:GetObject)"
    )]
    Denied(Name),
    /// It cannot be known whether keys would be taken away.
    #[error(
        "reading {} is denied and an upstream has not answered yet, so keys that it still signs \
         with may be published there; wait for it, allow reading the object, or, when nothing is \
         published yet, allow listing the bucket (s3:ListBucket)",
        Name::Jwks
    )]
    Unread,
}

impl From<Unusable> for Refusal {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Damaged => Self::Damaged,
            Unusable::Newer(version) => Self::Newer(version),
        }
    }
}

impl Job {
    /// What to write now.
    pub(super) fn plan(&self, reads: &Reads) -> Result<Plan, Refusal> {
        let Duty {
            publisher,
            policy,
            upkeep,
            ..
        } = &*self.duty;
        let ledger = &*self.snapshot.ledger;
        if reads.jwks.standing == Standing::Unreadable && !ledger.is_complete() {
            return Err(Refusal::Unread);
        }
        let (mut board, mut report) = read_board(&reads.state.standing)?;
        let past = board.get(publisher).cloned();
        let mut mine = past
            .as_ref()
            .map_or_else(|| ledger.clone(), |past| ledger.absorb(past, policy));
        let unknown = unknown_keys(&reads.jwks.standing, &board, &mine);
        let kids = unknown.keys().iter().map(|key| key.kid().clone()).collect();
        if board.publishers().is_empty() {
            report.state_lost |= self.left.is_some();
            report.adopted = kids;
            mine = mine.adopt(&unknown, self.now);
        } else {
            report.foreign_keys = kids;
        }
        report.expired = board.expire(publisher, self.now, upkeep.publisher_expiry);
        let is_later = |past: &Ledger| self.offered.is_some_and(|offered| past.as_of > offered);
        report.name_taken = past.as_ref().is_some_and(is_later);
        let has_news = past.as_ref().is_none_or(|past| !past.agrees_with(&mine));
        let is_due = past.is_some_and(|past| mine.as_of.since(past.as_of) >= self.heartbeat(&mine));
        let rewrites_state = has_news || is_due || !report.expired.is_empty();
        if rewrites_state {
            board.put(publisher, mine);
        }
        report.publishers = board.publishers();

        let keys = Ledger::merge(board.ledgers())
            .map_err(|reject| Refusal::Contradiction(Report(&reject).to_string()))?
            .unwrap_or_else(|| self.snapshot.keys.clone());
        let published = self.render(keys, board.mark());
        let mut changes = self.changes(reads, rewrites_state.then_some(&board), &published);
        report.drifted = self.drifted(reads, &report.foreign_keys, &changes);
        if !report.drifted.is_empty() && upkeep.on_drift == OnDrift::Report && !has_news {
            report.left_alone = true;
            changes.clear();
        }
        Ok(Plan {
            changes,
            report,
            published,
        })
    }

    /// How long this publisher may be silent.
    fn heartbeat(&self, mine: &Ledger) -> Duration {
        let Duty { policy, upkeep, .. } = &*self.duty;
        let alive = upkeep.publisher_expiry / HEARTBEATS_PER_EXPIRY;
        if mine
            .keys()
            .iter()
            .any(|record| record.state == State::Retiring)
        {
            alive.min(policy.longest_gap())
        } else {
            alive
        }
    }

    fn render(&self, keys: KeySet, mark: u64) -> Arc<Snapshot> {
        let Duty {
            issuer, members, ..
        } = &*self.duty;
        let ledger = Arc::clone(&self.snapshot.ledger);
        Arc::new(Snapshot::render(issuer, keys, members, ledger).marked(mark))
    }

    /// What differs, in the order in which it is to be written.
    fn changes(&self, reads: &Reads, board: Option<&Board>, published: &Snapshot) -> Vec<Change> {
        let metadata = self.duty.metadata.as_ref();
        let object = |body: &Bytes, content_type: &dyn Fn(&Metadata) -> String| Object {
            body: body.clone(),
            content_type: metadata.map(content_type),
            cache_control: metadata.map(|metadata| text(&metadata.cache_control)),
        };
        let state = board.map(|board| Object {
            body: board.render().into(),
            content_type: metadata.map(|_| JSON.to_owned()),
            cache_control: metadata.map(|_| "no-store".to_owned()),
        });
        let jwks = object(&published.jwks.body, &|it| text(&it.jwks_content_type));
        let discovery = object(&published.discovery.body, &|_| JSON.to_owned());
        [
            (Name::State, &reads.state, state),
            (Name::Jwks, &reads.jwks, Some(jwks)),
            (Name::Discovery, &reads.discovery, Some(discovery)),
        ]
        .into_iter()
        .filter_map(|(name, found, wanted)| {
            let (found, wanted) = (found.standing.clone(), wanted?);
            let is_equal = matches!(&found, Standing::Present(present) if *present == wanted);
            (!is_equal).then_some(Change {
                name,
                found,
                wanted,
            })
        })
        .collect()
    }

    /// The documents that are not as any publisher left them.
    fn drifted(&self, reads: &Reads, foreign: &[Kid], changes: &[Change]) -> Vec<Name> {
        let differs = |name| changes.iter().any(|change| change.name == name);
        // While the state is as we left it nobody had a reason to touch the documents.
        let left = self
            .left
            .as_ref()
            .filter(|left| left.state == reads.state.version);
        let touched = |left: Option<&Option<Version>>, found: &Found| {
            left.is_some_and(|left| *left != found.version)
        };
        let jwks = touched(left.map(|it| &it.jwks), &reads.jwks) || !foreign.is_empty();
        let discovery = touched(left.map(|it| &it.discovery), &reads.discovery);
        [(Name::Jwks, jwks), (Name::Discovery, discovery)]
            .into_iter()
            .filter(|(name, drifted)| *drifted && differs(*name))
            .map(|(name, _)| name)
            .collect()
    }
}

fn read_board(state: &Standing) -> Result<(Board, TurnReport), Refusal> {
    let mut report = TurnReport::default();
    let board = match state {
        Standing::Missing | Standing::Unreadable => Board::default(),
        Standing::Present(object) => match Board::parse(&object.body) {
            Ok(board) => board,
            Err(Unusable::Newer(version)) => return Err(Refusal::Newer(version)),
            Err(Unusable::Damaged) => {
                report.state_lost = true;
                Board::default()
            }
        },
    };
    Ok((board, report))
}

/// The keys that are published and that no publisher has ever known.
fn unknown_keys(jwks: &Standing, board: &Board, mine: &Ledger) -> KeySet {
    let Standing::Present(object) = jwks else {
        return KeySet::default();
    };
    // No relying party verifies with what is no key set, so there is nothing in it to know.
    let Ok((published, _)) = KeySet::parse(&object.body) else {
        return KeySet::default();
    };
    let known = || board.ledgers().chain([mine]).flat_map(Ledger::keys);
    published.without(|key| known().any(|record| record.key == *key))
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// OpenID Connect Discovery 1.0 section 4.2.
const JSON: &str = "application/json";
/// So often a publisher shows that it lives before it would be forgotten.
const HEARTBEATS_PER_EXPIRY: u32 = 4;

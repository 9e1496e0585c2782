//! One key as all that publish it know it.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{
    escaped::escaped,
    oidc::{Key, Ledger, Record, State, Time, Upstream},
};

/// What one publisher knows; `None` for its name where there is only one process to ask.
pub(super) type Share = (Option<String>, Ledger);

/// One key, and who lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: Key,
    pub(super) state: State,
    pub(super) since: Time,
    pub(super) absent_for: Duration,
    pub(super) first_seen: Time,
    pub(super) last_seen: Time,
    pub(super) published_since: Option<Time>,
    pub(super) public_since: Option<Time>,
    /// Who lists it, or did so last.
    pub(super) seen_by: Vec<Source>,
    /// The API servers that answered and do not list it.
    pub(super) missing_on: Vec<Source>,
}

/// An API server or a file of keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    /// Its URL or path.
    pub(super) name: String,
    /// Whose it is, where the name alone does not tell.
    pub(super) publisher: Option<String>,
}

/// The keys of all shares, those first that are in use.
pub(super) fn rows(shares: &[Share]) -> Vec<Row> {
    let sources = sources(shares);
    let mut rows = Vec::<Row>::new();
    for (publisher, ledger) in shares {
        for record in ledger.keys() {
            let seen_by = record.seen_by.iter();
            let seen_by: Vec<_> = seen_by.map(|it| source(shares, publisher, it)).collect();
            match rows.iter_mut().find(|it| it.key == record.key) {
                Some(row) => row.merge(record, seen_by),
                None => rows.push(Row::new(record, seen_by)),
            }
        }
    }
    for row in &mut rows {
        // Who revokes a key does so for all, even without having seen it.
        let revoked = shares.iter().find(|(_, ledger)| ledger.revokes(&row.key));
        if let (Some((_, ledger)), true) = (revoked, row.state != State::Revoked) {
            (row.state, row.since) = (State::Revoked, ledger.as_of);
        }
        row.look_up(&sources);
    }
    rows.sort_by_key(|row| row.state);
    rows
}

/// The sources of all shares, each with the latest that is known of it.
pub(super) fn sources(shares: &[Share]) -> BTreeMap<Source, &Upstream> {
    let mut sources = BTreeMap::<Source, &Upstream>::new();
    for (publisher, ledger) in shares {
        for upstream in &ledger.upstreams {
            let latest = sources
                .entry(source(shares, publisher, &upstream.source))
                .or_insert(upstream);
            if upstream.last_answer > latest.last_answer {
                *latest = upstream;
            }
        }
    }
    sources
}

/// What is at a loopback address, or in a file, is another thing for each publisher.
fn source(shares: &[Share], publisher: &Option<String>, name: &str) -> Source {
    let host = name.strip_prefix("https://");
    let is_local = host.is_none_or(|host| LOOPBACK.iter().any(|local| host.starts_with(local)));
    let publisher = publisher.clone().filter(|_| is_local && shares.len() > 1);
    Source {
        name: name.to_owned(),
        publisher,
    }
}

impl Source {
    /// Its address without what all have in common.
    pub(super) fn host(&self) -> String {
        let name = self.name.strip_prefix("https://").unwrap_or(&self.name);
        let host = escaped(name.trim_end_matches('/'));
        match &self.publisher {
            Some(publisher) => format!("{}/{host}", escaped(publisher)),
            None => host,
        }
    }

    pub(super) fn is_api_server(&self) -> bool {
        self.name.starts_with("https://")
    }
}

/// Escaped, as others may have written it.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(self.name.trim_end_matches('/')))?;
        match &self.publisher {
            Some(publisher) => write!(f, " of {}", escaped(publisher)),
            None => Ok(()),
        }
    }
}

impl Row {
    fn new(record: &Record, seen_by: Vec<Source>) -> Self {
        Self {
            key: record.key.clone(),
            state: record.state,
            since: record.since,
            absent_for: record.absent_for,
            first_seen: record.first_seen,
            last_seen: record.last_seen,
            published_since: record.published_since,
            public_since: record.public_since,
            seen_by,
            missing_on: Vec::new(),
        }
    }

    /// Adds what another publisher knows: a key stands where it stands best, but a revoked one.
    fn merge(&mut self, other: &Record, seen_by: Vec<Source>) {
        let (mine, theirs) = (precedence(self.state), precedence(other.state));
        if theirs > mine {
            (self.state, self.since) = (other.state, other.since);
            self.absent_for = other.absent_for;
        } else if theirs == mine {
            self.since = match self.state {
                State::Active | State::Held | State::Revoked => self.since.min(other.since),
                State::Retired | State::Retiring => self.since.max(other.since),
            };
            self.absent_for = self.absent_for.min(other.absent_for);
        }
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
        self.published_since = earliest(self.published_since, other.published_since);
        self.public_since = earliest(self.public_since, other.public_since);
        for source in seen_by {
            if !self.seen_by.contains(&source) {
                self.seen_by.push(source);
            }
        }
    }

    /// Finds out who lists the key by what each source last said.
    fn look_up(&mut self, sources: &BTreeMap<Source, &Upstream>) {
        let lists = |upstream: &Upstream| upstream.kids.contains(self.key.kid());
        let listing = sources.iter().filter(|(_, upstream)| lists(upstream));
        let listing: Vec<_> = listing.map(|(source, _)| source.clone()).collect();
        // A key that only files list is to be given to all of them alike.
        if self.state == State::Active && listing.iter().any(Source::is_api_server) {
            let missing = sources.iter().filter(|(source, upstream)| {
                source.is_api_server() && upstream.last_answer.is_some() && !lists(upstream)
            });
            self.missing_on = missing.map(|(source, _)| source.clone()).collect();
        }
        if !listing.is_empty() {
            self.seen_by = listing;
        }
    }
}

/// Which of two states counts when publishers differ.
fn precedence(state: State) -> u8 {
    match state {
        State::Retired => 0,
        State::Held => 1,
        State::Retiring => 2,
        State::Active => 3,
        State::Revoked => 4,
    }
}

fn earliest(one: Option<Time>, other: Option<Time>) -> Option<Time> {
    one.into_iter().chain(other).min()
}

/// How the address of an API server on the same node begins.
const LOOPBACK: [&str; 3] = ["127.", "[::1]", "localhost"];

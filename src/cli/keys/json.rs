//! The keys for machines: members in kebab-case, moments as RFC 3339, durations in seconds.
//!
//! What is added later gets new members; those that are here keep their meaning.

use serde::Serialize;

use super::{
    advice::{Advice, Sight},
    report::{Look, Report},
    row::{Row, Source},
};
use crate::oidc::{Ledger, State, Time};

#[derive(Serialize)]
struct Answer {
    mirrors: Vec<Mirror>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Mirror {
    name: String,
    issuer: String,
    from: String,
    as_of: Time,
    age_seconds: u64,
    publishers: Vec<Publisher>,
    max_age_seconds: u64,
    relying_party_cache_seconds: u64,
    retain_keys_seconds: u64,
    /// Why what is public now is not known, when it should be.
    public_failure: Option<String>,
    notes: Vec<String>,
    keys: Vec<Key>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Publisher {
    name: String,
    as_of: Time,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Key {
    kid: String,
    thumbprint: String,
    #[serde(rename = "type")]
    kind: String,
    algorithm: &'static str,
    state: State,
    since: Time,
    first_seen: Time,
    last_seen: Time,
    seen_by: Vec<Listing>,
    missing_on: Vec<Listing>,
    published_since: Option<Time>,
    public_since: Option<Time>,
    public_now: Option<bool>,
    absent_seconds: u64,
    next: Next,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Listing {
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Next {
    advice: &'static str,
    sentence: String,
    safe_from: Option<Time>,
    retires_in_seconds: Option<u64>,
}

/// All reports as one JSON document.
pub(super) fn render(reports: &[Report]) -> String {
    let answer = Answer {
        mirrors: reports.iter().map(mirror).collect(),
    };
    let text = serde_json::to_string_pretty(&answer);
    text.expect("a report holds only strings and numbers") + "\n"
}

fn mirror(report: &Report) -> Mirror {
    let known = &report.known;
    let publisher = |(name, ledger): &(Option<String>, Ledger)| {
        Some(Publisher {
            name: name.clone()?,
            as_of: ledger.as_of,
        })
    };
    let keys = report.keys.iter();
    Mirror {
        name: known.name.clone(),
        issuer: known.issuer.as_str().to_owned(),
        from: known.from.clone(),
        as_of: report.as_of(),
        age_seconds: report.now.since(report.as_of()).as_secs(),
        publishers: known.shares.iter().filter_map(publisher).collect(),
        max_age_seconds: known.times.max_age.as_secs(),
        relying_party_cache_seconds: known.times.relying_party_cache.as_secs(),
        retain_keys_seconds: known.times.retain_keys.as_secs(),
        public_failure: match &report.look {
            Look::Failed(why) => Some(why.clone()),
            Look::NotAsked | Look::Seen(_) => None,
        },
        notes: report.notes(),
        keys: keys.map(|(row, advice)| key(row, advice, report)).collect(),
    }
}

fn key(row: &Row, advice: &Advice, report: &Report) -> Key {
    Key {
        kid: row.key.kid().as_str().to_owned(),
        thumbprint: row.key.thumbprint(),
        kind: row.key.kind(),
        algorithm: row.key.algorithm().as_str(),
        state: row.state,
        since: row.since,
        first_seen: row.first_seen,
        last_seen: row.last_seen,
        seen_by: row.seen_by.iter().map(listing).collect(),
        missing_on: row.missing_on.iter().map(listing).collect(),
        published_since: row.published_since,
        public_since: row.public_since,
        public_now: match report.look.sight(&row.key) {
            Sight::Listed => Some(true),
            Sight::Missing => Some(false),
            Sight::NotAsked | Sight::Unreadable => None,
        },
        absent_seconds: row.absent_for.as_secs(),
        next: Next {
            advice: advice.word(),
            sentence: advice.sentence(report.now),
            safe_from: advice.safe_from(),
            retires_in_seconds: advice.retires_in().map(|left| left.as_secs()),
        },
    }
}

fn listing(source: &Source) -> Listing {
    Listing {
        source: source.name.clone(),
        publisher: source.publisher.clone(),
    }
}

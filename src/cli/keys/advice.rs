//! What to do next with a key: whether it is safe to sign with, and when it may go.
//!
//! Pure. A key is safe to sign with when no relying party can still use a key set without it: it
//! has been public for as long as the slowest of them goes on with what it has read.

use std::time::Duration;

use super::row::{Row, Source};
use crate::{
    oidc::{Key, State, Time},
    when::{moment, span},
};

/// The settings that advice depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// How long a relying party may use the documents by `Cache-Control`.
    pub(super) max_age: Duration,
    /// How long the slowest one uses what it has read.
    pub(super) relying_party_cache: Duration,
    /// How long a key stays published after no API server lists it.
    pub(super) retain_keys: Duration,
}

impl Times {
    /// How long an older key set may be used.
    fn cache(&self) -> Duration {
        self.max_age.max(self.relying_party_cache)
    }
}

/// What relying parties see of a key at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// The public key set lists it.
    Listed,
    /// The public key set does not list it.
    Missing,
    /// Nobody looked.
    NotAsked,
    /// The public key set cannot be read from here.
    Unreadable,
}

/// What to do next with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// It waits for the operator.
    Approve {
        /// How to name it in a shell.
        name: String,
    },
    /// A newer key is to follow it.
    Keep {
        is_newer_safe: bool,
        retain: Duration,
    },
    /// Relying parties accept it, but not every API server does.
    NotEverywhere {
        since: Time,
        missing_on: Vec<Source>,
    },
    /// Relying parties cannot know it.
    NotPublic { sight: Sight, was_public: bool },
    /// No token of it is accepted any more.
    Retired { since: Time },
    /// It goes by itself.
    Retires { left: Duration, retain: Duration },
    /// The operator has withdrawn it.
    Revoked { since: Time },
    /// It may sign.
    Safe { since: Time },
    /// Some relying parties may not know it yet.
    Wait {
        until: Time,
        cache: Duration,
        /// Whether it is known since when the key is public.
        is_dated: bool,
        missing_on: Vec<Source>,
    },
}

/// What to do with each of `rows`; `sight` is what relying parties see now.
pub(super) fn advise(
    rows: &[Row],
    sight: impl Fn(&Key) -> Sight,
    times: &Times,
    now: Time,
) -> Vec<Advice> {
    let of_active = |row: &Row| active(row, sight(&row.key), times, now);
    let alone: Vec<_> = rows
        .iter()
        .map(|row| match row.state {
            State::Active => of_active(row),
            State::Held => Advice::Approve {
                name: shell_name(&row.key),
            },
            State::Retired => Advice::Retired { since: row.since },
            State::Retiring => Advice::Retires {
                left: times.retain_keys.saturating_sub(row.absent_for),
                retain: times.retain_keys,
            },
            State::Revoked => Advice::Revoked { since: row.since },
        })
        .collect();
    let newer = |row: &Row| {
        let is_newer = |it: &Row| it.state == State::Active && it.first_seen > row.first_seen;
        let rows = rows.iter().zip(&alone);
        rows.filter(move |(it, _)| is_newer(it)).collect::<Vec<_>>()
    };
    let follow = |(row, advice): (&Row, &Advice)| {
        let newer = newer(row);
        let is_followed = row.state == State::Active && !newer.is_empty();
        match advice {
            // That it is not public stays the first thing to know.
            Advice::NotPublic { .. } => advice.clone(),
            _ if is_followed => Advice::Keep {
                is_newer_safe: newer
                    .iter()
                    .any(|(_, advice)| matches!(advice, Advice::Safe { .. })),
                retain: times.retain_keys,
            },
            _ => advice.clone(),
        }
    };
    rows.iter().zip(&alone).map(follow).collect()
}

fn active(row: &Row, sight: Sight, times: &Times, now: Time) -> Advice {
    let public_since = match (sight, row.public_since) {
        (Sight::Missing, public_since) => {
            return Advice::NotPublic {
                sight,
                was_public: public_since.is_some(),
            };
        }
        (_, Some(public_since)) => public_since,
        // Since when is not known, so perhaps since just now.
        (Sight::Listed, None) => now,
        (Sight::NotAsked | Sight::Unreadable, None) => {
            return Advice::NotPublic {
                sight,
                was_public: false,
            };
        }
    };
    let (cache, missing_on) = (times.cache(), row.missing_on.clone());
    let since = public_since + cache;
    if since > now {
        Advice::Wait {
            until: since,
            cache,
            is_dated: row.public_since.is_some(),
            missing_on,
        }
    } else if missing_on.is_empty() {
        Advice::Safe { since }
    } else {
        Advice::NotEverywhere { since, missing_on }
    }
}

/// What names the key in a shell, whatever its kid is made of.
pub(super) fn shell_name(key: &Key) -> String {
    let kid = key.kid().as_str();
    let is_plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '.' | '_');
    let name = if kid.chars().all(is_plain) {
        kid.to_owned()
    } else {
        key.thumbprint()
    };
    match name.strip_prefix('-') {
        Some(_) => format!("-- {name}"),
        None => name,
    }
}

impl Advice {
    /// A word for machines.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Approve { .. } => "approve",
            Self::Keep { .. } => "keep",
            Self::NotEverywhere { .. } => "not-everywhere",
            Self::NotPublic { .. } => "not-public",
            Self::Retired { .. } => "retired",
            Self::Retires { .. } => "retires",
            Self::Revoked { .. } => "revoked",
            Self::Safe { .. } => "safe",
            Self::Wait { .. } => "wait",
        }
    }

    /// Since when, or from when on, relying parties know the key.
    pub(super) fn safe_from(&self) -> Option<Time> {
        match self {
            Self::NotEverywhere { since, .. } | Self::Safe { since } => Some(*since),
            Self::Wait { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// How long the key stays published at least.
    pub(super) fn retires_in(&self) -> Option<Duration> {
        match self {
            Self::Retires { left, .. } => Some(*left),
            _ => None,
        }
    }

    /// A sentence for people.
    pub(super) fn sentence(&self, now: Time) -> String {
        match self {
            Self::Approve { name } => format!(
                "not published: oidc-mirror keys approve {name} (or, with admission = \"pinned\", \
                 pinned-keys)"
            ),
            Self::Keep {
                is_newer_safe,
                retain,
            } => keep(*is_newer_safe, *retain),
            Self::NotEverywhere { since, missing_on } => format!(
                "known to relying parties since {}, but {}: those would refuse its tokens",
                moment(*since, now),
                not_on(missing_on)
            ),
            Self::NotPublic { sight, was_public } => not_public(*sight, *was_public),
            Self::Retired { since } => format!("gone since {}", moment(*since, now)),
            Self::Retires { left, retain } => format!(
                "retires in {} at the earliest, when tokens signed with it have expired \
                 (retain-keys {})",
                span(*left),
                span(*retain)
            ),
            Self::Revoked { since } => {
                let since = moment(*since, now);
                format!("withdrawn since {since}: its tokens are refused")
            }
            Self::Safe { since } => format!("safe to sign with since {}", moment(*since, now)),
            Self::Wait {
                until,
                cache,
                is_dated,
                missing_on,
            } => {
                let first = if *is_dated { "" } else { UNDATED };
                let also = match missing_on.as_slice() {
                    [] => String::new(),
                    missing_on => format!("; {}", not_on(missing_on)),
                };
                format!(
                    "{first}wait until {}: relying parties may use an older key set for {}{also}",
                    moment(*until, now),
                    span(*cache)
                )
            }
        }
    }
}

fn keep(is_newer_safe: bool, retain: Duration) -> String {
    let first = if is_newer_safe {
        ""
    } else {
        "go on signing with it until a newer key is safe; "
    };
    format!(
        "{first}remove it from the API servers only after its last token has expired: {} after the \
         last of them stopped signing with it",
        span(retain)
    )
}

fn not_public(sight: Sight, was_public: bool) -> String {
    let how_long = if was_public { "any more" } else { "yet" };
    let why = match sight {
        Sight::Listed | Sight::Missing => "the public key set does not list it",
        Sight::NotAsked => "it was never seen at the public issuer",
        Sight::Unreadable => "the public key set cannot be read from here",
    };
    format!("not public {how_long}: do not sign with it; {why}")
}

fn not_on(sources: &[Source]) -> String {
    let shown: Vec<_> = sources.iter().map(Source::to_string).collect();
    format!("not on {} yet", shown.join(", "))
}

const UNDATED: &str = "public, but not known since when; ";

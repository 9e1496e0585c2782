//! What is known of the keys of one mirror, what relying parties see of them, and what to do next.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt as _, stream};
use tokio::time::timeout;

use super::{
    advice::{Advice, Sight, advise},
    known::Known,
    row::{Row, rows, sources},
};
use crate::{
    escaped::escaped,
    oidc::{Issuer, Key, Kid, Ledger, Time},
    verify::RelyingParty,
    when::ago,
};

/// The keys of one mirror.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) known: Known,
    pub(super) look: Look,
    pub(super) keys: Vec<(Row, Advice)>,
    pub(super) now: Time,
}

/// What relying parties see at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Not even that: why.
    Failed(String),
    NotAsked,
    Seen(BTreeSet<Kid>),
}

impl Report {
    /// Reports on all mirrors, after a look at their public keys unless that is not wanted.
    pub(super) async fn all(known: Vec<Known>, offline: bool, now: Time) -> Vec<Self> {
        let looks = known.iter().map(|it| look(it.issuer.clone(), offline));
        let looks: Vec<_> = stream::iter(looks).buffered(LOOKS_AT_ONCE).collect().await;
        let reports = known.into_iter().zip(looks);
        reports
            .map(|(known, look)| Self::new(known, look, now))
            .collect()
    }

    pub(super) fn new(known: Known, look: Look, now: Time) -> Self {
        let rows = rows(&known.shares);
        let advice = advise(&rows, |key| look.sight(key), &known.times, now);
        Self {
            keys: rows.into_iter().zip(advice).collect(),
            known,
            look,
            now,
        }
    }

    /// When the latest of what is known was learnt.
    pub(super) fn as_of(&self) -> Time {
        let shares = self.known.shares.iter();
        shares
            .map(|(_, ledger)| ledger.as_of)
            .max()
            .unwrap_or_default()
    }

    /// What the reader has to know beside the keys.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Look::Failed(why) = &self.look {
            notes.push(format!("it is not known what is public now: {why}"));
        }
        let as_of = self.as_of();
        for (source, upstream) in sources(&self.known.shares) {
            match upstream.last_answer {
                None => notes.push(format!("{source} has never answered")),
                Some(answer) if as_of.since(answer) > LATE => notes.push(format!(
                    "{source} last answered {}: it may list other keys by now",
                    ago(answer, self.now)
                )),
                Some(_) => {}
            }
        }
        for name in &self.known.unheeded {
            notes.push(format!(
                "{name} is to be revoked, and no mirror has done so yet: does one run with this \
                 state-dir?"
            ));
        }
        notes
    }

    /// Who publishes, where that is more than this process.
    pub(super) fn publishers(&self) -> Vec<String> {
        let one = |(name, ledger): &(Option<String>, Ledger)| {
            let name = escaped(name.as_ref()?);
            Some(format!("{name} ({})", ago(ledger.as_of, self.now)))
        };
        self.known.shares.iter().filter_map(one).collect()
    }
}

impl Look {
    pub(super) fn sight(&self, key: &Key) -> Sight {
        match self {
            Self::Failed(_) => Sight::Unreadable,
            Self::NotAsked => Sight::NotAsked,
            Self::Seen(kids) if kids.contains(key.kid()) => Sight::Listed,
            Self::Seen(_) => Sight::Missing,
        }
    }
}

/// One look at the public keys of `issuer`, as a relying party.
async fn look(issuer: Issuer, offline: bool) -> Look {
    if offline {
        return Look::NotAsked;
    }
    let url = issuer.jwks_url();
    let looking = async { RelyingParty::new(issuer, None)?.look().await };
    match timeout(LOOK_PATIENCE, looking).await {
        Ok(Ok(public)) => Look::Seen(public.kids()),
        Ok(Err(error)) => Look::Failed(crate::Report(&error).to_string()),
        Err(_) => Look::Failed(format!("{url} gave no answer within {LOOK_PATIENCE:?}")),
    }
}

/// How long an operator is kept waiting.
const LOOK_PATIENCE: Duration = Duration::from_secs(3);
const LOOKS_AT_ONCE: usize = 16;
/// An upstream whose last answer is this much older than the last round is said to be silent.
const LATE: Duration = Duration::from_secs(90);

//! `keys revoke` and `keys approve`: decisions that last, and that a running mirror heeds at once.

use std::{collections::BTreeSet, fmt::Write as _};

use tracing::{error, warn};

use crate::{
    Report,
    cli::{Exit, print::print},
    config::settings::{Mirror, Settings},
    escaped::escaped,
    mirror::{Decisions, Store},
    oidc::{Admission, KeyName, Ledger, Record, State},
    when::span,
};

/// What is decided about keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Approve,
    Revoke,
}

/// A decision and the keys it is about.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) decision: Decision,
    pub(super) names: Vec<KeyName>,
    /// Whether it is taken back.
    pub(super) undo: bool,
}

/// Records the verdict for the mirror of this name, or the only one.
pub(super) fn execute(settings: &Settings, mirror: Option<&str>, verdict: &Verdict) -> Exit {
    let mirror = match chosen(settings, mirror) {
        Ok(mirror) => mirror,
        Err(message) => {
            error!("{message}");
            return Exit::Configuration;
        }
    };
    let Some(root) = &settings.state_dir else {
        let setting = match verdict.decision {
            Decision::Approve => "pinned-keys (with admission = \"pinned\")",
            Decision::Revoke => "revoked-keys",
        };
        error!(
            "without a state-dir no decision can be kept: put the key into {setting} of the \
             configuration and reload it (systemctl reload oidc-mirror)"
        );
        return Exit::Configuration;
    };
    if !root.is_dir() {
        warn!(
            state_dir = %root.display(),
            "the state directory did not exist: no mirror runs with it yet"
        );
    }
    let store = Store::new(root, &mirror.name, &mirror.issuer);
    let ledger = store.load().unwrap_or_else(|error| {
        warn!(error = %Report(&error), "what is known of the keys cannot be read");
        None
    });
    let ledger = ledger.unwrap_or_default();
    let mut after = Decisions::default();
    let decided = store.decide(|decisions| {
        verdict.apply(decisions);
        after = decisions.clone();
    });
    if let Err(error) = decided {
        error!(error = %Report(&error), "nothing was decided");
        return Exit::Failed;
    }
    verdict.warn(mirror, &ledger, &after);
    print(&verdict.told(mirror, &ledger, &after));
    Exit::Done
}

fn chosen<'a>(settings: &'a Settings, name: Option<&str>) -> Result<&'a Mirror, String> {
    let names: Vec<_> = settings.mirrors.iter().map(|it| it.name.as_str()).collect();
    let names = names.join(", ");
    match (name, settings.mirrors.as_slice()) {
        (None, [mirror]) => Ok(mirror),
        (None, _) => Err(format!(
            "there are several mirrors; say which with --mirror: {names}"
        )),
        (Some(name), mirrors) => mirrors
            .iter()
            .find(|it| it.name == name)
            .ok_or_else(|| format!("no mirror is named {name:?}; there are: {names}")),
    }
}

impl Verdict {
    fn apply(&self, decisions: &mut Decisions) {
        let names = match self.decision {
            Decision::Approve => &mut decisions.approved,
            Decision::Revoke => &mut decisions.revoked,
        };
        if self.undo {
            names.retain(|name| !self.names.contains(name));
        } else {
            names.extend(self.names.iter().cloned());
        }
    }

    /// Says what the operator may have overlooked.
    fn warn(&self, mirror: &Mirror, ledger: &Ledger, after: &Decisions) {
        for name in &self.names {
            let policy = &mirror.keys.policy;
            let is_known = ledger.keys().iter().any(|it| name.names(&it.key));
            if !is_known {
                warn!(key = %name, "no key of this name is known; the decision is kept all the same");
            }
            match (self.decision, self.undo) {
                (Decision::Revoke, true) if policy.revoked.contains(name) => warn!(
                    key = %name,
                    "it stays revoked: it stands in revoked-keys of the configuration"
                ),
                (Decision::Approve, false)
                    if policy.revoked.contains(name) || after.revoked.contains(name) =>
                {
                    warn!(key = %name, "it is revoked, which counts more than this");
                }
                _ => {}
            }
        }
        if self.decision == Decision::Approve && mirror.keys.policy.admission != Admission::Hold {
            warn!("this has no effect while admission is not \"hold\"");
        }
    }

    /// What was done, what it costs, and what is to be done next.
    fn told(&self, mirror: &Mirror, ledger: &Ledger, after: &Decisions) -> String {
        let mut text = String::new();
        for name in &self.names {
            let record = ledger.keys().iter().find(|it| name.names(&it.key));
            let what = record.map_or_else(String::new, described);
            _ = writeln!(text, "{} {name}{what}", self.verb());
        }
        match (self.decision, self.undo) {
            (Decision::Revoke, false) => {
                let mut revoked = mirror.keys.policy.revoked.clone();
                revoked.extend(after.revoked.iter().cloned());
                text.push_str(&cost(mirror, ledger, &revoked));
            }
            (Decision::Approve, false) => text
                .push_str("A mirror that runs with this state-dir publishes it within a second.\n"),
            (_, true) => text
                .push_str("A mirror that runs with this state-dir heeds that within a second.\n"),
        }
        text.push_str("Check with: oidc-mirror keys\n");
        text
    }

    fn verb(&self) -> &'static str {
        match (self.decision, self.undo) {
            (Decision::Approve, false) => "approved",
            (Decision::Approve, true) => "approved no more",
            (Decision::Revoke, false) => "revoked",
            (Decision::Revoke, true) => "revoked no more",
        }
    }
}

fn described(record: &Record) -> String {
    let kid = escaped(record.key.kid().as_str());
    format!(" (key {kid}, {}, was {})", record.key.kind(), record.state)
}

/// What the revocation means for tokens.
fn cost(mirror: &Mirror, ledger: &Ledger, revoked: &BTreeSet<KeyName>) -> String {
    let is_left =
        |it: &&Record| it.state == State::Active && !revoked.iter().any(|name| name.names(&it.key));
    let left = match ledger.keys().iter().filter(is_left).count() {
        0 => "No active key is left: every token of the cluster is refused until its API servers \
              sign with another key."
            .to_owned(),
        1 => "One active key is left.".to_owned(),
        left => format!("{left} active keys are left."),
    };
    let cache = mirror
        .keys
        .relying_party_cache
        .max(mirror.metadata.max_age());
    format!(
        "{left}
A mirror that runs with this state-dir withdraws it within a second; relying parties may accept
its tokens for up to {} more. Where other mirrors serve this issuer, revoke it there as well.
Next: if API servers still sign with it, give them another key; pods get new tokens when theirs
are renewed or when they are restarted.
",
        span(cache)
    )
}

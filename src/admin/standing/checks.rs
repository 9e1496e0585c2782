//! What is looked at in a mirror.
//!
//! Only what keeps relying parties from good documents makes a process unready: an API server that
//! is down or a bucket that refuses must not take the last good documents away.

use super::Check;
use crate::{
    admin::views::Glance,
    oidc::State,
    publish::Progress,
    when::{ago, delay, span},
};

/// Everything that is looked at in one mirror.
pub(in crate::admin) fn checks(glance: &Glance<'_>) -> Vec<Check> {
    let mut checks = vec![snapshot(glance), freshness(glance)];
    upstreams(glance, &mut checks);
    checks.extend([issuer(glance), agreement(glance)]);
    keys(glance, &mut checks);
    checks.push(state(glance));
    for progress in &glance.progress {
        checks.extend([published(glance, progress), drift(progress)]);
    }
    checks.extend(read_back(glance));
    checks
}

fn snapshot(glance: &Glance<'_>) -> Check {
    let answer = match glance.status.ledger.last_answer {
        Some(answer) => format!("last answer {}", ago(answer, glance.now)),
        None => "no API server has answered well yet".to_owned(),
    };
    match &glance.snapshot {
        Some(snapshot) => {
            let keys = count(snapshot.keys.len(), "key");
            Check::well("snapshot", format!("{keys}, {answer}"))
        }
        None => Check::failed(
            "snapshot",
            format!("nothing to give out, {answer}"),
            "the other checks say why; with a state-dir a restart does not depend on the API \
             servers",
        ),
    }
}

fn freshness(glance: &Glance<'_>) -> Check {
    let Some(limit) = glance.view.keys.max_stale else {
        return Check::well("freshness", "max-stale is not set");
    };
    let found = format!("max-stale is {}", humantime::format_duration(limit));
    if glance.is_stale() {
        Check::failed(
            "freshness",
            format!("the documents are withheld, {found}"),
            "bring an API server back; without max-stale the last good documents stay for ever",
        )
    } else {
        Check::well("freshness", found)
    }
}

fn upstreams(glance: &Glance<'_>, checks: &mut Vec<Check>) {
    let upstreams = &glance.status.upstreams;
    let failing = upstreams.iter().filter_map(|upstream| {
        let trouble = upstream.failure.as_ref()?;
        let since = span(glance.since(trouble.since));
        Some(Check::failed(
            "upstreams",
            format!("{} {} for {since}", upstream.url, trouble.reason),
            match &*trouble.reason {
                "broken" | "connect" | "timeout" => format!(
                    "{}; see that this API server runs and can be reached from here",
                    trouble.message
                ),
                _ => trouble.message.clone(),
            },
        ))
    });
    let before = checks.len();
    checks.extend(failing);
    if checks.len() == before {
        checks.push(Check::well(
            "upstreams",
            count(upstreams.len(), "API server"),
        ));
    }
}

fn issuer(glance: &Glance<'_>) -> Check {
    let upstreams = glance.status.upstreams.iter();
    let foreign = upstreams.filter(|it| it.issuer_matches == Some(false));
    let foreign: Vec<_> = foreign.map(|it| it.url.as_str()).collect();
    if foreign.is_empty() {
        return Check::well("issuer", "");
    }
    Check::failed(
        "issuer",
        format!(
            "tokens of {} carry another issuer than {}",
            foreign.join(", "),
            glance.view.issuer
        ),
        "relying parties refuse them: make the public issuer the first --service-account-issuer \
         there and keep the present one second",
    )
}

fn agreement(glance: &Glance<'_>) -> Check {
    match &glance.status.contradiction {
        None => Check::well("agreement", ""),
        Some(trouble) => Check::failed(
            "agreement",
            trouble,
            "find out which API server has a wrong key file; to settle it, revoke the wrong key by \
             its thumbprint (oidc-mirror keys revoke)",
        ),
    }
}

fn keys(glance: &Glance<'_>, checks: &mut Vec<Check>) {
    let records = glance.status.ledger.keys().iter();
    let held = records.filter(|it| it.state == State::Held).count();
    let before = checks.len();
    if held > 0 {
        checks.push(Check::failed(
            "keys",
            format!("{} held until approved", count(held, "key")),
            "compare with the key files of your API servers, then approve (oidc-mirror keys says \
             how); until then no relying party accepts its tokens",
        ));
    }
    let left_out = glance.status.upstreams.iter().filter(|it| it.left_out > 0);
    checks.extend(left_out.map(|it| {
        let keys = count(it.left_out, "key");
        Check::failed(
            "keys",
            format!(
                "{keys} of {} left out, of a kind that must not be published",
                it.url
            ),
            "let no API server sign with it, since its tokens are refused; the log has its kid and \
             the reason",
        )
    }));
    if checks.len() == before {
        checks.push(Check::well("keys", ""));
    }
}

fn state(glance: &Glance<'_>) -> Check {
    match &glance.status.state_error {
        None => Check::well("state", ""),
        Some(trouble) => Check::failed(
            "state",
            trouble,
            "make room, or give the process write access to state-dir; until then do not restart it \
             while a key is on its way out",
        ),
    }
}

fn published(glance: &Glance<'_>, progress: &Progress) -> Check {
    let target = &progress.target;
    let last = match progress.last_success {
        Some(time) => format!("last found or made right {}", ago(time, glance.now)),
        None => "not yet".to_owned(),
    };
    match &progress.failure {
        None => Check::well("publish", format!("{target} {last}")),
        Some(trouble) => Check::failed(
            "publish",
            format!("{target} {}, {last}", trouble.reason),
            &trouble.message,
        ),
    }
}

fn drift(progress: &Progress) -> Check {
    if progress.is_drifted {
        return Check::failed(
            "drift",
            format!(
                "{} holds what somebody else wrote, and on-drift leaves it there",
                progress.target
            ),
            "find out who did it; then set on-drift = \"repair\" and reload, or publish once so",
        );
    }
    Check::well("drift", "")
}

fn read_back(glance: &Glance<'_>) -> Option<Check> {
    let read_back = glance.read_back.as_ref()?;
    Some(match (&read_back.failure, read_back.last_success) {
        (Some(trouble), _) => Check::failed("read-back", &*trouble.reason, &trouble.message),
        (None, Some(_)) => Check::well(
            "read-back",
            read_back.took.map_or_else(String::new, |took| {
                format!("the last change was public after {}", delay(took))
            }),
        ),
        (None, None) => Check::well("read-back", "not looked yet"),
    })
}

pub(super) fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

//! `/readyz`: what is well and what is not, one line a check, as kube-apiserver writes it.
//!
//! Only what keeps relying parties from good documents makes a process unready: an API server that
//! is down or a bucket that refuses must not take the last good documents away.

use std::{fmt, time::Duration};

use super::{Views, views::Glance};
use crate::{
    oidc::{State, Time},
    publish::Progress,
};

/// Whether every mirror is ready, and that in words: all checks of all mirrors when `verbose`,
/// otherwise those of the mirrors that are not ready.
pub(super) fn render(views: &Views, verbose: bool, now: Time) -> (bool, String) {
    let mut text = String::new();
    let (mut is_ready, mut warnings) = (true, 0);
    for glance in views.glances(now) {
        is_ready &= glance.is_ready();
        if !verbose && glance.is_ready() {
            continue;
        }
        for check in checks(&glance) {
            warnings += usize::from(check.verdict.is_err());
            check.write(&glance.view.name, &mut text);
        }
    }
    text.push_str(&match (is_ready, verbose, warnings) {
        (true, false, _) => "ok\n".to_owned(),
        (true, true, 0) => "readyz check passed\n".to_owned(),
        (true, true, _) => format!(
            "readyz check passed: the documents are given out; what is marked [-] needs attention \
             ({warnings})\n"
        ),
        (false, ..) => "readyz check failed\n".to_owned(),
    });
    (is_ready, text)
}

/// One line.
struct Check {
    name: &'static str,
    /// What was found, well or not.
    verdict: Result<String, String>,
}

impl Check {
    fn write(&self, mirror: &str, text: &mut String) {
        let (mark, word, found) = match &self.verdict {
            Ok(found) => ('+', "ok", found),
            Err(found) => ('-', "failed", found),
        };
        let line = if found.is_empty() {
            format!("[{mark}]{mirror}/{} {word}", self.name)
        } else {
            format!("[{mark}]{mirror}/{} {word}: {found}", self.name)
        };
        // Nothing that others wrote can begin a line.
        for character in line.chars() {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        text.push('\n');
    }
}

fn checks(glance: &Glance<'_>) -> Vec<Check> {
    let check = |name, verdict| Check { name, verdict };
    let mut checks = vec![
        check("snapshot", snapshot(glance)),
        check("freshness", freshness(glance)),
        check("upstreams", upstreams(glance)),
        check("issuer", issuer(glance)),
        check("agreement", trouble(glance.status.contradiction.as_ref())),
        check("keys", keys(glance)),
        check("state", trouble(glance.status.state_error.as_ref())),
    ];
    for progress in &glance.progress {
        checks.push(check("publish", published(glance, progress)));
        checks.push(check("drift", drift(progress)));
    }
    if let Some(read_back) = &glance.read_back {
        let verdict = match (&read_back.failure, read_back.last_success) {
            (Some(trouble), _) => Err(format!("{}: {}", trouble.reason, trouble.message)),
            (None, Some(_)) => Ok(match read_back.took {
                Some(took) => format!("the last change was public after {took:.1?}"),
                None => String::new(),
            }),
            (None, None) => Ok("not looked yet".to_owned()),
        };
        checks.push(check("read-back", verdict));
    }
    checks
}

fn snapshot(glance: &Glance<'_>) -> Result<String, String> {
    let answer = match glance.age() {
        Some(age) => format!("last answer {} ago", shown(age)),
        None => "no API server has answered well yet".to_owned(),
    };
    match &glance.snapshot {
        Some(snapshot) => Ok(format!("{}, {answer}", count(snapshot.keys.len(), "key"))),
        None => Err(format!("nothing to give out, {answer}")),
    }
}

fn freshness(glance: &Glance<'_>) -> Result<String, String> {
    let Some(limit) = glance.view.keys.max_stale else {
        return Ok("max-stale is not set".to_owned());
    };
    let found = format!("max-stale is {}", humantime::format_duration(limit));
    if glance.is_stale() {
        Err(format!("the documents are withheld, {found}"))
    } else {
        Ok(found)
    }
}

fn upstreams(glance: &Glance<'_>) -> Result<String, String> {
    let upstreams = &glance.status.upstreams;
    let failing = upstreams
        .iter()
        .filter_map(|it| Some(format!("{} {}", it.url, it.failure.as_ref()?.reason)));
    let failing: Vec<_> = failing.collect();
    if failing.is_empty() {
        return Ok(count(upstreams.len(), "API server"));
    }
    Err(failing.join(", "))
}

fn issuer(glance: &Glance<'_>) -> Result<String, String> {
    let upstreams = glance.status.upstreams.iter();
    let foreign = upstreams.filter(|it| it.issuer_matches == Some(false));
    let foreign: Vec<_> = foreign.map(|it| it.url.as_str()).collect();
    if foreign.is_empty() {
        return Ok(String::new());
    }
    Err(format!(
        "tokens of {} carry another issuer than {}",
        foreign.join(", "),
        glance.view.issuer
    ))
}

fn keys(glance: &Glance<'_>) -> Result<String, String> {
    let records = glance.status.ledger.keys().iter();
    let held = records.filter(|it| it.state == State::Held).count();
    let left_out = glance.status.upstreams.iter().filter(|it| it.left_out > 0);
    let left_out = left_out.map(|it| {
        let keys = count(it.left_out, "key");
        format!(
            "{keys} of {} left out, of a kind that must not be published",
            it.url
        )
    });
    let held = (held > 0).then(|| format!("{} held until approved", count(held, "key")));
    let found: Vec<_> = held.into_iter().chain(left_out).collect();
    if found.is_empty() {
        return Ok(String::new());
    }
    Err(found.join(", "))
}

fn published(glance: &Glance<'_>, progress: &Progress) -> Result<String, String> {
    let target = &progress.target;
    let last = match progress.last_success {
        Some(time) => format!("last found or made right {} ago", shown(glance.since(time))),
        None => "not yet".to_owned(),
    };
    match &progress.failure {
        None => Ok(format!("{target} {last}")),
        Some(trouble) => Err(format!("{target} {}, {last}", trouble.reason)),
    }
}

fn drift(progress: &Progress) -> Result<String, String> {
    if progress.is_drifted {
        return Err(format!(
            "{} holds what somebody else wrote, and on-drift leaves it there",
            progress.target
        ));
    }
    Ok(String::new())
}

fn trouble(trouble: Option<&String>) -> Result<String, String> {
    match trouble {
        Some(trouble) => Err(trouble.clone()),
        None => Ok(String::new()),
    }
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// To the second.
fn shown(duration: Duration) -> impl fmt::Display {
    humantime::format_duration(Duration::from_secs(duration.as_secs()))
}

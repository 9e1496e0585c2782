//! How things stand, for a terminal.
//!
//! Whatever may come from others is escaped before it is shown.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets::NOTHING};

use crate::{
    admin::{
        CertificateStanding, Check, KeyStanding, MirrorStanding, Standing, TargetStanding,
        UpstreamStanding, Verdict,
    },
    cli::paint::{marked, of_state, painted},
    escaped::{escaped, shortened},
    oidc::{State, Time},
    when::{ago, moment, span},
};

/// A summary, and a table for each mirror, with ANSI styles.
pub(super) fn render(standing: &Standing) -> String {
    let now = standing.as_of;
    let mut text = String::new();
    let mirrors = match standing.mirrors.len() {
        1 => "1 mirror".to_owned(),
        many => format!("{many} mirrors"),
    };
    line(
        &mut text,
        &format!(
            "{}  {mirrors}, as of {}, oidc-mirror {}",
            coloured(standing.verdict),
            moment(now, now),
            escaped(&standing.release)
        ),
    );
    certificates(&mut text, &standing.certificates);
    // Those that do worst come last, where the eye is.
    let mut mirrors: Vec<_> = standing.mirrors.iter().collect();
    mirrors.sort_by_key(|it| std::cmp::Reverse(it.verdict));
    let folded = mirrors.len().saturating_sub(SHOWN_MIRRORS);
    for (number, it) in mirrors.iter().enumerate() {
        if number >= folded {
            text.push('\n');
        }
        head(&mut text, it);
        if number >= folded {
            body(&mut text, it, now);
        }
    }
    text
}

fn certificates(text: &mut String, certificates: &[CertificateStanding]) {
    for it in certificates {
        let (name, hosts) = (escaped(&it.name), escaped(&it.hosts.join(", ")));
        if it.check.is_well() {
            line(
                text,
                &format!("certificate {name}: {}, for {hosts}", it.check.found),
            );
        }
        warning(text, &it.check, &format!("certificate {name} for {hosts}"));
    }
}

fn head(text: &mut String, mirror: &MirrorStanding) {
    let bold = Style::new().bold();
    line(
        text,
        &format!(
            "{bold}{}{bold:#}  {}  {}",
            escaped(&mirror.issuer),
            escaped(&mirror.name),
            coloured(mirror.verdict)
        ),
    );
}

fn body(text: &mut String, mirror: &MirrorStanding, now: Time) {
    for check in &mirror.checks {
        warning(text, check, &check.name);
    }
    for check in mirror.checks.iter().filter(|it| it.is_well()) {
        if matches!(&*check.name, "snapshot" | "read-back") && !check.found.is_empty() {
            line(text, &format!("{}: {}", check.name, escaped(&check.found)));
        }
    }
    let keys = mirror.keys.iter().filter(|it| it.state != State::Retired);
    let keys = keys.map(|it| (key(it, now), of_state(it.state)));
    table(text, KEY_HEADER, keys);
    let upstreams = mirror.upstreams.iter();
    let upstreams = upstreams.map(|it| (upstream(it, now), verdict_style(it.failure.is_none())));
    table(text, UPSTREAM_HEADER, upstreams);
    let targets = mirror.targets.iter().map(|it| {
        let is_well = it.failure.is_none() && !it.is_drifted;
        (target(it, now), verdict_style(is_well))
    });
    table(text, TARGET_HEADER, targets);
}

fn key(key: &KeyStanding, now: Time) -> Vec<String> {
    vec![
        shortened(&key.kid, KUBERNETES_KID_CHARS),
        escaped(&key.kind),
        marked(key.state),
        ago(key.first_seen, now),
        ago(key.last_seen, now),
        key.public_since.map_or_else(nothing, |it| ago(it, now)),
        key.retires_at
            .map_or_else(nothing, |it| format!("in {}", span(it.since(now)))),
    ]
}

fn upstream(upstream: &UpstreamStanding, now: Time) -> Vec<String> {
    let state = match &upstream.failure {
        None => marked("read"),
        Some(trouble) => {
            let reason = escaped(&trouble.reason);
            marked(format!("{reason} for {}", span(now.since(trouble.since))))
        }
    };
    vec![
        escaped(&upstream.url),
        state,
        upstream.last_answer.map_or_else(nothing, |it| ago(it, now)),
        match upstream.issuer_matches {
            Some(true) => "matches".to_owned(),
            Some(false) => "another one".to_owned(),
            None => nothing(),
        },
        upstream.keys_left_out.to_string(),
    ]
}

fn target(target: &TargetStanding, now: Time) -> Vec<String> {
    let state = match &target.failure {
        Some(trouble) => escaped(&trouble.reason),
        None if target.is_drifted => "drifted".to_owned(),
        None if target.last_success.is_none() => "not yet".to_owned(),
        None => "right".to_owned(),
    };
    vec![
        escaped(&target.url),
        marked(state),
        target.last_success.map_or_else(nothing, |it| ago(it, now)),
        target.writes.to_string(),
    ]
}

/// What is wrong with `what`, and what to do about it; nothing when all is well.
fn warning(text: &mut String, check: &Check, what: &str) {
    let Some(advice) = &check.advice else { return };
    let style = AnsiColor::Yellow.on_default();
    line(
        text,
        &format!("{style}! {what}{style:#}: {}", escaped(&check.found)),
    );
    line(text, &format!("  → {}", escaped(advice)));
}

fn table<const N: usize>(
    text: &mut String,
    header: [&str; N],
    rows: impl Iterator<Item = (Vec<String>, Style)>,
) {
    let (rows, styles): (Vec<_>, Vec<_>) = rows.unzip();
    if rows.is_empty() {
        return;
    }
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(header);
    for cells in rows {
        table.add_row(cells);
    }
    let mut lines = table.lines();
    line(text, lines.next().unwrap_or_default().trim());
    // No cell has two lines.
    for (shown, style) in lines.zip(styles) {
        line(text, &painted(shown.trim(), style));
    }
}

fn coloured(verdict: Verdict) -> String {
    let style = match verdict {
        Verdict::Attention => AnsiColor::Yellow.on_default(),
        Verdict::Unready => AnsiColor::Red.on_default(),
        Verdict::Well => AnsiColor::Green.on_default(),
    };
    format!("{style}{verdict}{style:#}")
}

fn verdict_style(is_well: bool) -> Style {
    let colour = if is_well {
        AnsiColor::Green
    } else {
        AnsiColor::Yellow
    };
    colour.on_default()
}

fn nothing() -> String {
    "-".to_owned()
}

fn line(text: &mut String, line: &str) {
    _ = writeln!(text, "{}", line.trim_end());
}

const KEY_HEADER: [&str; 7] = [
    "KID",
    "TYPE",
    "STATE",
    "FIRST SEEN",
    "LAST SEEN",
    "PUBLIC SINCE",
    "RETIRES",
];
const UPSTREAM_HEADER: [&str; 5] = ["API SERVER", "STATE", "LAST ANSWER", "ISSUER", "LEFT OUT"];
const TARGET_HEADER: [&str; 4] = ["TARGET", "STATE", "LAST RIGHT", "WRITES"];
/// SHA-256 in unpadded base64url.
const KUBERNETES_KID_CHARS: usize = 43;
/// As many mirrors as are shown in full; the others are a line each.
const SHOWN_MIRRORS: usize = 20;

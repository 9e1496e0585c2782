//! The keys as a table for people.
//!
//! Whatever names a key or a place may come from others: it is escaped before it is shown.

use std::fmt::Write as _;

use anstyle::Style;
use comfy_table::{Table, presets::NOTHING};

use super::{
    advice::Advice,
    report::Report,
    row::{Row, Source},
};
use crate::{
    cli::paint::{marked, of_state, painted},
    escaped::{escaped, shortened},
    oidc::{State, Time},
    when::{ago, moment},
};

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// That of a terminal: what is next stands below each key.
    Narrow,
    /// Any: everything about a key stands in one line.
    Wide,
}

/// One table for each mirror, with ANSI styles.
pub(super) fn render(reports: &[Report], width: Width) -> String {
    let mut text = String::new();
    for report in reports {
        if !text.is_empty() {
            text.push('\n');
        }
        head(&mut text, report);
        body(&mut text, report, width);
        for note in report.notes() {
            line(&mut text, &format!("note: {note}"));
        }
    }
    text
}

fn head(text: &mut String, report: &Report) {
    let known = &report.known;
    let bold = Style::new().bold();
    let as_of = report.as_of();
    line(
        text,
        &format!(
            "{bold}{}{bold:#}  {}  as of {} ({}), from {}",
            known.issuer,
            escaped(&known.name),
            moment(as_of, report.now),
            ago(as_of, report.now),
            escaped(&known.from)
        ),
    );
    let publishers = report.publishers();
    if !publishers.is_empty() {
        line(text, &format!("published by {}", publishers.join(", ")));
    }
}

fn body(text: &mut String, report: &Report, width: Width) {
    if report.keys.is_empty() {
        line(text, "no key is known");
        return;
    }
    let mut table = Table::new();
    table.load_style(NOTHING);
    let mut header = HEADER.to_vec();
    if width == Width::Wide {
        header.push("NEXT");
    }
    table.set_header(header);
    for (row, advice) in &report.keys {
        let mut cells = cells(row, width, report.now).to_vec();
        if width == Width::Wide {
            cells.push(advice.sentence(report.now));
        }
        table.add_row(cells);
    }
    let mut lines = table.lines();
    line(text, lines.next().unwrap_or_default().trim());
    // No cell has two lines, so there is one for each key.
    for ((row, advice), shown) in report.keys.iter().zip(lines) {
        line(text, &painted(shown.trim(), of_state(row.state)));
        if width == Width::Narrow {
            line(text, &next(advice, report.now));
        }
    }
}

fn cells(row: &Row, width: Width, now: Time) -> [String; 7] {
    let kid = match width {
        // Kubernetes' own kids as they are, so that they can be copied; longer ones cut.
        Width::Narrow => shortened(row.key.kid().as_str(), KUBERNETES_KID_CHARS),
        Width::Wide => escaped(row.key.kid().as_str()),
    };
    let published = row.published_since.filter(|_| {
        // What was published before is of no interest any more.
        matches!(row.state, State::Active | State::Retiring)
    });
    [
        kid,
        row.key.kind(),
        marked(row.state),
        ago(row.first_seen, now),
        ago(row.last_seen, now),
        seen_by(row, width),
        published.map_or_else(|| "no".to_owned(), |since| ago(since, now)),
    ]
}

fn seen_by(row: &Row, width: Width) -> String {
    let servers = row.seen_by.iter().filter(|it| it.is_api_server()).count();
    let is_complete = row.state == State::Active && row.missing_on.is_empty();
    if width == Width::Narrow && is_complete && servers > 1 && servers == row.seen_by.len() {
        return format!("all {servers}");
    }
    let hosts: Vec<_> = row.seen_by.iter().map(Source::host).collect();
    match hosts.as_slice() {
        [] => "-".to_owned(),
        [first, _, rest @ ..] if width == Width::Narrow && !rest.is_empty() => {
            format!("{first} +{}", hosts.len() - 1)
        }
        hosts => hosts.join(", "),
    }
}

fn next(advice: &Advice, now: Time) -> String {
    let dim = Style::new().dimmed();
    format!("  {dim}NEXT{dim:#} {}", advice.sentence(now))
}

fn line(text: &mut String, line: &str) {
    _ = writeln!(text, "{}", line.trim_end());
}

const HEADER: [&str; 7] = [
    "KID",
    "TYPE",
    "STATE",
    "FIRST SEEN",
    "LAST SEEN",
    "SEEN BY",
    "PUBLISHED",
];
/// SHA-256 in unpadded base64url.
const KUBERNETES_KID_CHARS: usize = 43;

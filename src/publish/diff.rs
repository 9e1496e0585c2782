//! A change as a unified diff for people, for `publish --dry-run`.
//!
//! Pure. Both sides are shown as their metadata and pretty-printed JSON. What stands at a target
//! was written by others: control characters are escaped, and what is no document is not shown.

use std::fmt::Write as _;

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::{Change, Name, Object, Standing};
use crate::oidc::{KeySet, Reject};

/// Whether to colour a diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// With ANSI escape sequences, for a terminal.
    Ansi,
    /// Without.
    Plain,
}

/// `change` as a unified diff; `target` is what the paths are shown under.
pub fn unified(change: &Change, target: &str, colour: Colour) -> String {
    let url = format!("{}/{}", target.trim_end_matches('/'), change.name);
    let (before, note) = match &change.found {
        Standing::Missing => (String::new(), " (missing)"),
        Standing::Present(object) => (shown(change.name, object), ""),
        Standing::Unreadable => (String::new(), " (unreadable)"),
    };
    let after = shown(change.name, &change.wanted);
    let mut out = Painter {
        text: String::new(),
        colour,
    };
    out.line(BOLD, &format!("--- {url}{note}"));
    out.line(BOLD, &format!("+++ {url}"));
    if before == after {
        out.line(CYAN, "the same JSON, written differently");
    }
    let diff = TextDiff::from_lines(&before, &after);
    for hunk in diff
        .unified_diff()
        .context_radius(CONTEXT_LINES)
        .iter_hunks()
    {
        out.line(CYAN, &hunk.header().to_string());
        for line in hunk.iter_changes() {
            let (colour, sign) = match line.tag() {
                ChangeTag::Delete => (RED, '-'),
                ChangeTag::Equal => (DEFAULT, ' '),
                ChangeTag::Insert => (GREEN, '+'),
            };
            out.line(colour, &format!("{sign}{}", line.value().trim_end()));
        }
    }
    out.text
}

/// An object as lines of text: its metadata, then its JSON.
fn shown(name: Name, object: &Object) -> String {
    let mut text = String::new();
    let metadata = [
        ("content-type", &object.content_type),
        ("cache-control", &object.cache_control),
    ];
    for (name, value) in metadata {
        if let Some(value) = value {
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    text.push_str(&body(name, &object.body));
    text.push('\n');
    text.chars().map(escaped).collect()
}

fn body(name: Name, body: &[u8]) -> String {
    // A private key that someone put there must not be printed.
    if name == Name::Jwks
        && let Err(reject @ Reject::Private { .. }) = KeySet::parse(body)
    {
        return format!("({} bytes, not shown: {reject})", body.len());
    }
    serde_json::from_slice::<Value>(body)
        .and_then(|json| serde_json::to_string_pretty(&json))
        .unwrap_or_else(|_| format!("({} bytes that are not JSON)", body.len()))
}

/// JSON strings may hold characters that a terminal obeys, such as U+009B.
fn escaped(character: char) -> String {
    if character.is_control() && character != '\n' {
        character.escape_default().to_string()
    } else {
        character.to_string()
    }
}

struct Painter {
    text: String,
    colour: Colour,
}

impl Painter {
    fn line(&mut self, style: &str, line: &str) {
        let written = match self.colour {
            Colour::Ansi if !style.is_empty() => writeln!(self.text, "{style}{line}{RESET}"),
            Colour::Ansi | Colour::Plain => writeln!(self.text, "{line}"),
        };
        written.expect("writing to a string does not fail");
    }
}

/// Equal lines shown around a difference.
const CONTEXT_LINES: usize = 3;
const BOLD: &str = "\x1b[1m";
const CYAN: &str = "\x1b[36m";
const DEFAULT: &str = "";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const RESET: &str = "\x1b[0m";

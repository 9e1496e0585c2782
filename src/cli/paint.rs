//! Colours in tables.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

use crate::oidc::State;

/// `cell` with marks where its colour begins and ends, which a table takes for nothing.
pub(super) fn marked(cell: impl Display) -> String {
    format!("{MARK}{cell}{MARK}")
}

/// Puts colour where the marks are.
pub(super) fn painted(line: &str, style: Style) -> String {
    line.replacen(MARK, &style.to_string(), 1)
        .replacen(MARK, &format!("{style:#}"), 1)
}

/// The colour of a key that stands there.
pub(super) fn of_state(state: State) -> Style {
    match state {
        State::Active => AnsiColor::Green.on_default(),
        State::Held => AnsiColor::Yellow.on_default(),
        State::Retired => Style::new().dimmed(),
        State::Retiring => AnsiColor::Cyan.on_default(),
        State::Revoked => AnsiColor::Red.on_default(),
    }
}

/// A character without width, which is escaped wherever others write it.
const MARK: char = '\u{2060}';

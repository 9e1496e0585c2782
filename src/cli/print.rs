//! What a subcommand prints.

use std::io::Write as _;

/// Prints to people in colours, unless they do not want them, and to machines without.
pub(super) fn print(text: &str) {
    // Who stops reading has read enough.
    _ = anstream::stdout().write_all(text.as_bytes());
}

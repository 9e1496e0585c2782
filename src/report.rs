//! How errors are shown to people and logs: the whole chain in one line.

use std::{error::Error, fmt};

/// Prints an error and its sources, joined by ": ".
///
/// A source whose text the message already contains is skipped: some libraries both print and
/// return their source.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut message = self.0.to_string();
        let mut source = self.0.source();
        while let Some(error) = source {
            let text = error.to_string();
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            source = error.source();
        }
        f.write_str(&message)
    }
}

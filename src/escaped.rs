//! Text of others, fit for a line of a terminal.

/// `text` with everything escaped that is not seen as it is written: control characters, and those
/// that turn the direction of writing.
pub(crate) fn escaped(text: &str) -> String {
    text.chars().flat_map(char::escape_debug).collect()
}

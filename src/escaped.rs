//! Text of others, fit to be shown in a line.

/// `text` with everything escaped that is not seen as it is written: control characters, and those
/// that turn the direction of writing.
pub(crate) fn escaped(text: &str) -> String {
    text.chars().flat_map(char::escape_debug).collect()
}

/// As [`escaped`], and cut where it is longer than `limit` characters.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    let mut shown = escaped(text);
    if let Some((end, _)) = shown.char_indices().nth(limit) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

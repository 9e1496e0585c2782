//! What a listener makes of the errors of `accept(2)`.

use std::io;

/// Whether an error of `accept(2)` belongs to one connection, not to the listener.
pub(crate) fn is_peers_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

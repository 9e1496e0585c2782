//! What a listener makes of the errors of `accept(2)`.

use std::{io, time::Duration};

use tokio::time::sleep;
use tracing::{debug, error};

/// Says why no connection was accepted `on` a listener (" on admin.listen"; nothing for the public
/// one), and waits where only time helps.
pub(crate) async fn failed(error: &io::Error, on: &'static str) {
    if is_peers_fault(error) {
        debug!(%error, "a connection{on} was not accepted");
    } else {
        error!(
            %error,
            "no connection can be accepted{on}; raise the limit of open files (LimitNOFILE)"
        );
        sleep(PAUSE).await;
    }
}

/// Whether an error of `accept(2)` belongs to one connection, not to the listener.
fn is_peers_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// How long to wait for descriptors to come free: also bounds how often that is logged.
const PAUSE: Duration = Duration::from_secs(1);

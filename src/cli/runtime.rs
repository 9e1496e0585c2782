//! From the synchronous command line into tokio.

use std::{future::Future, time::Duration};

use tracing::error;

use super::Exit;

/// Runs a subcommand to its end.
pub(super) fn block_on(subcommand: impl Future<Output = Exit>) -> Exit {
    match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let exit = runtime.block_on(subcommand);
            // A name that does not resolve would otherwise be waited for.
            runtime.shutdown_timeout(LAST_WRITES);
            exit
        }
        Err(error) => {
            error!(%error, "could not start the runtime");
            Exit::Failed
        }
    }
}

/// How long what is being written may take at the end.
const LAST_WRITES: Duration = Duration::from_secs(1);

//! From the synchronous command line into tokio.

use std::future::Future;

use tracing::error;

use super::Exit;

/// Runs a subcommand to its end.
pub(super) fn block_on(subcommand: impl Future<Output = Exit>) -> Exit {
    match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(subcommand),
        Err(error) => {
            error!(%error, "could not start the runtime");
            Exit::Failed
        }
    }
}

//! Publishing: puts the documents of a snapshot where relying parties read them.
//!
//! Sees snapshots and nothing to their left. Keys go before the discovery document, nothing is
//! written when equal, and no key is taken away while an upstream has not answered yet.

pub mod diff;
mod directory;
mod error;
mod plan;
mod reconcile;
mod s3;
mod target;

#[cfg(test)]
mod tests;

pub use error::{Action, PublishError};
pub use plan::{Change, Name, Object, Refusal, Standing};
pub use reconcile::listed;
pub use s3::SharedCredentialsProvider;
pub use target::Publisher;

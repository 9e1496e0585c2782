//! Publishing: puts the documents where relying parties read them.
//!
//! Sees snapshots and nothing to their left. Any number of processes may publish to one target:
//! each writes what it knows into an entry of its own in the state object, and publishes the union
//! of all entries. Keys go before the discovery document, and nothing is written when equal.

mod board;
pub mod diff;
mod directory;
mod error;
mod object;
mod plan;
mod progress;
mod reconcile;
mod s3;
mod target;
mod turn;

#[cfg(test)]
mod tests;

pub use error::{Action, PublishError};
pub use object::{Change, Name, Object, Standing};
pub use plan::{Refusal, TurnReport};
pub use progress::Progress;
pub use reconcile::{listed, log_outcome};
pub use s3::SharedCredentialsProvider;
pub use target::{Outcome, Publisher};

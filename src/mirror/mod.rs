//! The loop: fetch, step the ledger, render, hand over.
//!
//! The only place that knows the stages and their order. A failure on the way leaves the last good
//! snapshot standing.

mod key_files;
mod memory;
mod poll;
mod polled;
mod status;
mod store;

pub use memory::Memory;
pub use poll::{Mirror, NoSnapshot, Snapshots};
pub use status::{Status, Statuses, UpstreamStatus};
pub use store::{Decisions, StateDir, StateError, Store};

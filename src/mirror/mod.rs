//! The loop: fetch, step the ledger, render, hand over.
//!
//! The only place that knows the stages and their order. A failure on the way leaves the last good
//! snapshot standing.

mod alarm;
mod poll;

pub use poll::{Mirror, NoSnapshot, Snapshots};

//! Tests of what needs no socket.

mod diff;
mod error;
mod plan;
mod reconcile;

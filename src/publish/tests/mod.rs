//! Tests of what publishing decides and says; the edges are tested against real targets.

mod diff;
mod error;
mod plan;
mod reconcile;
pub(super) mod sample;
mod turn;

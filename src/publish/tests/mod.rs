//! Tests of what is pure.

mod diff;
mod plan;

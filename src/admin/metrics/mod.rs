//! `/metrics`: how things stand for Prometheus, rendered when asked; one file for each group.
//!
//! Labels hold names that the operator wrote and short reasons of ours, never a kid or anything
//! else that a remote side chooses.

mod certificates;
mod classic;
mod families;
mod keys;
mod mirrors;
mod read_back;
mod render;
mod targets;
mod upstreams;

pub(super) use render::{Format, render};

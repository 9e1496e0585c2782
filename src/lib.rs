//! A standalone OIDC discovery and JWKS mirror for Kubernetes.
//!
//! ```text
//!                      the core: no I/O, no clock, no async
//!            ┌──────────────────────────────────────────────┐
//! upstreams ─► KeySet::parse ─► Ledger::step ─► Snapshot::render ─► watch<Arc<Snapshot>> ─┬─► serve   (HTTPS)
//!  (fetch)   └──────────────────────────────────────────────┘                            └─► publish (targets)
//!       mirror: the loop that calls the stages in this order
//! ```
//!
//! One way. A stage knows what it receives and what it returns, nothing else; a failure on the way
//! leaves the last good snapshot standing. `cli` puts the stages together.

mod accept;
pub mod admin;
mod alarm;
mod backoff;
mod cache_control;
pub mod cli;
mod clock;
pub mod config;
pub mod demo;
mod escaped;
mod file;
pub mod mirror;
pub mod oidc;
pub mod publish;
mod report;
pub mod serve;
mod trouble;
pub mod upstream;
pub mod verify;
mod when;

pub use report::Report;
pub use trouble::Trouble;

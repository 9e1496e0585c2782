//! What the operator asks a running process: whether it lives, whether it is ready, how it stands,
//! its metrics, and what it knows of the keys.
//!
//! Reads what the others tell and changes nothing. Its own listener, in plain HTTP and without
//! authentication: nothing that it says is secret, but it is nobody else's business.

mod keys;
mod listener;
mod metrics;
mod page;
mod ready;
mod respond;
mod standing;
mod views;

pub use keys::{KeysAnswer, MirrorKeys};
pub use listener::{Admin, AdminError};
#[cfg(test)]
pub(crate) use standing::sample;
pub use standing::{
    CertificateStanding, Check, KeyStanding, MirrorStanding, ReadBackStanding, SnapshotStanding,
    Standing, TargetStanding, UpstreamStanding, Verdict,
};
pub use views::{View, Views};

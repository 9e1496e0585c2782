//! What the operator asks a running process: whether it lives, whether it is ready, its metrics,
//! and what it knows of the keys.
//!
//! Reads what the others tell and changes nothing. Its own listener, in plain HTTP and without
//! authentication: nothing that it says is secret, but it is nobody else's business.

mod keys;
mod listener;
mod metrics;
mod ready;
mod respond;
mod views;

pub use keys::{KeysAnswer, MirrorKeys};
pub use listener::{Admin, AdminError};
pub use views::{View, Views};

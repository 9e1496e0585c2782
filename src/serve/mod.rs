//! Serving the snapshots over HTTPS: listener, TLS, routing by host and path, responses.
//!
//! Knows snapshots and nothing of where they come from. A request copies no body and waits for
//! nothing; what a peer sends is never logged above debug.

mod certificates;
mod connection;
mod cork;
mod counters;
mod crowd;
mod listener;
mod proxy;
mod respond;
mod routes;
mod socket;

#[cfg(test)]
mod tests;

pub use certificates::{CertificateStatus, PairError, TlsError};
pub use counters::Counters;
pub use listener::{Ends, Listener, ServeError};
pub use routes::{Route, Routes};
pub use socket::{Activated, BindError};

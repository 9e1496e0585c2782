//! The left end: reads both documents from the API servers of a mirror, each by its own address.
//!
//! It never follows a redirect or the upstream's own `jwks_uri`, never skips the verification of a
//! certificate, never sends the bearer token to another host than the one configured, and never
//! shows a token, a key or what a server said.

mod client;
mod connection;
mod credentials;
mod error;
mod kubeconfig;
mod plugin;
mod response;
mod tls;

pub use client::{Answer, Upstream, connect};
pub use error::{CredentialError, FetchError};
pub use plugin::PluginFault;

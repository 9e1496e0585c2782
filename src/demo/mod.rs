//! A simulated cluster: API servers that answer as real ones do, and the story told with them.
//!
//! `oidc-mirror demo` shows the mirror at work without a cluster, against API servers on loopback
//! ports that serve what a kube-apiserver serves and rotate their keys as an operator would. It
//! shares no parser and no renderer with the mirror, so that neither hides a mistake of the other.

mod apiserver;
mod authority;
mod cluster;
mod https;
mod signing_key;
mod story;
mod token;

pub use apiserver::{Apiserver, respond};
pub use authority::{Authority, Certificate, CertificateError};
pub use cluster::{Cluster, ClusterError};
pub use https::{Https, Port, TlsError, tls};
pub use signing_key::{Jwk, KeyError, KeyKind, SigningKey};
pub use story::{Story, StoryError, Tally};
pub use token::{Claims, ServiceAccount};

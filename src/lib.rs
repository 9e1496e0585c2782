//! A standalone OIDC discovery and JWKS mirror for Kubernetes.

pub mod config;
pub mod demo;
pub mod oidc;
pub mod publish;
mod report;
pub mod upstream;
pub mod verify;

pub use report::Report;

//! A standalone OIDC discovery and JWKS mirror for Kubernetes.

pub mod config;
pub mod demo;
pub mod oidc;
mod report;

pub use report::Report;

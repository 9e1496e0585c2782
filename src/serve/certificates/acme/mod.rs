//! Certificates from an ACME server (RFC 8555), one for each domain, so that one that cannot be
//! had holds up no other.

mod account;
mod challenges;
mod client;
mod disk;
mod error;
mod http01;
mod keeper;
mod open;
mod order;
mod renewal;

pub(super) use challenges::Challenges;
pub(super) use open::Acme;

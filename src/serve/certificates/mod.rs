//! The certificates of the listeners: where they come from, and how they are kept fresh.
//!
//! Handshakes ask [`resolver`] for a certificate at the moment they need it, so one is replaced
//! while connections come and go. A certificate that cannot be used never replaces a good one.

mod acme;
mod files;
mod open;
mod pair;
mod resolver;
mod slot;

#[cfg(test)]
mod tests;

pub use files::TlsError;
pub(super) use open::Certificates;
pub use pair::PairError;
pub(super) use resolver::ACME_TLS;
pub use slot::CertificateStatus;

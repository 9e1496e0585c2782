//! The core: issuer, key, key set, discovery document, ledger, snapshot.
//!
//! Pure: it never does I/O, reads a clock or waits. Every byte that is served or published was
//! rendered here from values that were parsed here.

mod discovery;
mod issuer;
mod json;
mod key;
mod key_set;
mod ledger;
mod snapshot;

#[cfg(test)]
mod tests;

pub use discovery::is_reserved;
pub use issuer::{Issuer, IssuerError};
pub use key::{Algorithm, Key, Kid, LeftOut, Unfit};
pub use key_set::{KeySet, MAX_DOCUMENT_BYTES, Reject, upstream_issuer};
pub use ledger::{Event, Ledger, Round};
pub use snapshot::{Document, Snapshot};

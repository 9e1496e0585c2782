//! The core: issuer, key, key set, discovery document, ledger, snapshot.
//!
//! Pure: it never does I/O, reads a clock or waits. Every byte that is served or published was
//! rendered here from values that were parsed here.

mod discovery;
mod identity;
mod issuer;
mod json;
mod key;
mod key_file;
mod key_set;
mod kid;
mod ledger;
mod snapshot;
mod time;

#[cfg(test)]
mod tests;

pub use discovery::is_reserved;
pub use identity::KeyName;
pub use issuer::{Issuer, IssuerError};
pub use json::parse_stored;
pub use key::{Algorithm, Key, LeftOut, Unfit};
pub use key_file::KeyFileError;
pub use key_set::{KeySet, MAX_DOCUMENT_BYTES, Reject, upstream_issuer};
pub use kid::Kid;
pub use ledger::{Admission, Event, Ledger, Listing, Policy, Record, Round, State, Upstream};
pub use snapshot::{Document, Snapshot};
pub use time::Time;

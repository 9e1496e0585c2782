//! What is known of the keys of one cluster, from round to round and from run to run.
//!
//! HA API servers each list only their own key files, and a key that no server lists any more may
//! still have signed tokens that live for hours. So the ledger remembers: a key is published as
//! soon as any upstream lists it, and until it was absent for as long as tokens live. Absence is
//! believed only from a complete round, and only the time that was watched counts as absence.
//!
//! Pure: it is told the time, and whatever the clock does no key goes too soon.

mod absorb;
mod events;
mod merge;
mod policy;
mod record;
mod step;

#[cfg(test)]
mod tests;

pub use events::Event;
pub use policy::{Admission, Policy};
pub use record::{Ledger, Record, State, Upstream};
pub use step::{Listing, Round};

//! The relying party's side: whether the published documents verify a token, and whether they are
//! those that were given out.
//!
//! It shares no parser with the mirror, so that it notices what the mirror does wrong.

mod ask;
mod public;
mod read_back;
mod relying_party;
mod token;

pub use ask::{AskError, ask};
pub use public::{NotPublic, Public};
pub use read_back::{ReadBack, ReadBackStatus};
pub use relying_party::{RelyingParty, Verified, VerifyError};
pub use token::{Refusal, Token};

//! The relying party's side: whether the published documents verify a token.
//!
//! It shares no parser with the mirror, so that it notices what the mirror does wrong.

mod relying_party;
mod token;

pub use relying_party::{RelyingParty, Verified, VerifyError};
pub use token::{Refusal, Token};

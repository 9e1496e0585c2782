//! What hostile peers do to a listener, one connection each, and never for longer than they are
//! told. For loopback addresses only; `tests/it` does the same.

mod attack;
pub(crate) mod bytes;
mod target;

pub(crate) use attack::{Attack, flood};
pub(crate) use target::Target;

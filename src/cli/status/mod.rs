//! `status`: how a running mirror stands, and what to do where it does not stand well.

mod arguments;
mod table;

#[cfg(test)]
mod tests;

pub(super) use arguments::{Arguments, execute};

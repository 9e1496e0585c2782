//! The status page: how things stand, for people.
//!
//! One document that loads nothing and runs nothing. What others wrote is escaped by maud, and what
//! cannot be seen in it is made visible; each piece of it keeps its direction of writing to itself.

mod document;
mod key;
mod mirror;
mod parts;
mod time_line;

#[cfg(test)]
mod tests;

pub(super) use document::{Choice, policy, render};

//! `keys`: where each key stands, what to do next with it, and what the operator decides about it.

mod advice;
mod arguments;
mod decide;
mod json;
mod known;
mod place;
mod report;
mod row;
mod table;

#[cfg(test)]
mod tests;

pub(super) use arguments::{Arguments, execute};

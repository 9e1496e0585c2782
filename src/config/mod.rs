//! Configuration: the file as written, and the settings as meant.

mod acme;
mod address;
mod error;
mod file;
mod keys;
mod place;
mod serve;
pub mod settings;
mod target;
mod understand;

#[cfg(test)]
mod tests;

pub use error::ConfigError;
pub use file::Override;

//! Configuration: the file as written, and the settings as meant.

pub mod settings;

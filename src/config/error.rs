//! Why a configuration is refused.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why a configuration is refused: the key, its value, and what would be right.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value that means nothing or cannot work.
    #[error("{key} = {value:?}: {why}")]
    Invalid {
        /// The dotted key.
        key: String,
        /// The value as written.
        value: String,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// A required setting that is missing.
    #[error("{key} is missing: {hint}")]
    Missing {
        /// The dotted key.
        key: String,
        /// How to give it.
        hint: &'static str,
    },
    /// A flag or `--set` that does not fit.
    #[error("{origin}: {why}")]
    Override {
        /// What the operator wrote.
        origin: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file cannot be read.
    #[error("could not read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{} is not a configuration", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// Settings that cannot stand together.
    #[error("{0}")]
    Together(String),
}

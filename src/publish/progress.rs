//! How publishing to one target goes: for the operator, and for those who read back.

use crate::{Trouble, config::settings::Target, oidc::Time};

/// How publishing to one target goes.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The mirror.
    pub mirror: String,
    /// The URL of the target.
    pub target: String,
    /// When the target was last found, or made, as it should be.
    pub last_success: Option<Time>,
    /// Why the last try failed; `None` when it succeeded.
    pub failure: Option<Trouble>,
    /// How often something was written.
    pub writes: u64,
    /// How often publishing failed.
    pub failures: u64,
    /// How often somebody else had changed a document.
    pub drifts: u64,
    /// Whether a document is now other than it should be, because it is left alone.
    pub is_drifted: bool,
    /// Whether the target takes a write whatever its condition says.
    pub ignores_conditions: bool,
}

impl Progress {
    pub(super) fn new(mirror: &str, target: &Target) -> Self {
        Self {
            mirror: mirror.to_owned(),
            target: target.to_string(),
            last_success: None,
            failure: None,
            writes: 0,
            failures: 0,
            drifts: 0,
            is_drifted: false,
            ignores_conditions: false,
        }
    }
}

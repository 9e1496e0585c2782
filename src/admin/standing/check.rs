//! One thing that was looked at: how it was found, and what to do when that is not well.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Check {
    /// What was looked at.
    pub name: Cow<'static, str>,
    /// How it was found; empty when there is nothing to add.
    pub found: String,
    /// What to do about it; `None` when all is well.
    pub advice: Option<String>,
}

/// How a mirror, or the whole process, does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Relying parties are kept from good documents.
    Unready,
    /// Good documents are given out, and something needs attention.
    Attention,
    /// Nothing is to be done.
    Well,
}

impl Check {
    pub(super) fn well(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name: Cow::Borrowed(name),
            found: found.into(),
            advice: None,
        }
    }

    pub(super) fn failed(
        name: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            advice: Some(advice.into()),
            ..Self::well(name, found)
        }
    }

    /// Whether there is nothing to do.
    pub fn is_well(&self) -> bool {
        self.advice.is_none()
    }
}

impl Verdict {
    /// What is said of something whose `checks` these are.
    pub(super) fn of<'a>(is_ready: bool, checks: impl IntoIterator<Item = &'a Check>) -> Self {
        if !is_ready {
            Self::Unready
        } else if checks.into_iter().all(Check::is_well) {
            Self::Well
        } else {
            Self::Attention
        }
    }

    /// A few words for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attention => "needs attention",
            Self::Unready => "not ready",
            Self::Well => "all well",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

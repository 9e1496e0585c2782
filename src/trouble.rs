//! What goes wrong at the moment, as the operator is told.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::oidc::Time;

/// What goes wrong at the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Why, shortly: a metric's label.
    pub reason: Cow<'static, str>,
    /// The same in words, with what to do: never a secret, nor what a peer wrote.
    pub message: String,
    /// Since when, whatever the reasons were meanwhile.
    pub since: Time,
}

impl Trouble {
    /// Goes on from `before`, if there was trouble before.
    pub(crate) fn after(
        before: Option<&Self>,
        reason: &'static str,
        message: String,
        now: Time,
    ) -> Self {
        Self {
            reason: Cow::Borrowed(reason),
            message,
            since: before.map_or(now, |it| it.since),
        }
    }
}

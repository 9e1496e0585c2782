//! One log line when a trouble starts, one when it ends, silence between.

/// Whether a trouble lasts.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    raised: bool,
}

/// What changed about a trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Ended,
    Started,
}

impl Alarm {
    /// Notes whether the trouble is there now; tells whether that is news.
    pub(crate) fn set(&mut self, raised: bool) -> Option<Change> {
        let change = match (self.raised, raised) {
            (false, true) => Some(Change::Started),
            (true, false) => Some(Change::Ended),
            (false, false) | (true, true) => None,
        };
        self.raised = raised;
        change
    }

    /// Whether the trouble was there when last noted.
    pub(crate) fn is_raised(&self) -> bool {
        self.raised
    }
}

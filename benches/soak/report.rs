//! What came of it.

use std::collections::BTreeMap;

use comfy_table::{Table, presets::ASCII_MARKDOWN};

use crate::{
    log,
    samples::{Sample, spark, warm_and_last},
    tally::Counts,
};

/// What is known when it is over.
pub(crate) struct Soaked {
    pub(crate) samples: Vec<Sample>,
    /// When everybody had gone.
    pub(crate) last: Sample,
    pub(crate) counts: Counts,
    /// How often each message was logged.
    pub(crate) messages: BTreeMap<String, u64>,
}

impl Soaked {
    pub(crate) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header(["what", "how often"]);
        let counts = &self.counts;
        for (kind, count) in &counts.answers {
            table.add_row([format!("good answers, {kind}"), count.to_string()]);
        }
        for (kind, count) in &counts.attacks {
            table.add_row([format!("attacks, {kind}"), count.to_string()]);
        }
        table.add_row(["keys rotated", &counts.rotations.to_string()]);
        table.add_row(["certificates renewed", &counts.renewals.to_string()]);
        for (message, count) in &self.messages {
            table.add_row([format!("logged, {message}"), count.to_string()]);
        }
        let most = |value: fn(&Sample) -> f64| self.samples.iter().map(value).fold(0.0, f64::max);
        let [warm, end] = warm_and_last(&self.samples);
        format!(
            "{table}\n\nmemory {}\nresident {warm:.1} MiB when warm, {end:.1} at the end, {:.1} at \
             most; {} descriptors at most, {} when all had gone; {} threads at most",
            spark(&self.samples),
            most(|it| it.resident_mib),
            most(|it| it.descriptors),
            self.last.descriptors,
            most(|it| it.threads),
        )
    }

    /// The promises that were broken, and how often.
    pub(crate) fn violations(&self) -> BTreeMap<String, u64> {
        let mut violations = self.counts.violations.clone();
        let mut violated = |what: &str| _ = violations.insert(what.to_owned(), 1);
        let [warm, end] = warm_and_last(&self.samples);
        if end > warm * MOST_GROWTH + MOST_MORE_MIB {
            violated("memory grows");
        }
        let first = self
            .samples
            .first()
            .map_or(0.0, |sample| sample.descriptors);
        if self.last.descriptors > first {
            violated("descriptors stay open");
        }
        for message in self.messages.keys().filter(|it| !log::is_expected(it)) {
            violated(&format!("it was logged: {message}"));
        }
        violations
    }
}

const MOST_GROWTH: f64 = 1.05;
const MOST_MORE_MIB: f64 = 2.0;

//! What was measured, as a table that is aligned and Markdown as well.

use std::fmt;

use comfy_table::{Table, presets::ASCII_MARKDOWN};

/// One quantity, of both servers.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) goal: Goal,
    pub(crate) mirror: Series,
    pub(crate) nginx: Series,
    /// Answers in a second of the server's own time, which does not depend on the generator.
    pub(crate) efficiency: Option<[Series; 2]>,
    /// The share of its core that each server took.
    pub(crate) busy: Option<[f64; 2]>,
}

/// What the ratio of the mirror to nginx should be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    AtLeastOne,
    AtMostOne,
}

/// The values of several runs, in order of size.
pub(crate) struct Series(Vec<f64>);

impl Row {
    /// A quantity without anything beside it.
    pub(crate) fn plain(what: &str, goal: Goal, [mirror, nginx]: [Series; 2]) -> Self {
        Self {
            what: what.to_owned(),
            goal,
            mirror,
            nginx,
            efficiency: None,
            busy: None,
        }
    }

    /// The mirror's median to nginx'.
    pub(crate) fn ratio(&self) -> f64 {
        self.mirror.median() / self.nginx.median()
    }

    fn cells(&self) -> [String; 8] {
        let (efficiencies, ratio) = match &self.efficiency {
            Some([mirror, nginx]) => (
                format!("{} : {}", number(mirror.median()), number(nginx.median())),
                format!("{:.2}", mirror.median() / nginx.median()),
            ),
            None => Default::default(),
        };
        let busy = self.busy.map(|busy| busy.map(|share| 100.0 * share));
        [
            self.what.clone(),
            self.mirror.to_string(),
            self.nginx.to_string(),
            format!("{:.2}", self.ratio()),
            self.goal.to_string(),
            busy.map_or_else(String::new, |[mirror, nginx]| {
                format!("{mirror:.0} : {nginx:.0} %")
            }),
            efficiencies,
            ratio,
        ]
    }

    /// Whether something else than the servers set the pace.
    fn is_unsaturated(&self) -> bool {
        self.busy
            .is_some_and(|busy| busy.iter().any(|share| *share < SATURATED))
    }
}

/// The whole table, and what must be known to read it.
pub(crate) fn table(rival: &str, rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([
        "what",
        "oidc-mirror",
        rival,
        "ratio",
        "should be",
        "core busy",
        "per CPU second",
        "ratio",
    ]);
    table.add_rows(rows.iter().map(Row::cells));
    let note = if rows.iter().any(Row::is_unsaturated) {
        UNSATURATED
    } else {
        ""
    };
    format!("{table}\n{note}")
}

impl Series {
    pub(crate) fn new(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        Self(values)
    }

    pub(crate) fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&number(self.median()))?;
        match self.0[..] {
            [least, .., most] => write!(f, " ({} to {})", number(least), number(most)),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtLeastOne => "≥ 1.0",
            Self::AtMostOne => "≤ 1.0",
        })
    }
}

/// Three digits or more.
fn number(value: f64) -> String {
    let decimals = match value {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// The share of a core from which on a server had no time to spare.
const SATURATED: f64 = 0.9;
const UNSATURATED: &str = "
Where a core was less than 90 % busy its server had time to spare, because of the generator or of
something else on this machine; what counts there is the ratio per CPU second.
";

//! What the mirror takes, second by second.

use std::{
    fs,
    io::{self, IsTerminal as _, Write as _},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, interval};

use crate::{
    support::{Failure, field},
    tally::Tally,
};

/// At one moment.
pub(crate) struct Sample {
    pub(crate) resident_mib: f64,
    pub(crate) descriptors: f64,
    pub(crate) threads: f64,
}

impl Sample {
    pub(crate) fn take(process: u32) -> Result<Self, Failure> {
        let descriptors = fs::read_dir(format!("/proc/{process}/fd"))?.count();
        Ok(Self {
            resident_mib: field(process, "status", "VmRSS")? / 1024.0,
            descriptors: u32::try_from(descriptors)?.into(),
            threads: field(process, "status", "Threads")?,
        })
    }
}

/// Takes a sample each second until `end`, and shows them on a terminal.
pub(crate) async fn watch(
    process: u32,
    end: Instant,
    tally: Arc<Tally>,
) -> Result<Vec<Sample>, Failure> {
    let mut seconds = interval(Duration::from_secs(1));
    let mut samples = Vec::new();
    loop {
        let now = seconds.tick().await;
        if now >= end {
            return Ok(samples);
        }
        let sample = Sample::take(process)?;
        if io::stdout().is_terminal() {
            let (left, counts) = ((end - now).as_secs(), tally.lock());
            let answers: u64 = counts.answers.values().sum();
            print!(
                "\r{left} s left: {:.1} MiB, {answers} good answers, {} kinds of violations  ",
                sample.resident_mib,
                counts.violations.len()
            );
            io::stdout().flush()?;
        }
        samples.push(sample);
    }
}

/// Memory in the second tenth of the time, when everything is warm, and in the last.
pub(crate) fn warm_and_last(samples: &[Sample]) -> [f64; 2] {
    let tenth = samples.len() / 10;
    let median = |samples: &[Sample]| {
        let mut values: Vec<_> = samples.iter().map(|it| it.resident_mib).collect();
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    [
        median(&samples[tenth..2 * tenth]),
        median(&samples[samples.len() - tenth..]),
    ]
}

/// Memory over time, as wide as a line.
pub(crate) fn spark(samples: &[Sample]) -> String {
    let most = samples.iter().map(|it| it.resident_mib).fold(0.0, f64::max);
    let step = samples.len().div_ceil(WIDTH).max(1);
    let height = |chunk: &[Sample]| {
        let peak = chunk.iter().map(|it| it.resident_mib).fold(0.0, f64::max);
        let reached = (0..)
            .zip(BARS)
            .take_while(|(step, _)| peak >= most * f64::from(*step) / 8.0);
        reached.last().map_or(' ', |(_, bar)| bar)
    };
    samples.chunks(step).map(height).collect()
}

const WIDTH: usize = 72;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

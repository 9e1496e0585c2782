//! What one process of many mirrors takes: `cargo bench --bench fleet`.
//!
//! Stand-ins for the API servers of many clusters listen on loopback addresses of their own, over
//! TLS, and the real binary has a mirror of each. The table says what it takes to poll them all once
//! a minute over connections that stay open, and what that does to the API servers. Linux only; the
//! limit of open files must allow a connection for each mirror: `ulimit -n 20000`.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measures")]
#![expect(clippy::disallowed_types, reason = "what is measured is real time")]

mod clusters;
mod process;

use std::{
    error::Error,
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Parser;
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use tokio::time::sleep;

use crate::{
    clusters::{Clusters, Seen},
    process::{Memory, Process},
};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

#[derive(Parser)]
struct Options {
    /// How many mirrors, one process after the other.
    #[arg(default_values_t = [1000, 2500, 5000, 10_000])]
    mirrors: Vec<u32>,
    /// Give each cluster a CA and a token of its own; otherwise all have the same.
    #[arg(long)]
    own_credentials: bool,
    /// Keep the ledgers in a state directory.
    #[arg(long)]
    state: bool,
    /// For how long to measure, once every cluster was read a second time.
    #[arg(long, default_value_t = 2)]
    minutes: u32,
    /// The program; that of this build when not said.
    #[arg(long, env = "BIN", default_value = env!("CARGO_BIN_EXE_oidc-mirror"))]
    bin: PathBuf,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let mut all = Vec::with_capacity(options.mirrors.len());
    for mirrors in &options.mirrors {
        let measured = Measured::of(*mirrors, &options).await?;
        all.push(measured);
    }
    println!("{}", table(&all));
    if let [_, _, ..] = all.as_slice() {
        let (slope, intercept) = line(&all);
        println!(
            "\nmemory: {intercept:.1} MiB and {:.1} KiB a mirror",
            slope * 1024.0
        );
    }
    Ok(())
}

/// What one process of so many mirrors took.
struct Measured {
    mirrors: u32,
    until_ready: Duration,
    memory: Memory,
    /// CPU seconds in a second.
    cores: f64,
    /// What the API servers saw from the start until all were ready.
    start: Seen,
    /// What they saw while it was measured.
    steady: Seen,
    metrics_bytes: usize,
    metrics_took: Duration,
}

impl Measured {
    async fn of(mirrors: u32, options: &Options) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let clusters = Clusters::start(mirrors, options.own_credentials, directory.path()).await?;
        let state = options.state.then(|| directory.path().join("state"));
        let config = clusters.config(state.as_deref());
        let start = Instant::now();
        let process = Process::start(&options.bin, &config, directory.path()).await?;
        let until_ready = start.elapsed();
        let at_start = clusters.seen_since(start);
        // The second round is the first one on connections that are there.
        sleep((INTERVAL * 5 / 4).saturating_sub(until_ready)).await;
        let (from, cpu) = (Instant::now(), process.cpu()?);
        sleep(INTERVAL * options.minutes).await;
        let cpu = process.cpu()? - cpu;
        let (took, steady) = (from.elapsed(), clusters.seen_since(from));
        let memory = process.memory()?;
        clusters.check(fastrand::u32(..mirrors), &process).await?;
        let scraped = Instant::now();
        let metrics = process.metrics().await?;
        Ok(Self {
            mirrors,
            until_ready,
            memory,
            cores: cpu.as_secs_f64() / took.as_secs_f64(),
            start: at_start,
            steady,
            metrics_bytes: metrics.len(),
            metrics_took: scraped.elapsed(),
        })
    }
}

fn table(all: &[Measured]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    let mut row = |what: &str, show: &dyn Fn(&Measured) -> String| {
        table.add_row(std::iter::once(what.to_owned()).chain(all.iter().map(show)));
    };
    row("until all are ready", &|it| {
        format!("{:.1} s", it.until_ready.as_secs_f64())
    });
    row("requests in the busiest second of that", &|it| {
        it.start.busiest().to_string()
    });
    row("resident memory, MiB", &|it| {
        format!("{:.1}", mebibytes(it.memory.resident))
    });
    row("of that anonymous", &|it| {
        format!("{:.1}", mebibytes(it.memory.anonymous))
    });
    row("at its peak", &|it| {
        format!("{:.1}", mebibytes(it.memory.peak))
    });
    row("cores", &|it| format!("{:.3}", it.cores));
    row("connections", &|it| it.steady.open.to_string());
    row("new connections", &|it| it.steady.accepted.to_string());
    row("requests a second", &|it| {
        format!("{:.1}", it.steady.mean())
    });
    row("requests in the busiest second", &|it| {
        it.steady.busiest().to_string()
    });
    row("`/metrics`, MB", &|it| {
        format!("{:.2}", it.metrics_bytes as f64 / 1e6)
    });
    row("read in, ms", &|it| {
        format!("{:.0}", it.metrics_took.as_secs_f64() * 1e3)
    });
    table.set_header(
        std::iter::once("mirrors".to_owned()).chain(all.iter().map(|it| it.mirrors.to_string())),
    );
    table
}

/// The line through memory over mirrors by least squares: MiB for each mirror, and for none.
fn line(all: &[Measured]) -> (f64, f64) {
    let points = || {
        all.iter()
            .map(|it| (f64::from(it.mirrors), mebibytes(it.memory.resident)))
    };
    let count = all.len() as f64;
    let mean = |sum: f64| sum / count;
    let (x, y) = (
        mean(points().map(|it| it.0).sum()),
        mean(points().map(|it| it.1).sum()),
    );
    let covariance: f64 = points().map(|it| (it.0 - x) * (it.1 - y)).sum();
    let variance: f64 = points().map(|it| (it.0 - x).powi(2)).sum();
    let slope = covariance / variance;
    (slope, y - slope * x)
}

fn mebibytes(kibibytes: u32) -> f64 {
    f64::from(kibibytes) / 1024.0
}

const INTERVAL: Duration = Duration::from_mins(1);

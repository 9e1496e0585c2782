//! Does the mirror hold out on the public internet?
//!
//! `cargo bench --bench soak -- 30m` runs the real binary for that long, under good clients and
//! hostile ones, while keys are rotated, certificates renewed and the configuration reloaded every
//! few seconds. It fails when a good client saw an error, when a key was missing, when a connection
//! was refused, when an attacker was suffered for long, when memory grew, or when the log holds a
//! line that says nothing to the operator. All traffic stays on loopback addresses.

#![expect(clippy::print_stdout, reason = "the table is the result")]

mod good;
mod hostile;
mod log;
mod operator;
mod report;
mod samples;
#[path = "../support/mod.rs"]
mod support;
mod tally;

use std::{
    fs::{self, File},
    net::Ipv4Addr,
    path::PathBuf,
    process::{Command, ExitCode},
    sync::Arc,
    time::Duration,
};

use clap::Parser as _;
use rustls::version::TLS13;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    good::Good,
    hostile::{Attack, Target},
    operator::Operator,
    report::Soaked,
    samples::Sample,
    support::{Failure, HOST, Running, Site, free_address, trusting},
    tally::Tally,
};

/// Tries for how long the mirror holds out under good and hostile clients.
#[derive(clap::Parser)]
struct Arguments {
    /// How long
    #[arg(default_value = "30m", value_parser = humantime::parse_duration)]
    length: Duration,
    /// The program to try
    #[arg(long, env = "BIN", default_value = env!("CARGO_BIN_EXE_oidc-mirror"))]
    binary: PathBuf,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<ExitCode, Failure> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let soaked = runtime.block_on(soak(&arguments))?;
    println!("{}", soaked.table());
    let violations = soaked.violations();
    for (violation, count) in &violations {
        println!("violated {count} times: {violation}");
    }
    Ok(if violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn soak(arguments: &Arguments) -> Result<Soaked, Failure> {
    let site = Site::start(API_SERVERS).await?;
    let address = free_address()?;
    let log = site.path("log");
    let mut command = Command::new(&arguments.binary);
    command
        .arg("--log-format=json")
        .args(site.run(address))
        .args(SETTINGS);
    command.arg(format!("--set=admin.listen={}", free_address()?));
    command.arg(format!("--state-dir={}", site.path("state").display()));
    let mirror = Running::start(command.stderr(File::create(&log)?))?;
    let process = mirror.id();

    let tally = Arc::new(Tally::default());
    let goods = Good::all(&site, address, &tally)?;
    let tls = trusting(&site.authority, &TLS13, "http/1.1")?;
    let target = Target::new(address, tls, HOST, PATIENCE)?;
    let mut operator = Operator::new(site, process, address, &tally)?;
    operator.begin().await?;
    let end = Instant::now() + arguments.length;
    let samples = tokio::spawn(samples::watch(process, end, Arc::clone(&tally)));
    let mut parts = JoinSet::new();
    for good in goods {
        parts.spawn(good.run(end));
    }
    for number in 1..=ATTACKERS {
        let target = target.from(Ipv4Addr::new(127, 0, 1, number));
        parts.spawn(attack(target, Arc::clone(&tally), end));
    }
    parts.spawn(flood(
        target.from(Ipv4Addr::new(127, 0, 2, 1)),
        Arc::clone(&tally),
        end,
    ));
    operator.run(end).await?;
    parts.join_all().await;
    sleep(SETTLE).await;
    Ok(Soaked {
        samples: samples.await??,
        last: Sample::take(process)?,
        counts: tally.take(),
        messages: log::count(&fs::read_to_string(log)?),
    })
}

/// One attack after the other, until `end`.
async fn attack(target: Target, tally: Arc<Tally>, end: Instant) {
    while Instant::now() < end {
        let attack = fastrand::choice(Attack::ALL).unwrap_or(Attack::Scan);
        match attack.once(&target).await {
            Ok(outcome) if outcome.is_ended => {
                let answer = outcome.status().unwrap_or("no answer");
                tally.attacked(format!("{attack:?}, {answer}"));
            }
            Ok(_) => tally.violated(format!("{attack:?} was suffered for {PATIENCE:?}")),
            Err(error) => tally.violated(format!("an attacker could not connect: {error}")),
        }
        sleep(PAUSE).await;
    }
}

/// More connections from one address than it may have, again and again.
async fn flood(target: Target, tally: Arc<Tally>, end: Instant) {
    while Instant::now() < end {
        match hostile::flood(&target, 2 * PER_ADDRESS).await {
            Ok(PER_ADDRESS) => tally.attacked("Flood, one half refused".to_owned()),
            Ok(open) => tally.violated(format!("{open} connections from one address")),
            Err(error) => tally.violated(format!("a flood was refused: {error}")),
        }
        sleep(10 * PAUSE).await;
    }
}

const API_SERVERS: usize = 3;
const ATTACKERS: u8 = 12;
const PER_ADDRESS: usize = 64;
const PAUSE: Duration = Duration::from_millis(50);
/// Of an attacker: longer than any deadline of the mirror.
const PATIENCE: Duration = Duration::from_secs(8);
/// Longer than a connection may stay open without a request.
const SETTLE: Duration = Duration::from_secs(5);
/// Everything is over sooner than by default, so that it happens more often.
const SETTINGS: [&str; 7] = [
    "--set=mirror.poll-interval=1s",
    "--set=mirror.retain-keys=20s",
    "--set=serve.handshake-timeout=2s",
    "--set=serve.header-timeout=2s",
    "--set=serve.idle-timeout=3s",
    "--set=serve.max-connections=512",
    "--set=serve.max-connections-per-address=64",
];

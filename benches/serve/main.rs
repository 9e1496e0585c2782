//! How fast does the mirror serve, beside nginx with the same file?
//!
//! `cargo bench --bench serve` measures both in one run, with one generator of load: the server on
//! one core, the generator on another, the other server idle meanwhile. Each measurement alternates
//! between the two, so that what disturbs the machine disturbs both. It fails when an answer is not
//! what it should be, not when it is late. It needs nginx, taskset and prlimit.

#![expect(clippy::print_stdout, reason = "the table is the result")]

mod bare;
mod latency;
mod load;
mod memory;
mod picture;
mod report;
mod servers;
#[path = "../support/mod.rs"]
mod support;

use std::{fs, net::SocketAddr, path::PathBuf, process::Command, time::Duration};

use clap::Parser as _;
use rustls::{
    SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

use crate::{
    load::{Connections, Load, Outcome},
    memory::Memory,
    report::{Goal, Row, Series},
    servers::{Scene, Server},
    support::Failure,
};

/// Measures how fast the mirror serves, beside nginx with the same file.
#[derive(clap::Parser)]
struct Arguments {
    /// Only measurements with this in their name
    only: Option<String>,
    /// How often each is repeated
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// How long each takes
    #[arg(long, default_value = "3s", value_parser = humantime::parse_duration)]
    length: Duration,
    /// Idle connections while memory is measured
    #[arg(long, default_value_t = 10_000)]
    idle: u32,
    /// One short run of each with few connections, to see that it works
    #[arg(long)]
    quick: bool,
    /// Draw docs/performance.svg
    #[arg(long)]
    draw: bool,
    /// What to compare with
    #[arg(long, value_enum, default_value_t)]
    against: Rival,
    /// Be the bare loop: address and directory
    #[arg(long, hide = true, num_args = 2)]
    bare: Vec<String>,
    /// The core of the servers
    #[arg(long, default_value_t = 1)]
    server_core: u32,
    /// The core of the generator
    #[arg(long, default_value_t = 0)]
    generator_core: u32,
    /// The program to measure
    #[arg(long, env = "BIN", default_value = env!("CARGO_BIN_EXE_oidc-mirror"))]
    binary: PathBuf,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// What the mirror is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Rival {
    /// A loop of rustls on a socket, for HTTP/1.1 only
    Bare,
    #[default]
    Nginx,
}

fn main() -> Result<(), Failure> {
    let mut arguments = Arguments::parse();
    if arguments.quick {
        (arguments.runs, arguments.length, arguments.idle) = (1, Duration::from_secs(1), 500);
    }
    // Before there are threads and children, which inherit both.
    change_self("taskset", &format!("-pc {}", arguments.generator_core))?;
    change_self("prlimit", &format!("--nofile={DESCRIPTORS}: --pid"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if let [address, directory] = arguments.bare.as_slice() {
        let address: SocketAddr = address.parse()?;
        return runtime.block_on(bare::serve(address, directory.as_ref()));
    }
    let (draw, rival) = (arguments.draw, arguments.against);
    let rows = runtime.block_on(async {
        let scene = Scene::prepare(arguments.binary.clone(), arguments.server_core).await?;
        Bench { arguments, scene }.run().await
    })?;
    println!("\n{}", report::table(rival.name(), &rows));
    if draw {
        fs::write(PICTURE, picture::draw(&rows))?;
    }
    Ok(())
}

impl Rival {
    fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare rustls",
            Self::Nginx => "nginx",
        }
    }
}

/// Runs a program of util-linux on this process.
fn change_self(program: &str, arguments: &str) -> Result<(), Failure> {
    let id = std::process::id().to_string();
    let arguments = arguments.split(' ').chain([id.as_str()]);
    let done = Command::new(program).args(arguments).output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!(
        "{program}: {}",
        String::from_utf8_lossy(&done.stderr).trim()
    )
    .into())
}

/// What is measured, and how.
struct Bench {
    arguments: Arguments,
    scene: Scene,
}

impl Bench {
    async fn run(&self) -> Result<Vec<Row>, Failure> {
        let mut rows = Vec::new();
        let servers = [self.scene.mirror().await?, self.rival().await?];
        for (what, connections, version) in LOADS {
            if self.is_wanted(what) {
                let load = Load {
                    connections,
                    version,
                };
                rows.push(self.rate(what, load, &servers).await?);
            }
        }
        if self.is_wanted(LATENCY) {
            rows.push(self.latency(&servers).await?);
        }
        drop(servers);
        for (protocol, connections) in PROTOCOLS {
            let what = format!("memory, {protocol}");
            if self.is_wanted(&what) {
                rows.extend(self.memory(&what, connections).await?);
            }
        }
        Ok(rows)
    }

    async fn rival(&self) -> Result<Server, Failure> {
        match self.arguments.against {
            Rival::Bare => self.scene.bare().await,
            Rival::Nginx => self.scene.nginx().await,
        }
    }

    fn is_wanted(&self, what: &str) -> bool {
        let is_named = |only: &String| what.contains(only);
        let is_possible = self.arguments.against != Rival::Bare || !what.contains("HTTP/2");
        is_possible && self.arguments.only.as_ref().is_none_or(is_named)
    }

    /// How much of a load each server takes.
    async fn rate(&self, what: &str, load: Load, servers: &[Server; 2]) -> Result<Row, Failure> {
        let length = self.arguments.length;
        let outcomes = self.alternate(servers, async |server| {
            let outcome = load.measure(server, &self.scene, length).await?;
            println!(
                "{what}: {} {:.0}, its core {:.0} % busy, the generator's {:.0} %",
                server.name,
                outcome.rate,
                100.0 * outcome.busy,
                100.0 * outcome.generator_busy
            );
            Ok(outcome)
        });
        let outcomes = outcomes.await?;
        let series = |value: fn(&Outcome) -> f64| {
            outcomes
                .each_ref()
                .map(|it| Series::new(it.iter().map(value).collect()))
        };
        Ok(Row {
            efficiency: Some(series(|it| it.efficiency)),
            busy: Some(series(|it| it.busy).map(|busy| busy.median())),
            ..Row::plain(what, Goal::AtLeastOne, series(|it| it.rate))
        })
    }

    async fn latency(&self, servers: &[Server; 2]) -> Result<Row, Failure> {
        let load = Load {
            connections: Connections::Kept,
            version: &TLS13,
        };
        let (scene, length) = (&self.scene, self.arguments.length);
        let [_, nginx] = servers;
        let rate = load.measure(nginx, scene, length).await?.rate / 2.0;
        let latencies = self.alternate(servers, async |server| {
            let p99 = latency::p99(load, rate, server, scene, length).await?;
            println!("{LATENCY} ({rate:.0} a second): {} {p99:?}", server.name);
            Ok(1e6 * p99.as_secs_f64())
        });
        Ok(Row::plain(
            LATENCY,
            Goal::AtMostOne,
            latencies.await?.map(Series::new),
        ))
    }

    /// One run of each server after the other, as often as was asked for.
    async fn alternate<T>(
        &self,
        servers: &[Server; 2],
        measure: impl AsyncFn(&Server) -> Result<T, Failure>,
    ) -> Result<[Vec<T>; 2], Failure> {
        let mut outcomes = [Vec::new(), Vec::new()];
        for _ in 0..self.arguments.runs {
            for (server, outcomes) in servers.iter().zip(&mut outcomes) {
                outcomes.push(measure(server).await?);
            }
        }
        Ok(outcomes)
    }

    /// Memory of servers that were just started.
    async fn memory(&self, what: &str, connections: Connections) -> Result<[Row; 4], Failure> {
        let (load, count) = (
            Load {
                connections,
                version: &TLS13,
            },
            self.arguments.idle,
        );
        let mut measured = Vec::new();
        for server in [self.scene.mirror().await?, self.rival().await?] {
            let memory = memory::measure(load, &server, &self.scene, count).await?;
            println!("{what}: {} {memory:?}", server.name);
            measured.push(memory);
        }
        let row = |what: String, value: fn(&Memory) -> f64| {
            let series = [0, 1].map(|at| Series::new(vec![value(&measured[at])]));
            Row::plain(&what, Goal::AtMostOne, series)
        };
        Ok([
            row(format!("{what}, idle, MiB"), |it| it.idle / 1024.0),
            row(format!("{what}, {count} idle connections, MiB"), |it| {
                it.connected / 1024.0
            }),
            row(
                format!("{what}, the same, process that serves, MiB"),
                |it| it.resident / 1024.0,
            ),
            row(
                format!("{what}, for one connection, KiB"),
                Memory::per_connection,
            ),
        ])
    }
}

/// What is asked as fast as there are answers.
const LOADS: [(&str, Connections, &SupportedProtocolVersion); 6] = [
    (
        "GETs per second, HTTP/1.1, connection kept",
        Connections::Kept,
        &TLS13,
    ),
    (
        "GETs per second, HTTP/2, connection kept",
        Connections::Multiplexed,
        &TLS13,
    ),
    (
        "new connections per second, TLS 1.3",
        Connections::New,
        &TLS13,
    ),
    (
        "new connections per second, TLS 1.3, resumed",
        Connections::Resumed,
        &TLS13,
    ),
    (
        "GETs per second, HTTP/1.1, connection kept, TLS 1.2",
        Connections::Kept,
        &TLS12,
    ),
    (
        "new connections per second, TLS 1.2",
        Connections::New,
        &TLS12,
    ),
];
const LATENCY: &str = "p99 latency at half of nginx' peak, HTTP/1.1, connection kept, µs";
const PROTOCOLS: [(&str, Connections); 2] = [
    ("HTTP/1.1", Connections::Kept),
    ("HTTP/2", Connections::Multiplexed),
];
/// For the idle connections, at either end, and whatever else is open.
const DESCRIPTORS: u32 = 12_000;
const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance.svg");

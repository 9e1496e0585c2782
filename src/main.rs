//! Arguments → run → exit code.

use std::process::ExitCode;

use clap::Parser as _;
use oidc_mirror::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().execute().into()
}

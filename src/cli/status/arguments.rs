//! The command line of `status`.

use clap::Args;
use thiserror::Error;
use tracing::error;
use url::Url;

use super::table;
use crate::{
    Report,
    admin::{Standing, Verdict},
    cli::{
        Exit,
        arguments::{Selection, with},
        asking,
        print::print,
        runtime,
    },
};

/// The command line of `status`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// The admin listener of the mirror, such as 127.0.0.1:9443 [default: that of the settings]
    #[arg(long, value_name = "ADDRESS", value_parser = asking::listener)]
    from: Option<Url>,
    /// Print JSON, for machines
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn execute(arguments: Arguments) -> Exit {
    let Arguments {
        selection,
        from,
        json,
    } = arguments;
    // Whoever is named knows its settings.
    if let Some(url) = from {
        return runtime::block_on(show(url, json));
    }
    with(selection.load(None), |settings| {
        match asking::listener_of(&settings) {
            Some(url) => runtime::block_on(show(url, json)),
            None => {
                error!(error = %Nobody, "could not ask how it stands");
                Exit::Configuration
            }
        }
    })
}

async fn show(url: Url, json: bool) -> Exit {
    let standing = match asking::ask::<Standing>(&url, "/status").await {
        Ok((_, standing)) => standing,
        Err(error) => {
            error!(error = %Report(&error), "could not ask how it stands");
            return Exit::Failed;
        }
    };
    if json {
        let text = serde_json::to_string_pretty(&standing);
        print(&(text.expect("what was read from JSON can be written") + "\n"));
    } else {
        print(&table::render(&standing));
    }
    match standing.verdict {
        Verdict::Well => Exit::Done,
        Verdict::Attention | Verdict::Unready => Exit::Failed,
    }
}

/// Nothing says whom to ask.
#[derive(Debug, Error)]
#[error(
    "the settings have no admin listener: set `listen = \"127.0.0.1:9443\"` in [admin] and restart \
     the mirror, or name its address with --from"
)]
struct Nobody;

const EXAMPLES: &str = "\
Examples:
  oidc-mirror status --config /etc/oidc-mirror/mirror.toml
  oidc-mirror status --from 127.0.0.1:9443 --json";

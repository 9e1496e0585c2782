//! The command line of `keys`.

use std::io::{self, IsTerminal as _};

use clap::{Args, Subcommand};
use tracing::error;

use super::{
    decide::{self, Decision},
    json,
    known::{self, Known},
    place::Place,
    report::Report as KeysReport,
    table::{self, Width},
};
use crate::{
    Report,
    cli::{
        Exit,
        arguments::{Selection, with},
        print::print,
        runtime,
    },
    clock,
    oidc::KeyName,
};

/// The command line of `keys`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(in crate::cli) struct Arguments {
    #[command(subcommand)]
    verdict: Option<Verdict>,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    showing: Showing,
}

#[derive(Args, Debug)]
struct Showing {
    // As `help`, since rustdoc would take the URL for a link.
    #[arg(help = FROM)]
    #[arg(long, value_name = "PLACE", value_parser = Place::parse)]
    from: Option<Place>,
    /// Print JSON, for machines
    #[arg(long)]
    json: bool,
    /// Do not look whether the keys are public at this moment
    #[arg(long)]
    offline: bool,
    /// Print everything in one line for each key, as where there is no terminal
    #[arg(long)]
    wide: bool,
}

#[derive(Debug, Subcommand)]
enum Verdict {
    /// Publish a key that is held back
    ///
    /// Works beside a running mirror, which publishes the key within a second.
    Approve(VerdictArguments),
    /// Publish a key no more, whatever the API servers say
    ///
    /// Works beside a running mirror, which withdraws the key within a second. Tokens signed with
    /// it are refused as soon as relying parties read the keys again.
    Revoke(VerdictArguments),
}

#[derive(Args, Debug)]
struct VerdictArguments {
    /// The key: its kid or its RFC 7638 thumbprint, after -- when that begins with a dash
    #[arg(required = true, value_name = "NAME", value_parser = name)]
    names: Vec<KeyName>,
    /// The mirror, where there are several
    #[arg(long, value_name = "NAME")]
    mirror: Option<String>,
    /// Take the decision back
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    selection: Selection,
}

fn name(text: &str) -> Result<KeyName, String> {
    KeyName::parse(text).ok_or_else(|| "a key is named by its kid or its thumbprint".to_owned())
}

pub(in crate::cli) fn execute(arguments: Arguments) -> Exit {
    let Arguments {
        verdict,
        selection,
        showing,
    } = arguments;
    match verdict {
        Some(Verdict::Approve(arguments)) => arguments.decide(Decision::Approve),
        Some(Verdict::Revoke(arguments)) => arguments.decide(Decision::Revoke),
        None => showing.execute(selection),
    }
}

impl VerdictArguments {
    fn decide(self, decision: Decision) -> Exit {
        let Self {
            names,
            mirror,
            undo,
            selection,
        } = self;
        with(selection.load(None), |settings| {
            let verdict = decide::Verdict {
                decision,
                names,
                undo,
            };
            decide::execute(&settings, mirror.as_deref(), &verdict)
        })
    }
}

impl Showing {
    fn execute(self, selection: Selection) -> Exit {
        // A running process knows its settings.
        if let Some(Place::Admin(url)) = &self.from {
            return runtime::block_on(async { self.show(known::ask(url).await).await });
        }
        with(selection.load(None), |settings| {
            runtime::block_on(async {
                let known = known::read(&settings, self.from.as_ref()).await;
                self.show(known).await
            })
        })
    }

    async fn show(&self, known: Vec<Result<Known, known::KnownError>>) -> Exit {
        let (mut exit, mut found) = (Exit::Done, Vec::new());
        for known in known {
            match known {
                Ok(known) => found.push(known),
                Err(error) => {
                    error!(error = %Report(&error), "could not read what is known of the keys");
                    exit = Exit::from(&error);
                }
            }
        }
        let reports = KeysReport::all(found, self.offline, clock::now()).await;
        if self.json {
            print(&json::render(&reports));
        } else {
            let is_terminal = io::stdout().is_terminal();
            let width = if self.wide || !is_terminal {
                Width::Wide
            } else {
                Width::Narrow
            };
            print(&table::render(&reports, width));
        }
        exit
    }
}

const FROM: &str = "Where to read from: the admin listener of a running mirror \
                    (http://127.0.0.1:9443), the URL of a target, or \"target\" for the first \
                    [default: the state directory, else the first target, else the admin listener]";
const EXAMPLES: &str = "\
Examples:
  oidc-mirror keys --config /etc/oidc-mirror/mirror.toml
  oidc-mirror keys --from http://127.0.0.1:9443
  oidc-mirror keys --issuer https://oidc.example.com --to s3://example-oidc --json
  oidc-mirror keys revoke KID --config /etc/oidc-mirror/mirror.toml";

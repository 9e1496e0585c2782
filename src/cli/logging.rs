//! Log lines: to standard error, as text or JSON.

use std::io::{self, IsTerminal as _};

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// How to log.
#[derive(Args, Debug)]
pub(super) struct Logging {
    /// The form of log lines
    #[arg(
        long,
        global = true,
        value_name = "FORM",
        env = "OIDC_MIRROR_LOG_FORMAT"
    )]
    #[arg(value_enum, default_value_t, help_heading = "Logging")]
    log_format: Format,
    /// What to log: error, warn, info, debug or trace
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        env = "OIDC_MIRROR_LOG_LEVEL"
    )]
    #[arg(help_heading = "Logging")]
    log_level: Option<LevelFilter>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    Json,
    #[default]
    Text,
}

impl Logging {
    /// Starts logging; `level` is for when none was asked for.
    pub(super) fn start(&self, level: LevelFilter) {
        let level = self.log_level.unwrap_or(level);
        // Libraries have no say below warn unless everything is wanted.
        let libraries = if level == LevelFilter::TRACE {
            level
        } else {
            level.min(LevelFilter::WARN)
        };
        // One warns with the whole answer of a credential service, which we say without; the other
        // whenever a client resets too many streams, which is nobody's concern.
        let discreet = libraries.min(LevelFilter::ERROR);
        let directives =
            format!("{libraries},aws_config={discreet},h2={discreet},oidc_mirror={level}");
        let filter = EnvFilter::new(directives);
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .with_target(false);
        match self.log_format {
            Format::Json => builder.json().flatten_event(true).init(),
            Format::Text => builder.init(),
        }
    }
}

//! What the exit code says.

use std::process::ExitCode;

/// How the process ends. Code 2, a wrong command line, is clap's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The configuration, a certificate or a credential cannot be used: trying again is of no use.
    /// `EX_CONFIG` of `sysexits.h`; the unit file knows it as `RestartPreventExitStatus`.
    Configuration,
    /// All that was asked for is done.
    Done,
    /// Something failed that may work another time.
    Failed,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Configuration => 78,
        })
    }
}

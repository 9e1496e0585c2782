//! The command line: one file a subcommand, and the assembly of all stages.

mod arguments;
mod asking;
mod check;
pub mod demo;
mod exit;
mod keys;
mod logging;
mod manager;
mod observe;
mod paint;
mod print;
mod publish;
mod publisher;
mod run;
mod runtime;
pub mod service;
mod start_error;
mod status;
mod work;

pub use arguments::Cli;
pub use exit::Exit;
pub use start_error::StartError;

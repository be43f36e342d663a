//! `rota-artifact`: makes, shows, checks and signs Artifacts from the command line.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}

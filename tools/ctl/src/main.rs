//! `rotactl`: the operator's command line for a Rota or Mender server.
//!
//! `cli` says what can be typed, `commands/` does it, one file per noun, over `api`, which
//! holds the only HTTP. Data goes to standard output, everything else to standard error.

mod api;
mod cli;
mod commands;
mod failure;
mod output;
mod session;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match commands::run(arguments).await {
        Ok(code) => code,
        Err(error) => {
            output::complain(&error);
            failure::exit_code(&error)
        }
    }
}

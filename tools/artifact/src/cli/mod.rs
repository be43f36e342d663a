//! The command line: flags are named, and exit codes numbered, as mender-artifact does.

mod args;
mod dump;
mod failure;
mod output;
mod payload;
mod payload_args;
mod progress;
mod read;
mod sign;
mod text;
mod tree;
mod validate;
mod write;

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::Context;
use clap::{CommandFactory, FromArgMatches, error::ErrorKind};
use rota_artifact::VerifyKeys;

use args::{Cli, Command};
use failure::{Code, Failure};
use write::Order;

/// Runs the command and says how it ended.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let matches = match Cli::command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    let result = Cli::from_arg_matches(&matches)
        .map_err(|error| Failure::from(anyhow::Error::from(error)))
        .and_then(|cli| match cli.command {
            Command::Write { command } => {
                write::run(command, cli.compression.unwrap_or_default(), &Order::of(&matches))
            }
            Command::Read(args) => read::run(&args),
            Command::Validate(args) => validate::run(&args),
            Command::Sign(args) => sign::run(&args),
            Command::Dump(args) => dump::run(&args),
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn usage(error: &clap::Error) -> ExitCode {
    // If even the message cannot be printed, the exit code must do.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        ErrorKind::InvalidSubcommand => Code::UnknownCommand.into(),
        _ => Code::Usage.into(),
    }
}

/// Opens an Artifact to be read.
fn open(path: &Path) -> Result<File, Failure> {
    File::open(path)
        .with_context(|| format!("cannot open {}", path.display()))
        .map_err(|error| Failure::new(Code::CannotOpen, error))
}

/// Reads the public keys of all `paths`; `None` when there are none.
fn verify_keys(paths: &[impl AsRef<Path>]) -> anyhow::Result<Option<VerifyKeys>> {
    let mut keys = VerifyKeys::new();
    for path in paths {
        let path = path.as_ref();
        let pem = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        keys.add_pem(&pem).with_context(|| format!("cannot use {}", path.display()))?;
    }
    Ok(Some(keys).filter(|keys| !keys.is_empty()))
}

/// Writes to standard output. Whoever closed it (`| head`) has seen enough.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

/// Says something on standard error that is no reason to stop.
fn warn(text: &str) {
    // Nowhere is left to complain when standard error is closed.
    let _ = writeln!(io::stderr().lock(), "warning: {text}");
}

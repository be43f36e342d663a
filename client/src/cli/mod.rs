//! The command line: what Mender's `mender-update` and `mender-auth` offer, in one program.

mod arguments;
mod bootstrap;
mod control_map;
mod daemon;
mod device;
mod flash;
mod presence;
mod program;
mod progress;
mod report;
mod setup;
mod show;
mod signal;
mod snapshot;
mod standalone;

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use rota_client::journal::Store;

use arguments::{Arguments, Command, Parsed};
use device::Device;
use program::Program;

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\n");

/// How a command ended; the numbers are those of Mender's client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Success = 0,
    Failure = 1,
    /// `resume`, `commit` or `rollback` without an update in progress.
    NothingInProgress = 2,
    /// The payload wants a reboot, and the caller asked to be told.
    RebootRequired = 4,
}

/// Parses, runs, and says how it went.
pub(crate) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.peekable();
    if arguments.peek().is_some_and(|name| name == snapshot::GUARD) {
        return ExitCode::from(ended(snapshot::stand_guard(arguments)) as u8);
    }
    let program = arguments.peek().map_or(Program::RotaClient, |name| Program::called_as(name));
    if program == Program::MenderFlash {
        return ExitCode::from(flash(arguments) as u8);
    }
    let exit = match arguments::parse(program, arguments) {
        Ok(Parsed::Help) => print(&program.usage()),
        Ok(Parsed::Version) => print(VERSION),
        Ok(Parsed::Setup(common, flags)) => ended(setup::run(&common, &flags)),
        Ok(Parsed::Run(arguments)) => ended(run(&arguments)),
        Err(error) => {
            complain(&format!("{error}; see {} --help", program.name()));
            Exit::Failure
        }
    };
    ExitCode::from(exit as u8)
}

fn flash(arguments: impl Iterator<Item = OsString>) -> Exit {
    match flash::parse(arguments) {
        Ok(flash::Parsed::Help) => print(&Program::MenderFlash.usage()),
        Ok(flash::Parsed::Version) => print(VERSION),
        Ok(flash::Parsed::Run(flags)) => ended(flash::run(&flags)),
        Err(error) => ended(Err(error.into())),
    }
}

fn ended(outcome: anyhow::Result<Exit>) -> Exit {
    outcome.unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        Exit::Failure
    })
}

fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut device = Device::open(&arguments.common)?;
    let outcome = run_on(&mut device, &arguments.command);
    // What was noticed where no update ran.
    for damage in device.store.take_damage() {
        device.log.warning(damage);
    }
    outcome
}

fn run_on(device: &mut Device, command: &Command) -> anyhow::Result<Exit> {
    match command {
        Command::Daemon { force_bootstrap } => daemon::run(device, *force_bootstrap),
        Command::AuthDaemon { force_bootstrap } => bootstrap::wait(device, *force_bootstrap),
        Command::CheckUpdate => signal::check_update(device),
        Command::SendInventory => signal::send_inventory(device),
        Command::ControlMap(maps) => control_map::run(device, maps),
        Command::ShowArtifact(format) => show::artifact(device, *format),
        Command::ShowProvides(format) => show::provides(device, *format),
        Command::Status(format) => show::status(device, *format),
        Command::SnapshotDump(flags) => snapshot::dump(device, flags),
        Command::Install { artifact, by_hand } => standalone::install(device, artifact, by_hand),
        Command::Resume(by_hand) => standalone::resume(device, by_hand),
        Command::Commit(by_hand) => standalone::commit(device, by_hand),
        Command::Rollback(by_hand) => standalone::roll_back(device, by_hand),
        Command::Bootstrap { force } => bootstrap::run(device, *force),
    }
}

/// Writes to standard output; a reader that went away is no error worth reporting.
fn print(text: &str) -> Exit {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Exit::Success,
        Err(_) => Exit::Failure,
    }
}

fn say(line: &str) {
    print(&format!("{line}\n"));
}

fn complain(line: &str) {
    // There is nobody left to tell.
    let _ = writeln!(io::stderr(), "rota-client: {line}");
}

//! The command line's grammar.

mod legacy;
#[cfg(test)]
mod tests;

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use lexopt::prelude::*;
use rota_client::{log::Level, machine::StopPoint};

use super::{program::Program, standalone::ByHand};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Daemon { force_bootstrap: bool },
    AuthDaemon { force_bootstrap: bool },
    CheckUpdate,
    SendInventory,
    ShowArtifact,
    ShowProvides,
    Install { artifact: OsString, by_hand: ByHand },
    Resume(ByHand),
    Commit(ByHand),
    Rollback(ByHand),
    Bootstrap { force: bool },
}

/// A command and its circumstances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    pub(super) command: Command,
    pub(super) common: Common,
}

/// Options that set a command's circumstances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Common {
    pub(super) config: Option<PathBuf>,
    pub(super) fallback_config: Option<PathBuf>,
    pub(super) config_dir: Option<PathBuf>,
    pub(super) share_dir: Option<PathBuf>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) trusted_certs: Option<PathBuf>,
    pub(super) skip_verify: bool,
    pub(super) allow_downgrade: bool,
    pub(super) log_file: Option<PathBuf>,
    pub(super) log_level: Option<Level>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Help,
    Version,
    Run(Box<Arguments>),
}

/// A line as it is read, before it is known whether it makes sense.
#[derive(Default)]
struct Line {
    common: Common,
    words: Vec<OsString>,
    by_hand: ByHand,
    force_bootstrap: bool,
    /// Options that do not go with every command, as they were given.
    special: Vec<&'static str>,
}

/// Reads the command line; the first item is the program's name.
pub(super) fn parse(
    program: Program,
    arguments: impl Iterator<Item = OsString>,
) -> Result<Parsed, lexopt::Error> {
    let mut parser = lexopt::Parser::from_iter(legacy::modern(arguments));
    let mut line = Line::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Parsed::Help),
            Short('v') | Long("version") => return Ok(Parsed::Version),
            Value(word) => line.words.push(word),
            Short(letter) => {
                let Some(name) = long_name(letter) else {
                    return Err(format!("Unrecognized option '-{letter}'").into());
                };
                line.take(name, &mut parser)?;
            }
            Long(name) => {
                let name = name.to_owned();
                line.take(&name, &mut parser)?;
            }
        }
    }
    if line.words.first().is_some_and(|word| word == "help") {
        return Ok(Parsed::Help);
    }
    let command = line.command(program)?;
    Ok(Parsed::Run(Box::new(Arguments { command, common: line.common })))
}

fn long_name(letter: char) -> Option<&'static str> {
    Some(match letter {
        'c' => "config",
        'b' => "fallback-config",
        'd' => "data",
        'E' => "trusted-certs",
        'L' => "log-file",
        'l' => "log-level",
        'F' => "forcebootstrap",
        _ => return None,
    })
}

impl Line {
    fn take(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<(), lexopt::Error> {
        let common = &mut self.common;
        match name {
            "config" => common.config = path(parser)?,
            "fallback-config" => common.fallback_config = path(parser)?,
            "config-dir" => common.config_dir = path(parser)?,
            "share-dir" => common.share_dir = path(parser)?,
            "data" | "datastore" => common.data_dir = path(parser)?,
            "trusted-certs" => common.trusted_certs = path(parser)?,
            "skipverify" => common.skip_verify = true,
            "log-file" => common.log_file = path(parser)?,
            "log-level" => common.log_level = Some(level(&parser.value()?)?),
            // There is no syslog to keep the log from.
            "no-syslog" => {}
            "passphrase-file" => {
                return Err("--passphrase-file: encrypted device keys cannot be used; \
                            store the key decrypted, readable to root alone, \
                            or keep it in a PKCS#11 token"
                    .into());
            }
            "forcebootstrap" => {
                self.special.push("--forcebootstrap");
                self.force_bootstrap = true;
            }
            "allow-downgrade" => {
                self.special.push("--allow-downgrade");
                common.allow_downgrade = true;
            }
            "reboot-exit-code" => {
                self.special.push("--reboot-exit-code");
                self.by_hand.reboot_exit_code = true;
            }
            "stop-before" => {
                self.special.push("--stop-before");
                self.by_hand.stop_before.push(stop_point(&parser.value()?)?);
            }
            _ => return Err(format!("Unrecognized option '--{name}'").into()),
        }
        Ok(())
    }

    fn command(&mut self, program: Program) -> Result<Command, lexopt::Error> {
        let mut words = std::mem::take(&mut self.words).into_iter();
        let name = words.next().ok_or("need a command")?;
        let by_hand = std::mem::take(&mut self.by_hand);
        let force_bootstrap = self.force_bootstrap;
        let (command, options) = match name.to_str().filter(|name| offers(program, name)) {
            Some("daemon") if program == Program::MenderAuth => {
                (Command::AuthDaemon { force_bootstrap }, BOOTSTRAP)
            }
            Some("daemon") => (Command::Daemon { force_bootstrap }, BOOTSTRAP),
            Some("bootstrap") => (Command::Bootstrap { force: force_bootstrap }, BOOTSTRAP),
            Some("check-update") => (Command::CheckUpdate, NONE),
            Some("send-inventory") => (Command::SendInventory, NONE),
            Some("show-artifact") => (Command::ShowArtifact, NONE),
            Some("show-provides") => (Command::ShowProvides, NONE),
            Some("install") => {
                let artifact = words.next().ok_or("Need a path to an artifact")?;
                (Command::Install { artifact, by_hand }, INSTALL)
            }
            Some("resume") => (Command::Resume(by_hand), BY_HAND),
            Some("commit") => (Command::Commit(by_hand), BY_HAND),
            Some("rollback") => (Command::Rollback(by_hand), BY_HAND),
            _ => return Err(format!("no such command: {}", name.display()).into()),
        };
        if let Some(extra) = words.next() {
            return Err(format!("Too many arguments: {}", extra.display()).into());
        }
        match self.special.iter().find(|option| !options.contains(option)) {
            Some(option) => Err(format!("{option} does not go with {}", name.display()).into()),
            None => Ok(command),
        }
    }
}

const NONE: &[&str] = &[];
const BOOTSTRAP: &[&str] = &["--forcebootstrap"];
const INSTALL: &[&str] = &["--allow-downgrade", "--reboot-exit-code", "--stop-before"];
const BY_HAND: &[&str] = &["--reboot-exit-code", "--stop-before"];

/// Whether a program has a command.
fn offers(program: Program, command: &str) -> bool {
    match program {
        Program::RotaClient | Program::Mender => true,
        Program::MenderUpdate => command != "bootstrap",
        Program::MenderAuth => matches!(command, "bootstrap" | "daemon"),
    }
}

fn path(parser: &mut lexopt::Parser) -> Result<Option<PathBuf>, lexopt::Error> {
    Ok(Some(parser.value()?.into()))
}

fn level(word: &OsStr) -> Result<Level, lexopt::Error> {
    let level = word.to_str().and_then(Level::parse);
    level.ok_or_else(|| format!("no such log level: {}", word.display()).into())
}

fn stop_point(word: &OsStr) -> Result<StopPoint, lexopt::Error> {
    word.to_str().and_then(StopPoint::parse).ok_or_else(|| {
        let known = StopPoint::ALL.map(StopPoint::as_str).join(", ");
        format!("cannot stop before {}; the points are {known}", word.display()).into()
    })
}

//! The command line's grammar.

mod legacy;
#[cfg(test)]
mod tests;

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use lexopt::prelude::*;
use rota_client::{log::Level, machine::StopPoint, snapshot::Compression};

use super::{
    control_map::Maps, program::Program, setup, show::Format, snapshot, standalone::ByHand,
};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Daemon { force_bootstrap: bool },
    AuthDaemon { force_bootstrap: bool },
    CheckUpdate,
    SendInventory,
    ControlMap(Maps),
    ShowArtifact(Format),
    ShowProvides(Format),
    Status(Format),
    SnapshotDump(snapshot::Flags),
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
    /// Makes the configuration that all other commands begin with.
    Setup(Box<Common>, Box<setup::Flags>),
}

/// A line as it is read, before it is known whether it makes sense.
#[derive(Default)]
struct Line {
    common: Common,
    words: Vec<OsString>,
    by_hand: ByHand,
    force_bootstrap: bool,
    format: Format,
    snapshot: snapshot::Flags,
    setup: setup::Flags,
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
    if program == Program::MenderSetup {
        line.words.insert(0, "setup".into());
    }
    if line.words.first().is_some_and(|word| word == "setup") && offers(program, "setup") {
        line.check("setup", line.words.get(1), SETUP)?;
        return Ok(Parsed::Setup(line.common.into(), line.setup.into()));
    }
    let command = line.command(program)?;
    Ok(Parsed::Run(Box::new(Arguments { command, common: line.common })))
}

fn long_name(letter: char) -> Option<&'static str> {
    Some(match letter {
        'c' => "config",
        'b' => "fallback-config",
        'd' => "data",
        'C' => "compression",
        'E' => "trusted-certs",
        'L' => "log-file",
        'l' => "log-level",
        'F' => "forcebootstrap",
        'q' => "quiet",
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
            "trusted-certs" | "server-cert" => common.trusted_certs = path(parser)?,
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
            "output" => {
                self.special.push("--output");
                self.format = format(&parser.value()?)?;
            }
            "source" => {
                self.special.push("--source");
                self.snapshot.source = parser.value()?.into();
            }
            "compression" => {
                self.special.push("--compression");
                self.snapshot.compression = compression(&parser.value()?)?;
            }
            "quiet" => {
                self.special.push("--quiet");
                self.snapshot.quiet = true;
                self.setup.quiet = true;
            }
            _ => return self.take_setup(name, parser),
        }
        Ok(())
    }

    fn take_setup(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<(), lexopt::Error> {
        let Some(option) = SETUP.iter().find(|option| option.strip_prefix("--") == Some(name))
        else {
            return Err(format!("Unrecognized option '--{name}'").into());
        };
        self.special.push(option);
        let setup = &mut self.setup;
        let place = match name {
            "demo" => {
                (setup.demo_server, setup.demo_polling) = (true, true);
                return Ok(());
            }
            "demo-server" => {
                setup.demo_server = true;
                return Ok(());
            }
            "demo-polling" => {
                setup.demo_polling = true;
                return Ok(());
            }
            "hosts-file" => {
                setup.hosts_file = path(parser)?;
                return Ok(());
            }
            "device-type" => &mut setup.device_type,
            "server-url" | "url" => &mut setup.server_url,
            "server-ip" => &mut setup.server_ip,
            "tenant-token" => &mut setup.tenant_token,
            "update-poll" => &mut setup.update_poll,
            "inventory-poll" => &mut setup.inventory_poll,
            "retry-poll" => &mut setup.retry_poll,
            // Signing in to Mender's own service.
            _ => {
                return Err(format!(
                    "--{name} is for a service of Mender's; \
                     pass --server-url and, if that server wants one, --tenant-token"
                )
                .into());
            }
        };
        *place = Some(parser.value()?.string()?);
        Ok(())
    }

    fn command(&mut self, program: Program) -> Result<Command, lexopt::Error> {
        if program == Program::MenderSnapshot {
            self.words.insert(0, "snapshot".into());
        }
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
            Some("control-map") => (Command::ControlMap(maps(&mut words)?), NONE),
            Some("show-artifact") => (Command::ShowArtifact(self.format), SHOW),
            Some("show-provides") => (Command::ShowProvides(self.format), SHOW),
            Some("status") => (Command::Status(self.format), SHOW),
            Some("snapshot") => match words.next() {
                Some(word) if word == "dump" => {
                    (Command::SnapshotDump(std::mem::take(&mut self.snapshot)), SNAPSHOT)
                }
                _ => return Err("snapshot has one command: snapshot dump".into()),
            },
            Some("install") => {
                let artifact = words.next().ok_or("Need a path to an artifact")?;
                (Command::Install { artifact, by_hand }, INSTALL)
            }
            Some("resume") => (Command::Resume(by_hand), BY_HAND),
            Some("commit") => (Command::Commit(by_hand), BY_HAND),
            Some("rollback") => (Command::Rollback(by_hand), BY_HAND),
            _ => return Err(format!("no such command: {}", name.display()).into()),
        };
        self.check(&name.to_string_lossy(), words.next().as_ref(), options)?;
        Ok(command)
    }

    /// Nothing may be left over.
    fn check(
        &self,
        command: &str,
        extra: Option<&OsString>,
        options: &[&str],
    ) -> Result<(), lexopt::Error> {
        if let Some(extra) = extra {
            return Err(format!("Too many arguments: {}", extra.display()).into());
        }
        match self.special.iter().find(|option| !options.contains(option)) {
            Some(option) => Err(format!("{option} does not go with {command}").into()),
            None => Ok(()),
        }
    }
}

const NONE: &[&str] = &[];
const BOOTSTRAP: &[&str] = &["--forcebootstrap"];
const SHOW: &[&str] = &["--output"];
const SNAPSHOT: &[&str] = &["--source", "--compression", "--quiet"];
const SETUP: &[&str] = &[
    "--device-type",
    "--server-url",
    "--url",
    "--server-ip",
    "--tenant-token",
    "--update-poll",
    "--inventory-poll",
    "--retry-poll",
    "--demo",
    "--demo-server",
    "--demo-polling",
    "--hosts-file",
    "--quiet",
    "--hosted-mender",
    "--username",
    "--password",
];
const INSTALL: &[&str] = &["--allow-downgrade", "--reboot-exit-code", "--stop-before"];
const BY_HAND: &[&str] = &["--reboot-exit-code", "--stop-before"];

/// Whether a program has a command.
fn offers(program: Program, command: &str) -> bool {
    match program {
        Program::RotaClient | Program::Mender => true,
        Program::MenderUpdate => !matches!(command, "bootstrap" | "setup" | "snapshot"),
        Program::MenderSetup => command == "setup",
        Program::MenderSnapshot => command == "snapshot",
        // Has a grammar of its own.
        Program::MenderFlash => false,
        Program::MenderAuth => matches!(command, "bootstrap" | "daemon"),
    }
}

fn maps(words: &mut impl Iterator<Item = OsString>) -> Result<Maps, lexopt::Error> {
    const WANTED: &str = "control-map needs one of: set FILE, set -, show, clear";
    let what = words.next().ok_or(WANTED)?;
    match what.to_str() {
        Some("set") => Ok(Maps::Set(words.next().ok_or(WANTED)?)),
        Some("show") => Ok(Maps::Show),
        Some("clear") => Ok(Maps::Clear),
        _ => Err(WANTED.into()),
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

fn format(word: &OsStr) -> Result<Format, lexopt::Error> {
    match word.to_str() {
        Some("text") => Ok(Format::Text),
        Some("json") => Ok(Format::Json),
        _ => Err(format!("no such output: {}; there are text and json", word.display()).into()),
    }
}

fn compression(word: &OsStr) -> Result<Compression, lexopt::Error> {
    match word.to_str() {
        Some("none") => Ok(Compression::None),
        Some("gzip") => Ok(Compression::Gzip),
        _ => {
            Err(format!("no such compression: {}; there are none and gzip", word.display()).into())
        }
    }
}

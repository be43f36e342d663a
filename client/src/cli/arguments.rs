//! The command line's grammar.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use lexopt::prelude::*;
use rota_client::log::Level;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Daemon,
    CheckUpdate,
    SendInventory,
    ShowArtifact,
    ShowProvides,
    Install { artifact: OsString, reboot_exit_code: bool },
    Commit,
    Rollback,
    Bootstrap { force: bool },
}

/// A command and its circumstances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    pub(super) command: Command,
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

/// Reads the command line; the first item is the program's name.
pub(super) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Parsed, lexopt::Error> {
    let mut parser = lexopt::Parser::from_iter(arguments);
    let mut parsed = Arguments {
        command: Command::Daemon,
        config: None,
        fallback_config: None,
        config_dir: None,
        share_dir: None,
        data_dir: None,
        trusted_certs: None,
        skip_verify: false,
        allow_downgrade: false,
        log_file: None,
        log_level: None,
    };
    let mut words: Vec<OsString> = Vec::new();
    let (mut reboot_exit_code, mut force) = (false, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Parsed::Help),
            Short('v') | Long("version") => return Ok(Parsed::Version),
            Short('c') | Long("config") => parsed.config = path(&mut parser)?,
            Short('b') | Long("fallback-config") => parsed.fallback_config = path(&mut parser)?,
            Long("config-dir") => parsed.config_dir = path(&mut parser)?,
            Long("share-dir") => parsed.share_dir = path(&mut parser)?,
            Short('d') | Long("data" | "datastore") => parsed.data_dir = path(&mut parser)?,
            Short('E') | Long("trusted-certs") => parsed.trusted_certs = path(&mut parser)?,
            Long("skipverify") => parsed.skip_verify = true,
            Long("allow-downgrade") => parsed.allow_downgrade = true,
            Short('L') | Long("log-file") => parsed.log_file = path(&mut parser)?,
            Short('l') | Long("log-level") => parsed.log_level = Some(level(&parser.value()?)?),
            Short('F') | Long("forcebootstrap") => force = true,
            Long("reboot-exit-code") => reboot_exit_code = true,
            Value(word) => words.push(word),
            other => return Err(other.unexpected()),
        }
    }
    parsed.command = command(words, reboot_exit_code, force)?;
    if parsed.allow_downgrade && !matches!(parsed.command, Command::Install { .. }) {
        return Err("--allow-downgrade only goes with install".into());
    }
    Ok(Parsed::Run(Box::new(parsed)))
}

fn command(
    words: Vec<OsString>,
    reboot_exit_code: bool,
    force: bool,
) -> Result<Command, lexopt::Error> {
    let mut words = words.into_iter();
    let name = words.next().ok_or("need a command")?;
    let command = match name.to_str() {
        Some("daemon") => Command::Daemon,
        Some("check-update") => Command::CheckUpdate,
        Some("send-inventory") => Command::SendInventory,
        Some("show-artifact") => Command::ShowArtifact,
        Some("show-provides") => Command::ShowProvides,
        Some("install") => {
            let artifact = words.next().ok_or("Need a path to an artifact")?;
            Command::Install { artifact, reboot_exit_code }
        }
        Some("commit") => Command::Commit,
        Some("rollback") => Command::Rollback,
        Some("bootstrap") => Command::Bootstrap { force },
        _ => return Err(format!("no such command: {}", name.display()).into()),
    };
    if let Some(extra) = words.next() {
        return Err(format!("Too many arguments: {}", extra.display()).into());
    }
    if reboot_exit_code && !matches!(command, Command::Install { .. }) {
        return Err("--reboot-exit-code only goes with install".into());
    }
    if force && !matches!(command, Command::Bootstrap { .. }) {
        return Err("--forcebootstrap only goes with bootstrap".into());
    }
    Ok(command)
}

fn path(parser: &mut lexopt::Parser) -> Result<Option<PathBuf>, lexopt::Error> {
    Ok(Some(parser.value()?.into()))
}

fn level(word: &OsStr) -> Result<Level, lexopt::Error> {
    let level = word.to_str().and_then(Level::parse);
    level.ok_or_else(|| format!("no such log level: {}", word.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Parsed, String> {
        let words = std::iter::once("rota-client").chain(line.split_whitespace());
        parse(words.map(OsString::from)).map_err(|error| error.to_string())
    }

    fn run(line: &str) -> Arguments {
        match of(line) {
            Ok(Parsed::Run(arguments)) => *arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_may_stand_on_either_side_of_the_command() {
        for line in [
            "-c /c --data /d install /a --reboot-exit-code",
            "install /a --reboot-exit-code \
                      --config=/c -d /d",
        ] {
            let arguments = run(line);
            assert_eq!(arguments.config, Some("/c".into()));
            assert_eq!(arguments.data_dir, Some("/d".into()));
            let install = Command::Install { artifact: "/a".into(), reboot_exit_code: true };
            assert_eq!(arguments.command, install);
        }
        assert_eq!(run("--log-level warn daemon").log_level, Some(Level::Warning));
        assert_eq!(of("daemon -h"), Ok(Parsed::Help));
    }

    #[test]
    fn wrong_lines_say_what_is_wrong() {
        for (line, expected) in [
            ("", "need a command"),
            ("install", "Need a path to an artifact"),
            ("install a b", "Too many arguments: b"),
            ("show-artifact b", "Too many arguments: b"),
            ("dance", "no such command: dance"),
            ("daemon -F", "--forcebootstrap only goes with bootstrap"),
            ("daemon --allow-downgrade", "--allow-downgrade only goes with install"),
            ("-l loud daemon", "no such log level: loud"),
            ("daemon --bogus", "invalid option '--bogus'"),
        ] {
            assert_eq!(of(line), Err(expected.to_owned()), "{line}");
        }
    }
}

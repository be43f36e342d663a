//! Command lines of Mender's Go client, which took long options with one dash, and in its first
//! years commands too.

use std::ffi::OsString;

const COMMANDS: [&str; 9] = [
    "bootstrap",
    "check-update",
    "commit",
    "daemon",
    "install",
    "rollback",
    "send-inventory",
    "show-artifact",
    "show-provides",
];

const OPTIONS: [&str; 13] = [
    "config",
    "data",
    "fallback-config",
    "forcebootstrap",
    "help",
    "log-file",
    "log-level",
    "no-syslog",
    "passphrase-file",
    "reboot-exit-code",
    "skipverify",
    "trusted-certs",
    "version",
];

/// The same line as it is written today.
pub(super) fn modern(arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    arguments.map(|argument| argument.to_str().and_then(translate).unwrap_or(argument))
}

fn translate(argument: &str) -> Option<OsString> {
    let word = argument.strip_prefix('-')?;
    let name = word.split('=').next()?;
    if COMMANDS.contains(&word) {
        Some(word.into())
    } else if OPTIONS.contains(&name) {
        Some(format!("--{word}").into())
    } else {
        None
    }
}

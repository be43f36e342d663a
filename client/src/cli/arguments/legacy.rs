//! Command lines of Mender's Go client, which took long options with one dash, and in its first
//! years commands too, and `-debug` and `-info` for levels of the log.

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

/// The same line as it is written today.
pub(super) fn modern(arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    arguments.map(|argument| argument.to_str().and_then(translate).unwrap_or(argument))
}

/// A word with one dash is an option of that name and never a letter with its value: `-debug` must
/// not become `-d ebug`, a data folder of its own. Values follow a letter as `-d /path`, `-d/path`
/// or `-d=/path`.
fn translate(argument: &str) -> Option<OsString> {
    let word = argument.strip_prefix('-')?;
    let is_letter = !word.starts_with(char::is_alphabetic)
        || !word.chars().nth(1).is_some_and(char::is_alphabetic);
    match word {
        _ if is_letter => None,
        "debug" | "info" => Some(format!("--log-level={word}").into()),
        _ if COMMANDS.contains(&word) => Some(word.into()),
        _ => Some(format!("--{word}").into()),
    }
}

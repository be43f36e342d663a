//! Programs of the machine, which `make setup` installs.

use std::{
    ffi::OsStr,
    path::PathBuf,
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};

/// Debian keeps what an administrator uses off an ordinary user's path.
const BEYOND_PATH: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Where a program lies; `package` is Debian's.
pub(crate) fn find(name: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(BEYOND_PATH.map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("{name} is not installed; run `make setup` (package {package})"))
}

/// Cargo's folder, which this program was built into.
pub(crate) fn target() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.ancestors().nth(2).context("this program lies in no target folder")?;
    Ok(folder.to_owned())
}

/// Starts a command line: the program and its package, then its arguments.
pub(crate) fn tool<A: AsRef<OsStr>>(
    name: &str,
    package: &str,
    arguments: impl IntoIterator<Item = A>,
) -> Result<Command> {
    let mut command = Command::new(find(name, package)?);
    command.args(arguments);
    Ok(command)
}

/// Runs a command to its end; one that fails is an error that quotes what it said.
pub(crate) fn run(command: &mut Command) -> Result<Vec<u8>> {
    let Output { status, stdout, stderr } =
        command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(
        status.success(),
        "{command:?} ended with {status}: {}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    Ok(stdout)
}

/// What a command prints.
pub(crate) fn ask(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8(run(command)?)?)
}

//! U-Boot's environment, through `fw_printenv` and `fw_setenv`.
//!
//! The tools know where the environment is (`/etc/fw_env.config`) and keep its two copies: a change
//! goes to the older copy, whose checksum and counter make it the newer one when it is complete. So
//! one call changes all or nothing, and everything is changed in one call.
//!
//! There are two families of tools, which read different scripts. libubootenv wants `name=value` and
//! ignores everything else without a word. Those of U-Boot itself want `name value`; from 2018 on
//! they take both, but before that `name=value` deletes `name`. So the blank is tried first, which
//! harms nowhere, and whether it was understood is read back.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use super::{BootError, Environment, Programs};
use crate::{
    host::Host,
    process::{self, Output, ProcessError},
};

/// Environments have a fixed size, of 512 KiB at most in practice.
const MAX_ENVIRONMENT_BYTES: usize = 1 << 20;

/// Looked into after the folders of `PATH`.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The two programs.
#[derive(Clone, Debug)]
pub struct UBootTools {
    print: PathBuf,
    set: PathBuf,
    /// For both, before their own.
    arguments: Vec<OsString>,
}

impl UBootTools {
    /// The tools of this device, if it has them.
    pub fn find(host: &Host) -> Option<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders: Vec<_> = env::split_paths(&path).chain(FOLDERS.map(PathBuf::from)).collect();
        let find = |name| {
            folders.iter().map(|folder| host.path(folder).join(name)).find(|path| path.is_file())
        };
        Some(Self { print: find("fw_printenv")?, set: find("fw_setenv")?, arguments: Vec::new() })
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(&self.arguments);
        command
    }
}

/// The environment that U-Boot's boot command reads.
#[derive(Debug)]
pub struct UBootEnvironment<'a> {
    tools: UBootTools,
    programs: Programs<'a>,
}

impl<'a> UBootEnvironment<'a> {
    pub fn new(tools: UBootTools, programs: Programs<'a>) -> Self {
        Self { tools, programs }
    }

    fn run(
        &self,
        mut command: Command,
        input: &str,
        output: Output<'_>,
    ) -> Result<Vec<u8>, BootError> {
        let Programs { mark, limit, wake, log } = self.programs;
        mark.set(&mut command);
        let program = command.get_program().display().to_string();
        process::run_with_input(input.as_bytes(), &mut command, output, limit, (wake, log)).map_err(
            |error| match error {
                ProcessError::Stopped(stopped) => stopped.into(),
                source => BootError::Tool { program, source },
            },
        )
    }

    /// Has the tool read one change a line, and finds out whether it took all of them.
    fn try_script(
        &mut self,
        changes: &[(&'static str, String)],
        separator: char,
    ) -> Result<bool, BootError> {
        let lines = changes.iter().map(|(name, value)| format!("{name}{separator}{value}\n"));
        let mut command = self.tools.command(&self.tools.set);
        command.args(["-s", "-"]);
        self.run(command, &lines.collect::<String>(), Output::Log { prefix: "fw_setenv" })?;
        let values = self.read()?;
        Ok(changes.iter().all(|(name, value)| values.get(*name) == Some(value)))
    }
}

impl Environment for UBootEnvironment<'_> {
    fn read(&mut self) -> Result<BTreeMap<String, String>, BootError> {
        let command = self.tools.command(&self.tools.print);
        let output = Output::Keep { limit_bytes: MAX_ENVIRONMENT_BYTES };
        let text = self.run(command, "", output)?;
        let text = String::from_utf8_lossy(&text);
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn write(&mut self, changes: &[(&'static str, String)]) -> Result<(), BootError> {
        if self.try_script(changes, ' ')? || self.try_script(changes, '=')? {
            return Ok(());
        }
        Err(BootError::NotTaken { program: self.tools.set.display().to_string() })
    }

    fn wants_hexadecimal(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod bench;
#[cfg(test)]
mod tests;

//! Restarting the system.

use std::{process::Command, time::Duration};

use crate::{
    log::Log,
    process::{self, Output, ProcessError},
    wake::Wake,
};

/// The command only asks for the restart; it does not wait for it.
const LIMIT: Duration = Duration::from_mins(10);

/// Restarts the system.
pub trait Power {
    /// Asks for a restart and returns; the process ends some time later.
    fn reboot(&mut self) -> Result<(), ProcessError>;
}

/// Runs `RebootCommand`.
#[derive(Debug)]
pub struct RebootCommand {
    pub command: Vec<String>,
    pub wake: Wake,
    pub log: Log,
}

impl Power for RebootCommand {
    fn reboot(&mut self) -> Result<(), ProcessError> {
        let mut words = self.command.iter();
        let mut command = Command::new(words.next().map_or("reboot", String::as_str));
        command.args(words);
        process::run(&mut command, Output::Log { prefix: "reboot" }, LIMIT, &self.wake, &self.log)?;
        Ok(())
    }
}

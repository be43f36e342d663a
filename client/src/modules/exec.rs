//! Calls of one Update Module.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{InstallError, ModuleSettings};
use crate::{
    log::Log,
    machine::RebootNeed,
    process::{self, Mark, Output, Running},
    wake::Wake,
};

/// Answers are single words.
const MAX_ANSWER_BYTES: usize = 4096;

const MODULE_OUTPUT: &str = "Update Module output";

/// An executable and the tree that it works in.
#[derive(Debug)]
pub(super) struct Module<'a> {
    pub(super) program: PathBuf,
    pub(super) tree: &'a Path,
    pub(super) mark: &'a Mark,
    /// For each call.
    pub(super) limit: Duration,
    pub(super) wake: &'a Wake,
    pub(super) log: &'a Log,
}

impl<'a> Module<'a> {
    /// Finds the module for a payload type: an executable of that name, in the module folder
    /// itself. `None` if there is none.
    pub(super) fn find(
        payload_type: &str,
        settings: &'a ModuleSettings,
        (wake, log): (&'a Wake, &'a Log),
    ) -> Result<Option<Self>, InstallError> {
        let ModuleSettings { modules, work_tree: tree, mark, limit, .. } = settings;
        let is_plain = !matches!(payload_type, "" | "." | "..") && !payload_type.contains('/');
        if !is_plain {
            return Err(InstallError::IllegalPayloadType { payload_type: payload_type.to_owned() });
        }
        let program = modules.join(payload_type);
        let module = Self { program, tree, mark, limit: *limit, wake, log };
        Ok(module.program.is_file().then_some(module))
    }

    /// Starts a call; its output goes to the log.
    pub(super) fn start(&self, call: &'static str) -> Result<Running, InstallError> {
        self.log.info(format_args!("calling {} {call}", self.program.display()));
        let output = Output::Log { prefix: MODULE_OUTPUT };
        Running::start(&mut self.command(call), output, self.limit, self.wake, self.log)
            .map_err(|error| InstallError::of_call(call, error))
    }

    /// Runs a call to its end.
    pub(super) fn call(&self, call: &'static str) -> Result<(), InstallError> {
        self.start(call)?.finish().map_err(|error| InstallError::of_call(call, error))?;
        Ok(())
    }

    /// Whether the module wants the sizes of the files that it streams.
    pub(super) fn wants_file_sizes(&self) -> Result<bool, InstallError> {
        self.ask_yes_or_no("ProvidePayloadFileSizes")
    }

    pub(super) fn supports_rollback(&self) -> Result<bool, InstallError> {
        self.ask_yes_or_no("SupportsRollback")
    }

    pub(super) fn needs_reboot(&self) -> Result<RebootNeed, InstallError> {
        const CALL: &str = "NeedsArtifactReboot";
        match self.ask(CALL)?.as_str() {
            "" | "No" => Ok(RebootNeed::No),
            "Yes" => Ok(RebootNeed::Module),
            "Automatic" => Ok(RebootNeed::System),
            other => Err(InstallError::Answer {
                call: CALL,
                answer: other.to_owned(),
                expected: "No, Yes or Automatic",
            }),
        }
    }

    fn ask_yes_or_no(&self, call: &'static str) -> Result<bool, InstallError> {
        match self.ask(call)?.as_str() {
            "Yes" => Ok(true),
            "" | "No" => Ok(false),
            other => {
                Err(InstallError::Answer { call, answer: other.to_owned(), expected: "Yes or No" })
            }
        }
    }

    /// The one line that the module prints, or nothing.
    fn ask(&self, call: &'static str) -> Result<String, InstallError> {
        let output = Output::Keep { limit_bytes: MAX_ANSWER_BYTES };
        let answer = process::run(&mut self.command(call), output, self.limit, self.wake, self.log)
            .map_err(|error| InstallError::of_call(call, error))?;
        let answer = String::from_utf8_lossy(&answer);
        Ok(answer.strip_suffix('\n').unwrap_or(&answer).to_owned())
    }

    fn command(&self, call: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(call).arg(self.tree).current_dir(self.tree);
        self.mark.set(&mut command);
        command
    }
}

//! `script`: programs that run once, in the order of their names.
//!
//! What a program did cannot be undone, so there is no rollback, and a power cut leaves whatever
//! was done by then. An Artifact whose meta-data says `"rollback": true` promises otherwise: each
//! of its programs is then called with `ArtifactInstall`, and to roll back, those that were
//! started are called with `ArtifactRollback`, the last one first.

use std::{path::Path, process::Command};

use rota_artifact::Payload as PayloadFiles;

use super::{
    Payload, PayloadError, Workplace, disk,
    files::{self, refused},
    notes,
    reboot::{REQUIRED, Reboot},
};
use crate::{
    machine::{Call, RebootNeed},
    modules::Source,
};

/// The programs that were started and not rolled back, in order.
const STARTED: &str = "started";

pub(super) struct Script<'a> {
    workplace: Workplace<'a>,
}

impl<'a> Script<'a> {
    pub(super) fn new(workplace: Workplace<'a>) -> Self {
        Self { workplace }
    }

    fn names(&self) -> Result<Vec<String>, PayloadError> {
        let folder = self.workplace.files();
        let failed = || PayloadError::disk("look at", &folder);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(failed())? {
            // Names of payload files are ASCII.
            names.extend(entry.map_err(failed())?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    fn install(&self) -> Result<(), PayloadError> {
        let mut started = Vec::new();
        for name in self.names()? {
            disk::set_mode(&self.workplace.file(&name), 0o700)?;
            started.push(name.clone());
            notes::write(&self.workplace, STARTED, &started)?;
            self.run(&name, Call::ArtifactInstall)?;
        }
        Ok(())
    }

    fn roll_back(&self) -> Result<(), PayloadError> {
        let mut started: Vec<String> = notes::read(&self.workplace, STARTED)?.unwrap_or_default();
        while let Some(name) = started.last() {
            self.run(name, Call::ArtifactRollback)?;
            started.pop();
            notes::write(&self.workplace, STARTED, &started)?;
        }
        Ok(())
    }

    fn run(&self, name: &str, call: Call) -> Result<(), PayloadError> {
        self.workplace.log.info(format_args!("running {name} of the payload"));
        let mut command = Command::new(self.workplace.file(name));
        command.current_dir(self.workplace.tree);
        if self.supports_rollback()? {
            command.arg(call.as_str());
        }
        self.workplace.run(&mut command)
    }
}

impl Payload for Script<'_> {
    fn download(&mut self, payload: &mut PayloadFiles<'_, Source>) -> Result<(), PayloadError> {
        if files::store(&self.workplace, payload)?.is_empty() {
            return Err(refused("it has no script to run"));
        }
        let meta_data = files::meta_data(&self.workplace)?;
        Reboot::of(&meta_data)?;
        files::flag_of(&meta_data, "rollback").map(|_| ())
    }

    fn call(&mut self, call: Call) -> Result<(), PayloadError> {
        match call {
            Call::ArtifactInstall => self.install(),
            Call::ArtifactRollback => self.roll_back(),
            _ => Ok(()),
        }
    }

    fn needs_reboot(&mut self) -> Result<RebootNeed, PayloadError> {
        Ok(Reboot::of(&files::meta_data(&self.workplace)?)?.need(Path::new(REQUIRED)))
    }

    fn supports_rollback(&self) -> Result<bool, PayloadError> {
        files::flag_of(&files::meta_data(&self.workplace)?, "rollback")
    }
}

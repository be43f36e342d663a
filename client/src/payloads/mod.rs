//! The types of payload that the client installs by itself, without an Update Module on the device.
//!
//! An executable of the same name in the module folder comes first, so that a device can replace
//! each of them. They keep their notes where a module would, in the work tree of the update.

mod containers;
mod deb;
mod directory;
mod disk;
mod files;
mod folders;
mod notes;
mod reboot;
mod rootfs_image;
mod script;
mod single_file;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rootfs_image::RootfsImage;
use rota_artifact::Payload as PayloadFiles;

pub use containers::ContainerSettings;
pub use rootfs_image::{PartsError, RefusedStep, RootfsSettings};

use crate::{
    boot::BootError,
    flash::FlashError,
    log::Log,
    machine::{Call, RebootNeed},
    modules::Source,
    process::{self, Mark, Output, ProcessError},
    wake::{Stopped, Wake},
};

/// How one type of payload is installed. The calls come in the order, and may repeat as often, as
/// those of Update Modules.
pub trait Payload {
    /// Takes the files in, while they stream. Each one's checksum is known to be right only when it
    /// was read to its end, so nothing may be put to use here.
    fn download(&mut self, files: &mut PayloadFiles<'_, Source>) -> Result<(), PayloadError>;
    /// One step of an update. A step that this type has no use for does nothing.
    fn call(&mut self, call: Call) -> Result<(), PayloadError>;
    /// Whether and how the device must restart now; asked after installing and after rolling back.
    /// Most types never want one.
    fn needs_reboot(&mut self) -> Result<RebootNeed, PayloadError> {
        Ok(RebootNeed::No)
    }
    /// Whether what was installed can be undone.
    fn supports_rollback(&self) -> Result<bool, PayloadError>;
}

/// A step of a payload failed.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    #[error("the payload cannot be read")]
    Read(#[from] rota_artifact::Error),
    /// The payload is not what this type expects; says what to change.
    #[error("the payload is refused: {0}")]
    Refused(String),
    /// The device is not what this type expects; says what to change.
    #[error("the device is not ready for this payload: {0}")]
    Device(String),
    #[error("cannot {doing} {path}")]
    Disk { doing: &'static str, path: String, source: io::Error },
    #[error("{program} failed")]
    Program { program: String, source: ProcessError },
    #[error(transparent)]
    Parts(#[from] PartsError),
    #[error(transparent)]
    Boot(BootError),
    #[error(transparent)]
    Step(#[from] RefusedStep),
    #[error(transparent)]
    Flash(FlashError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl PayloadError {
    /// For use with `map_err`: what was being done, to which file.
    pub fn disk(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Disk { doing, path, source }
    }
}

/// Where a payload is installed from, and with what.
#[derive(Clone, Copy, Debug)]
pub struct Workplace<'a> {
    /// The work tree of the update; `tmp` in it is for notes, which must be synced.
    pub tree: &'a Path,
    /// On every program that is started.
    pub mark: &'a Mark,
    /// For each program.
    pub limit: Duration,
    pub wake: &'a Wake,
    pub log: &'a Log,
    pub rootfs: &'a RootfsSettings,
    pub containers: &'a ContainerSettings,
}

impl Workplace<'_> {
    /// A place for notes that last until the update is over.
    pub fn notes(&self) -> PathBuf {
        self.tree.join("tmp")
    }

    /// Runs a program to its end; what it prints goes to the log.
    pub fn run(&self, command: &mut Command) -> Result<(), PayloadError> {
        self.output_of(command, Output::Log { prefix: "output" }).map(|_| ())
    }

    /// What a program prints, of which `limit_bytes` are kept.
    pub fn ask(&self, command: &mut Command, limit_bytes: usize) -> Result<Vec<u8>, PayloadError> {
        self.output_of(command, Output::Keep { limit_bytes })
    }

    fn output_of(
        &self,
        command: &mut Command,
        output: Output<'_>,
    ) -> Result<Vec<u8>, PayloadError> {
        self.mark.set(command);
        let program = command.get_program().display().to_string();
        process::run(command, output, self.limit, self.wake, self.log).map_err(
            |error| match error {
                ProcessError::Stopped(stopped) => stopped.into(),
                source => PayloadError::Program { program, source },
            },
        )
    }
}

/// The names that [`find`] knows.
pub const TYPES: [&str; 7] =
    ["deb", "directory", "docker", "docker-compose", "rootfs-image", "script", "single-file"];

/// The payload type of this name, if the client knows it.
pub fn find<'a>(payload_type: &str, workplace: Workplace<'a>) -> Option<Box<dyn Payload + 'a>> {
    Some(match payload_type {
        "deb" => Box::new(deb::Deb::new(workplace)),
        "directory" => Box::new(directory::Directory::new(workplace)),
        "docker" => Box::new(containers::Docker::new(workplace)),
        "docker-compose" => Box::new(containers::DockerCompose::new(workplace)),
        "rootfs-image" => Box::new(RootfsImage::new(workplace)),
        "script" => Box::new(script::Script::new(workplace)),
        "single-file" => Box::new(single_file::SingleFile::new(workplace)),
        _ => return None,
    })
}

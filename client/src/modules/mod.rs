//! Update Modules, protocol version 3: executables that know how to install one type of payload.
//!
//! A module gets a work tree with everything that the Artifact and the device say, and is called
//! once for each step. During the download the payload is streamed to it through FIFOs, or stored
//! in the tree if the module does not want the stream.

mod exec;
mod handler;
mod install;
mod stream;
#[cfg(test)]
mod tests;
mod tree;

use std::{
    fs::{File, Metadata},
    io,
};

pub use install::{ModuleSettings, UpdateModules};
pub use tree::lay_out_missing_tree;

use crate::{
    downgrade::Downgrade,
    machine::{ArtifactInfo, Call, RebootNeed},
    payloads::PayloadError,
    process::ProcessError,
    records::{Software, Unmet},
    wake::Stopped,
};

/// What an Artifact is read from.
pub type Source = Box<dyn Stream>;

/// Bytes that come from somewhere, in a number that may be known.
pub trait Stream: io::Read + Send {
    /// How many there are in all; `None` if nobody said.
    fn size_bytes(&self) -> Option<u64>;
}

impl Stream for File {
    fn size_bytes(&self) -> Option<u64> {
        self.metadata().ok().filter(Metadata::is_file).map(|metadata| metadata.len())
    }
}

impl<T: AsRef<[u8]> + Send> Stream for io::Cursor<T> {
    fn size_bytes(&self) -> Option<u64> {
        u64::try_from(self.get_ref().as_ref().len()).ok()
    }
}

impl Stream for io::Empty {
    fn size_bytes(&self) -> Option<u64> {
        Some(0)
    }
}

/// Takes Artifacts apart and has their payloads installed.
pub trait Installer {
    /// Reads an Artifact up to its payload, makes sure that it is meant for this device, and makes
    /// the work tree. The rest of it stays open for [`store`](Self::store).
    fn open(&mut self, source: Source, software: &Software) -> Result<ArtifactInfo, InstallError>;
    /// Hands the payload of the open Artifact to its module.
    fn store(&mut self) -> Result<(), InstallError>;
    /// One step of an update.
    fn call(&mut self, payload_type: &str, call: Call) -> Result<(), InstallError>;
    /// Whether and how the device must restart now.
    fn needs_reboot(&mut self, payload_type: &str) -> Result<RebootNeed, InstallError>;
    /// Whether the module can undo what it did.
    fn supports_rollback(&mut self, payload_type: &str) -> Result<bool, InstallError>;
    /// The module's last call, if it ever had a work tree; the tree goes in any case.
    fn clean_up(&mut self, payload_type: Option<&str>) -> Result<(), InstallError>;
    /// Removes what is left of an update, without calling anybody.
    fn discard(&mut self);
}

/// An Artifact is not installed, or a step of an update failed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("the Artifact is refused")]
    Artifact(#[from] rota_artifact::Error),
    #[error("cannot use the verification key {path}")]
    VerifyKey { path: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("none of the configured verification keys can be used")]
    NoVerifyKey,
    #[error(transparent)]
    DeviceType(#[from] crate::config::DeviceTypeError),
    #[error(transparent)]
    Unmet(#[from] Unmet),
    #[error(transparent)]
    Downgrade(#[from] Downgrade),
    #[error("no Artifact is open")]
    NothingOpen,
    #[error("Update Module not found for given artifact type: cannot launch {path}")]
    NoModule { path: String },
    #[error("{payload_type:?} is no name of an Update Module")]
    IllegalPayloadType { payload_type: String },
    #[error("cannot prepare {path} for the Update Module")]
    Tree { path: String, source: io::Error },
    #[error("Update Module call {call} failed")]
    Call { call: &'static str, source: ProcessError },
    #[error("the Update Module answered {call} with {answer:?}, expected {expected}")]
    Answer { call: &'static str, answer: String, expected: &'static str },
    #[error("the Update Module began to read the payload but did not read all of it")]
    NotDrained,
    #[error("cannot hand the payload to the Update Module")]
    Stream(#[source] io::Error),
    #[error("{call} of the payload failed")]
    Payload { call: &'static str, source: PayloadError },
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl InstallError {
    /// As [`of_call`](Self::of_call), for a payload that the client installs by itself.
    fn of_payload(call: &'static str, source: PayloadError) -> Self {
        match source {
            PayloadError::Stopped(stopped) => Self::Stopped(stopped),
            PayloadError::Read(error) => Self::Artifact(error),
            source => Self::Payload { call, source },
        }
    }

    /// A request to stop is not a failure of the update, wherever it surfaced.
    fn of_call(call: &'static str, source: ProcessError) -> Self {
        match source {
            ProcessError::Stopped(stopped) => Self::Stopped(stopped),
            source => Self::Call { call, source },
        }
    }
}

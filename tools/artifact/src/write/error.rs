//! Why an Artifact cannot be written.

use std::{io, path::PathBuf};

use crate::InvalidGlob;

/// Why an Artifact could not be written or signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A payload file cannot be read.
    #[error("cannot read {}", path.display())]
    Input { path: PathBuf, source: io::Error },
    /// The output cannot be written.
    #[error("cannot write the Artifact")]
    Output(#[source] io::Error),
    /// No device type was given.
    #[error("an Artifact needs at least one device type")]
    NoDeviceType,
    /// An artifact name, group, device type or payload type is not acceptable.
    #[error("the {what} {value:?} is not allowed: {reason}")]
    Label { what: &'static str, value: String, reason: &'static str },
    /// A payload file's name cannot be stored.
    #[error("the file name {name:?} is not allowed: {reason}")]
    FileName { name: String, reason: String },
    /// Two payload files or two scripts have the same base name.
    #[error("{name:?} is given more than once")]
    Duplicate { name: String },
    /// The number of files does not fit the payload type.
    #[error("{payload} must have {expected}, {found} given")]
    FileCount { payload: &'static str, expected: &'static str, found: usize },
    /// Meta-data or scripts for an empty payload.
    #[error("an empty payload cannot have {what}")]
    EmptyPayload { what: &'static str },
    /// A provides or depends key that belongs to the Artifact as a whole.
    #[error("{key:?} cannot be among the payload's {what}; it has an option of its own")]
    ReservedKey { key: String, what: &'static str },
    /// A clears-provides pattern is malformed.
    #[error(transparent)]
    Glob(#[from] InvalidGlob),
    /// A state script's name is malformed.
    #[error(
        "{name:?} is not the name of a state script; expected \
         Artifact<Install|Reboot|Commit|Rollback|RollbackReboot|Failure>_<Enter|Leave|Error>_<NN>[_text]"
    )]
    ScriptName { name: String },
    /// A payload file was written to while it was read.
    #[error("{} changed while it was read", path.display())]
    Changed { path: PathBuf },
    /// The signature could not be made.
    #[error("cannot sign: the system gives no random numbers")]
    Signing,
    /// The file to be signed is not an Artifact.
    #[error("cannot sign this file")]
    NotAnArtifact(#[from] crate::Error),
    /// The file to be signed has a signature already.
    #[error("the Artifact is already signed")]
    AlreadySigned,
}

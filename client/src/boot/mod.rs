//! The boot loader's part of an update: which of two root file systems starts next, and whether it
//! is on trial.
//!
//! A trial is one start, no more. A system that does not [`commit`](BootLoader::commit) itself while
//! it is on trial is never started again by itself: at the next start, whatever causes it, the boot
//! loader goes back to the other one. So a system that hangs, or that cannot be repaired from afar,
//! is left by switching the device off and on.
//!
//! Each implementation keeps its state where its boot loader reads it, and changes it in such an
//! order that a power cut at any instant leaves either the old state or the new one.

mod grub;
mod variables;

use std::{fmt, io, path::Path};

pub use grub::GrubEnvironment;
pub use variables::{Environment, PartitionNumbers, Variables};

use crate::{host::Host, process::ProcessError};

/// One of the two root file systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    A,
    B,
}

impl Slot {
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

/// What the boot loader is going to do, or has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootState {
    /// The system that starts next or, during a trial, the one that is tried.
    pub selected: Slot,
    /// The selected system is on trial: it will be started, or was started, but did not commit.
    pub is_trial: bool,
}

/// A boot loader that knows two systems and can try one of them.
///
/// Every change is complete, and on the disk, when the call returns.
pub trait BootLoader {
    /// What it is going to do.
    fn state(&mut self) -> Result<BootState, BootError>;
    /// Has a system started once, on trial, at the next start.
    fn try_once(&mut self, slot: Slot) -> Result<(), BootError>;
    /// Ends a trial well: the selected system starts from now on.
    fn commit(&mut self) -> Result<(), BootError>;
    /// Has a system started from now on, and ends any trial.
    fn select(&mut self, slot: Slot) -> Result<(), BootError>;
}

/// The boot loader's state cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    #[error(
        "no boot loader is known on this device: there is no mender_grubenv1 folder of GRUB's; \
         set BootLoader in mender.conf if there should be one"
    )]
    NotFound,
    #[error("cannot {doing} {path}")]
    File { doing: &'static str, path: String, source: io::Error },
    #[error("{path} is not a GRUB environment block: {problem}")]
    NotABlock { path: String, problem: &'static str },
    #[error("the GRUB environment block {path} is full")]
    BlockFull { path: String },
    #[error("both copies of the GRUB environment in {folder} are damaged or half written")]
    BothCopiesDamaged { folder: String },
    #[error("somebody else has been changing the boot loader's environment for {seconds} s")]
    Locked { seconds: u64 },
    #[error("cannot run {program}")]
    Tool { program: String, source: ProcessError },
    #[error("{name} is not set in the boot loader's environment; the integration is incomplete")]
    NotSet { name: &'static str },
    #[error("{name}={value} in the boot loader's environment; expected {expected}")]
    BadValue { name: &'static str, value: String, expected: String },
    #[error(
        "mender_check_saveenv_canary=1 but mender_saveenv_canary={found:?} in the boot loader's \
         environment: the boot loader does not save its environment where this system reads it; \
         check its integration, and where its tools look"
    )]
    CanaryMissing { found: String },
    #[error(
        "{path} has no partition number at its end; name a partition as RootfsPartA, RootfsPartB"
    )]
    NoPartitionNumber { path: String },
    #[error("RootfsPartA and RootfsPartB both have partition number {number}")]
    SameNumber { number: u32 },
}

impl BootError {
    /// For use with `map_err`: what was being done, to which file.
    fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { doing, path, source }
    }
}

/// Which implementation; `BootLoader` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootLoaderKind {
    Grub,
}

impl BootLoaderKind {
    /// The word of the configuration.
    pub fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "grub" => Some(Self::Grub),
            _ => None,
        }
    }

    /// What this device has.
    fn detect(host: &Host) -> Option<Self> {
        GrubEnvironment::find(host).map(|_| Self::Grub)
    }
}

/// The boot loader of this device: the configured one, or else the one that is found. `parts` are
/// the devices of the two systems.
pub fn open(
    kind: Option<BootLoaderKind>,
    host: &Host,
    parts: [&Path; 2],
) -> Result<Box<dyn BootLoader>, BootError> {
    match kind.or_else(|| BootLoaderKind::detect(host)).ok_or(BootError::NotFound)? {
        BootLoaderKind::Grub => {
            let environment = GrubEnvironment::find(host).ok_or(BootError::NotFound)?;
            let numbers = PartitionNumbers::of(parts)?;
            Ok(Box::new(Variables::new(environment, numbers)))
        }
    }
}

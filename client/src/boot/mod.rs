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

#[cfg(test)]
mod conformance;
mod grub;
mod systemd_boot;
mod uboot;
mod variables;

use std::{fmt, io, path::Path, time::Duration};

pub use grub::GrubEnvironment;
pub use systemd_boot::SystemdBoot;
pub use uboot::{UBootEnvironment, UBootTools};
pub use variables::{Environment, PartitionNumbers, Variables};

use crate::{
    host::Host,
    log::Log,
    process::{Mark, ProcessError},
    wake::{Stopped, Wake},
};

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
    /// The numbers by which it knows the two systems; `None` if it has an entry for each instead.
    fn partition_numbers(&self) -> Option<PartitionNumbers>;
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
        "no boot loader is known on this device: no folder mender_grubenv1 of GRUB's, no entries \
         rootfs-a and rootfs-b of systemd-boot's, no fw_printenv and fw_setenv of U-Boot's"
    )]
    NoneFound,
    #[error("BootLoader is {kind}, but {missing}")]
    NotFound { kind: &'static str, missing: &'static str },
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
    #[error("{program} did not work; is the environment where /etc/fw_env.config says?")]
    Tool { program: String, source: ProcessError },
    #[error("{program} changes nothing, neither by lines name=value nor by lines name value")]
    NotTaken { program: String },
    #[error("there is no entry {name} in {folder}")]
    NoEntry { name: String, folder: String },
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
    #[error(transparent)]
    Stopped(#[from] Stopped),
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
    SystemdBoot,
    UBoot,
}

impl BootLoaderKind {
    /// The word of the configuration.
    pub fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "grub" => Some(Self::Grub),
            "systemd-boot" => Some(Self::SystemdBoot),
            "u-boot" | "uboot" => Some(Self::UBoot),
            _ => None,
        }
    }
}

/// What programs are started with.
#[derive(Clone, Copy, Debug)]
pub struct Programs<'a> {
    pub mark: &'a Mark,
    /// For each.
    pub limit: Duration,
    pub wake: &'a Wake,
    pub log: &'a Log,
}

/// The boot loader of this device: the configured one, or else the first one that is found. U-Boot
/// comes last, since a device may have its tools for other reasons. `parts` are the devices of the
/// two systems.
pub fn open<'a>(
    kind: Option<BootLoaderKind>,
    host: &Host,
    parts: [&Path; 2],
    programs: Programs<'a>,
) -> Result<Box<dyn BootLoader + 'a>, BootError> {
    let kinds = match &kind {
        Some(kind) => std::slice::from_ref(kind),
        None => &[BootLoaderKind::Grub, BootLoaderKind::SystemdBoot, BootLoaderKind::UBoot],
    };
    for kind in kinds {
        if let Some(found) = find(*kind, host, parts, programs) {
            return found;
        }
    }
    Err(match kind {
        None => BootError::NoneFound,
        Some(BootLoaderKind::Grub) => {
            BootError::NotFound { kind: "grub", missing: "there is no folder mender_grubenv1" }
        }
        Some(BootLoaderKind::SystemdBoot) => BootError::NotFound {
            kind: "systemd-boot",
            missing: "there is no EFI variable LoaderInfo, or there are no entries rootfs-a and \
                      rootfs-b",
        },
        Some(BootLoaderKind::UBoot) => BootError::NotFound {
            kind: "u-boot",
            missing: "there is no fw_printenv or no fw_setenv",
        },
    })
}

/// A boot loader of this kind, if the device has it.
fn find<'a>(
    kind: BootLoaderKind,
    host: &Host,
    parts: [&Path; 2],
    programs: Programs<'a>,
) -> Option<Result<Box<dyn BootLoader + 'a>, BootError>> {
    fn of<'a>(
        environment: impl Environment + 'a,
        parts: [&Path; 2],
    ) -> Result<Box<dyn BootLoader + 'a>, BootError> {
        Ok(Box::new(Variables::new(environment, PartitionNumbers::of(parts)?)))
    }
    match kind {
        BootLoaderKind::Grub => GrubEnvironment::find(host).map(|found| of(found, parts)),
        BootLoaderKind::SystemdBoot => systemd_boot::Device::find(host)
            .map(|device| Ok(Box::new(SystemdBoot::new(device)) as Box<dyn BootLoader>)),
        BootLoaderKind::UBoot => {
            UBootTools::find(host).map(|tools| of(UBootEnvironment::new(tools, programs), parts))
        }
    }
}

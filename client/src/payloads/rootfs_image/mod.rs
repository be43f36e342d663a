//! `rootfs-image`: a whole root file system, written to the partition that is not running, started
//! once on trial, and kept if it commits itself.
//!
//! Behaves call by call like Mender's Update Module of this name, with the same boot loader
//! variables and the same note, so that either can finish what the other began. It needs no shell
//! and no other program on the device.

mod note;
mod parts;
mod root;
#[cfg(test)]
mod tests;

use rota_artifact::Payload as PayloadFiles;

use parts::Parts;
pub use parts::{PartsError, RootfsSettings};

use super::{Payload, PayloadError, Workplace};
use crate::{
    boot::{self, BootError, BootLoader, BootState, Programs},
    flash::{self, FlashError, MissingFile},
    log::chain,
    machine::{Call, RebootNeed},
    modules::Source,
};

/// Why a step of a system update is refused.
#[derive(Debug, thiserror::Error)]
pub enum RefusedStep {
    #[error(
        "unexpected upgrade_available=1 in {step}: an update is on trial already; commit it or \
         roll it back first"
    )]
    TrialUnderWay { step: &'static str },
    #[error("upgrade_available is 0 in {step}: the boot loader went back to the old system")]
    BootLoaderWentBack { step: &'static str },
    #[error(
        "unexpected upgrade_available=0 in ArtifactCommit. Upgrade failed and was reverted: \
         refusing to commit!"
    )]
    NothingToCommit,
    #[error("upgrade_available is still 1 in {step}: the boot loader did not go back")]
    StillOnTrial { step: &'static str },
    #[error(
        "mounted root ({mounted}) does not match boot loader environment ({expected}): check \
         RootfsPartA and RootfsPartB, and that the boot loader and this system use the same \
         environment"
    )]
    OtherRoot { mounted: String, expected: String },
}

/// Installs root file systems.
pub(super) struct RootfsImage<'a> {
    workplace: Workplace<'a>,
}

/// What every step needs to know first.
struct Situation<'a> {
    parts: Parts,
    loader: Box<dyn BootLoader + 'a>,
    state: BootState,
}

impl<'a> RootfsImage<'a> {
    pub(super) fn new(workplace: Workplace<'a>) -> Self {
        Self { workplace }
    }

    fn situation(&self) -> Result<Situation<'a>, PayloadError> {
        self.situation_with(self.workplace.rootfs.parts()?)
    }

    fn situation_with(&self, parts: Parts) -> Result<Situation<'a>, PayloadError> {
        let Workplace { mark, limit, wake, log, rootfs, .. } = self.workplace;
        let programs = Programs { mark, limit, wake, log };
        let mut loader = boot::open(rootfs.boot_loader, &rootfs.host, parts.paths(), programs)?;
        let state = loader.state()?;
        Ok(Situation { parts, loader, state })
    }

    /// The system that the boot loader names must be the one that runs: otherwise it is not this
    /// system's environment, and the wrong partition would be written or kept.
    fn check_root(&self, situation: &Situation<'_>) -> Result<(), PayloadError> {
        let expected = situation.parts.path(situation.state.selected);
        root::check(&self.workplace.rootfs.host, expected)
    }

    fn check_ready(
        &self,
        step: &'static str,
        situation: &Situation<'_>,
    ) -> Result<(), PayloadError> {
        if situation.state.is_trial {
            return Err(RefusedStep::TrialUnderWay { step }.into());
        }
        self.check_root(situation)
    }

    fn install(&self) -> Result<(), PayloadError> {
        let mut situation = self.situation()?;
        self.check_ready("ArtifactInstall", &situation)?;
        let BootState { selected, .. } = situation.state;
        let numbers = situation.loader.partition_numbers();
        note::write(&self.workplace.notes(), numbers, selected)?;
        Ok(situation.loader.try_once(selected.other())?)
    }

    fn verify_reboot(&self) -> Result<(), PayloadError> {
        let situation = self.situation()?;
        if !situation.state.is_trial {
            return Err(RefusedStep::BootLoaderWentBack { step: "ArtifactVerifyReboot" }.into());
        }
        self.check_root(&situation)
    }

    fn commit(&self) -> Result<(), PayloadError> {
        let mut situation = self.situation()?;
        if !situation.state.is_trial {
            return Err(RefusedStep::NothingToCommit.into());
        }
        self.check_root(&situation)?;
        Ok(situation.loader.commit()?)
    }

    /// Either system may be running now, so the mounted root says nothing.
    fn roll_back(&self) -> Result<(), PayloadError> {
        let notes = self.workplace.notes();
        let parts = match self.workplace.rootfs.parts() {
            Ok(parts) => parts,
            Err(error) => {
                self.leave_to_boot_loader(&error);
                return Ok(());
            }
        };
        let mut situation = match self.situation_with(parts) {
            // Perhaps a new system without the boot loader's tools. It must not stay.
            Err(PayloadError::Boot(error)) if note::exists(&notes) => {
                self.leave_to_boot_loader(&error);
                return Ok(());
            }
            other => other?,
        };
        let original = note::read(&notes, situation.loader.partition_numbers());
        let BootState { selected, is_trial } = situation.state;
        if !is_trial {
            return match original? {
                Some(original) => Ok(situation.loader.select(original)?),
                None => Ok(()),
            };
        }
        let gone_back = original.and_then(|original| {
            Ok(situation.loader.select(original.unwrap_or(selected.other()))?)
        });
        match gone_back {
            Err(error) if !matches!(error, PayloadError::Stopped(_)) => {
                self.leave_to_boot_loader(&error);
                Ok(())
            }
            other => other,
        }
    }

    /// A trial ends by itself with the next start; whether it did is looked at then.
    fn leave_to_boot_loader(&self, error: &dyn std::error::Error) {
        let reason = chain(error);
        self.workplace
            .log
            .warning(format_args!("leaving it to the boot loader to go back: {reason}"));
    }

    fn verify_rollback_reboot(&self) -> Result<(), PayloadError> {
        let situation = self.situation()?;
        if situation.state.is_trial {
            let step = "ArtifactVerifyRollbackReboot";
            return Err(RefusedStep::StillOnTrial { step }.into());
        }
        self.check_root(&situation)
    }
}

impl Payload for RootfsImage<'_> {
    fn download(&mut self, files: &mut PayloadFiles<'_, Source>) -> Result<(), PayloadError> {
        let situation = self.situation()?;
        self.check_ready("Download", &situation)?;
        let Some(mut image) = files.next_file()? else {
            return Err(PayloadError::Refused("it holds no image; it must hold one".into()));
        };
        let target = situation.parts.path(situation.state.selected.other());
        let host = &self.workplace.rootfs.host;
        let mut target = flash::open(host, target, MissingFile::Refuse)?;
        let Workplace { wake, log, .. } = self.workplace;
        let size_bytes = image.size_bytes();
        log.info(format_args!("writing {size_bytes} bytes to {}", target.path().display()));
        let written = flash::write(&mut image, size_bytes, &mut *target, wake)?;
        log.info(format_args!("{}: {written}", target.path().display()));
        drop(image);
        if files.next_file()?.is_some() {
            return Err(PayloadError::Refused("more than one file in payload".into()));
        }
        Ok(())
    }

    fn call(&mut self, call: Call) -> Result<(), PayloadError> {
        match call {
            Call::ArtifactInstall => self.install(),
            Call::ArtifactVerifyReboot => self.verify_reboot(),
            Call::ArtifactCommit => self.commit(),
            Call::ArtifactRollback => self.roll_back(),
            Call::ArtifactVerifyRollbackReboot => self.verify_rollback_reboot(),
            Call::ArtifactReboot
            | Call::ArtifactRollbackReboot
            | Call::ArtifactFailure
            | Call::Cleanup => Ok(()),
        }
    }

    fn needs_reboot(&mut self) -> Result<RebootNeed, PayloadError> {
        Ok(RebootNeed::System)
    }

    fn supports_rollback(&self) -> Result<bool, PayloadError> {
        Ok(true)
    }
}

impl From<BootError> for PayloadError {
    fn from(error: BootError) -> Self {
        match error {
            BootError::Stopped(stopped) => Self::Stopped(stopped),
            error => Self::Boot(error),
        }
    }
}

impl From<FlashError> for PayloadError {
    fn from(error: FlashError) -> Self {
        match error {
            FlashError::Image(error) => Self::Read(rota_artifact::Error::from_read(error)),
            FlashError::Stopped(stopped) => Self::Stopped(stopped),
            error => Self::Flash(error),
        }
    }
}

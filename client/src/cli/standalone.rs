//! `install`, `commit` and `rollback`: updates by hand.

use std::{ffi::OsStr, fs::File};

use anyhow::{Context, bail};
use rota_client::{
    journal::Store,
    machine::{FailedPart, Health, RebootNeed, Stage, Update},
    modules::{Installer, Source},
    runner::Ended,
};

use super::{Device, Exit, complain, say, signal};

const IN_PROGRESS: &str = "another update is in progress; wait until it is over";

pub(super) fn install(
    device: &mut Device,
    artifact: &OsStr,
    reboot_exit_code: bool,
) -> anyhow::Result<Exit> {
    device.prepare()?;
    signal::listen(&device.wake)?;
    let is_claimed = device.claim_update()?;
    let obstacle = match device.store.read()?.update {
        Some(update) if update.deployment().is_none() => {
            Some("an update installed by hand waits for commit or rollback")
        }
        Some(_) => Some(IN_PROGRESS),
        None if !is_claimed => Some(IN_PROGRESS),
        None => None,
    };
    if let Some(obstacle) = obstacle {
        complain(obstacle);
        say("System not modified.");
        return Ok(Exit::Failure);
    }
    let source = open(device, artifact)?;
    say("Installing artifact...");
    let update = finished(device.with_runner(|runner| runner.install(source)))?;
    Ok(match update.stage {
        Stage::BeforeCommit => {
            say("Installed, but not committed.");
            say("Use 'commit' to update, or 'rollback' to roll back the update.");
            say_reboot(&update, reboot_exit_code)
        }
        _ if update.health == Health::Good => {
            say(if update.payload_type().is_none() {
                "Artifact with empty payload. Committing immediately."
            } else {
                "Update Module doesn't support rollback. Committing immediately."
            });
            say("Installed and committed.");
            say_reboot(&update, reboot_exit_code)
        }
        _ => say_failure(&update),
    })
}

pub(super) fn commit(device: &mut Device) -> anyhow::Result<Exit> {
    let Some(update) = in_progress(device)? else { return Ok(nothing_in_progress()) };
    let Some(ended) = device.with_runner(|runner| runner.commit(update)) else {
        bail!("the update was interrupted before it was installed; roll it back");
    };
    let update = finished(ended)?;
    if update.health == Health::Good {
        say("Committed.");
        return Ok(Exit::Success);
    }
    Ok(say_failure(&update))
}

pub(super) fn roll_back(device: &mut Device) -> anyhow::Result<Exit> {
    let Some(update) = in_progress(device)? else { return Ok(nothing_in_progress()) };
    if update.needs_rollback() {
        let payload_type = update.payload_type().unwrap_or_default();
        if !device.update_modules().supports_rollback(payload_type)? {
            say("Update Module does not support rollback. System may be in an inconsistent state.");
            return Ok(Exit::Failure);
        }
    }
    let update = finished(device.with_runner(|runner| runner.roll_back(update)))?;
    Ok(if update.failed_part == Some(FailedPart::Cleanup) {
        say("Cleanup failed.");
        Exit::Failure
    } else if update.health.is_inconsistent() {
        say("Rollback failed. System may be in an inconsistent state.");
        Exit::Failure
    } else {
        say("Rolled back.");
        Exit::Success
    })
}

fn open(device: &Device, artifact: &OsStr) -> anyhow::Result<Source> {
    if let Some(url) = artifact.to_str().filter(|text| is_url(text)) {
        return Ok(device.session().download_url(url)?);
    }
    let file = File::open(artifact)
        .with_context(|| format!("cannot open the Artifact {}", artifact.display()))?;
    Ok(Box::new(file))
}

fn is_url(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// The standalone update in progress.
fn in_progress(device: &mut Device) -> anyhow::Result<Option<Update>> {
    device.prepare()?;
    signal::listen(&device.wake)?;
    let is_claimed = device.claim_update()?;
    match device.store.read()?.update {
        Some(update) if update.deployment().is_some() => bail!(IN_PROGRESS),
        _ if !is_claimed => bail!(IN_PROGRESS),
        other => Ok(other),
    }
}

fn nothing_in_progress() -> Exit {
    say("No update in progress.");
    Exit::NothingInProgress
}

fn finished(ended: Ended) -> anyhow::Result<Update> {
    match ended {
        Ended::Finished(update) => Ok(*update),
        Ended::Stopped => bail!("interrupted; use rollback to go back"),
    }
}

fn say_reboot(update: &Update, reboot_exit_code: bool) -> Exit {
    if update.reboot == RebootNeed::No {
        return Exit::Success;
    }
    say("At least one payload requested a reboot of the device it updated.");
    if reboot_exit_code { Exit::RebootRequired } else { Exit::Success }
}

/// What failed, and in what state it leaves the device.
fn say_failure(update: &Update) -> Exit {
    let part = update.failed_part.unwrap_or(FailedPart::Install);
    say(match part {
        FailedPart::Download => "Streaming failed.",
        FailedPart::Install => "Installation failed.",
        FailedPart::Commit => "Committing failed.",
        FailedPart::Cleanup => "Cleanup failed.",
    });
    match (part, update.health) {
        (FailedPart::Download, Health::RolledBack) => say("System not modified."),
        (_, Health::RolledBack) => say("Rolled back."),
        (FailedPart::Cleanup, _) => {}
        _ if update.committed => say("System may be in an inconsistent state."),
        _ if update.supports_rollback == Some(true) => {
            say("Rollback failed. System may be in an inconsistent state.");
        }
        _ => say("Update Module does not support rollback. \
                  System may be in an inconsistent state."),
    }
    Exit::Failure
}

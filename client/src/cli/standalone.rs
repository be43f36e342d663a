//! `install`, `resume`, `commit` and `rollback`: updates by hand.

use std::{
    ffi::OsStr,
    fs::File,
    process,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use rota_client::{
    journal::Store,
    machine::{Milestone, Refusal, Stage, StopPoint, Update, Wishes},
    modules::Source,
    progress::Watched,
    runner::{Ended, Runner},
};

use super::{Device, Exit, complain, progress, report, say, signal};

const IN_PROGRESS: &str = "another update is in progress; wait until it is over";

/// What all commands by hand can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ByHand {
    /// Exit with 4 when a payload wants a reboot.
    pub(super) reboot_exit_code: bool,
    pub(super) stop_before: Vec<StopPoint>,
}

impl ByHand {
    fn wishes(&self) -> Wishes {
        // Two commands of one id at one time do not exist, whatever the clock says.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let run = format!("by-hand-{}-{}", process::id(), time.as_nanos());
        Wishes { stop_before: self.stop_before.clone(), run: Some(run) }
    }
}

pub(super) fn install(
    device: &mut Device,
    artifact: &OsStr,
    by_hand: &ByHand,
) -> anyhow::Result<Exit> {
    device.prepare()?;
    signal::listen(&device.wake)?;
    let is_claimed = device.claim_update()?;
    let obstacle = match device.store.read()?.update {
        Some(update) if update.deployment().is_some() => Some(IN_PROGRESS),
        _ if !is_claimed => Some(IN_PROGRESS),
        // An interrupted download has changed nothing, so there is nothing to decide.
        Some(update) if update.stage == Stage::UpdateStore => {
            drop_interrupted_download(device, update)?;
            None
        }
        Some(_) => Some("an update installed by hand waits for resume, commit or rollback"),
        None => None,
    };
    if let Some(obstacle) = obstacle {
        complain(obstacle);
        say("System not modified.");
        return Ok(Exit::Failure);
    }
    let source = open(device, artifact)?;
    let source = Box::new(Watched::new(source, progress::watcher(device)));
    say("Installing artifact...");
    let ended = device.with_runner(|runner| runner.install(source, by_hand.wishes()));
    tell(ended, by_hand)
}

pub(super) fn resume(device: &mut Device, by_hand: &ByHand) -> anyhow::Result<Exit> {
    go_on(device, by_hand, |runner, update| Ok(runner.resume(update, by_hand.wishes())))
}

pub(super) fn commit(device: &mut Device, by_hand: &ByHand) -> anyhow::Result<Exit> {
    go_on(device, by_hand, |runner, update| runner.commit(update, by_hand.wishes()))
}

pub(super) fn roll_back(device: &mut Device, by_hand: &ByHand) -> anyhow::Result<Exit> {
    go_on(device, by_hand, |runner, update| runner.roll_back(update, by_hand.wishes()))
}

/// Takes on the update that waits, if one does.
fn go_on(
    device: &mut Device,
    by_hand: &ByHand,
    command: impl FnOnce(&mut Runner<'_>, Update) -> Result<Ended, Refusal>,
) -> anyhow::Result<Exit> {
    device.prepare()?;
    signal::listen(&device.wake)?;
    let is_claimed = device.claim_update()?;
    let update = match device.store.read()?.update {
        Some(update) if update.deployment().is_some() => bail!(IN_PROGRESS),
        _ if !is_claimed => bail!(IN_PROGRESS),
        None => {
            say("No update in progress.");
            return Ok(Exit::NothingInProgress);
        }
        Some(update) => update,
    };
    tell(device.with_runner(|runner| command(runner, update))?, by_hand)
}

fn drop_interrupted_download(device: &mut Device, update: Update) -> anyhow::Result<()> {
    device.log.info("an interrupted installation is dropped");
    match device.with_runner(|runner| runner.resume(update, Wishes::default())) {
        Ended::Stopped => bail!("interrupted"),
        Ended::StoppedBefore(..) | Ended::Finished(_) => Ok(()),
    }
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

/// Says what a command has come to.
fn tell(ended: Ended, by_hand: &ByHand) -> anyhow::Result<Exit> {
    let (stopped_before, update) = match ended {
        Ended::Finished(update) => (None, update),
        Ended::StoppedBefore(point, update) => (Some(point), update),
        Ended::Stopped => bail!("interrupted; use resume to go on, or rollback to go back"),
    };
    for line in report::lines(&update, stopped_before) {
        say(line);
    }
    Ok(if update.milestones.iter().copied().any(Milestone::is_failure) {
        Exit::Failure
    } else if by_hand.reboot_exit_code && report::wants_reboot(&update) {
        Exit::RebootRequired
    } else {
        Exit::Success
    })
}

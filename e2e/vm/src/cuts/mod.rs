//! Power cuts at random moments of updates: afterwards a machine always comes back, with the old
//! system or the new one, and the platform is told which.

mod phase;
mod plan;
mod table;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

pub(crate) use self::table::Table;
use self::{
    phase::Phase,
    plan::{Pace, Plan},
};
use crate::{
    console::Mark,
    image::FACTORY,
    machine::{Machine, Settled},
    report::say,
    stories::succeeds,
};

/// One machine's share of the cuts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// The first cut's number.
    pub(crate) first: usize,
    /// Every so-many-th cut is this machine's.
    pub(crate) step: usize,
    /// How many there are in all.
    pub(crate) all: usize,
    /// Where chance begins.
    pub(crate) seed: u64,
}

/// Cuts a machine's power again and again, each time at another moment of an update.
pub(crate) async fn cut_again_and_again(
    machine: &mut Machine<'_>,
    share: Share,
    table: &Table,
) -> Result<()> {
    let pace = measure(machine).await.context("the first update, without a cut")?;
    let (mut runs, mut last) = ("two", FACTORY);
    for number in (share.first..share.all).step_by(share.step) {
        // Each cut has a seed of its own, so that it does not depend on those before it.
        let mut random = SmallRng::seed_from_u64(share.seed.wrapping_add(number as u64));
        let target = Phase::TARGETS[number % Phase::TARGETS.len()];
        let new = another(runs, last);
        let round = Round { machine, pace, random: &mut random, old: runs, new };
        let (phase, settled) = round
            .play(target)
            .await
            .with_context(|| format!("cut {} of {} ({target:?})", number + 1, share.all))?;
        table.add(phase, settled.is_success);
        let end = if settled.is_success { "new" } else { "old" };
        say(format_args!(
            "cut {} of {}: {phase}, ended with the {end} system",
            number + 1,
            share.all
        ));
        // What was not installed may lie on the other partition all the same.
        last = if settled.is_success { runs } else { new };
        runs = if settled.is_success { new } else { runs };
    }
    succeeds(machine, runs, another(runs, last)).await.context("the update after all cuts")
}

/// A sound system that is on neither partition, so that there is something to write.
fn another(runs: &str, last: &str) -> &'static str {
    ["two", "three", "four"]
        .into_iter()
        .find(|name| *name != runs && *name != last)
        .unwrap_or("two")
}

/// Updates once in peace and takes the time.
async fn measure(machine: &mut Machine<'_>) -> Result<Pace> {
    let since = machine.console.mark()?;
    machine.disk.count_anew();
    let deployment = machine.deploy("two").await?;
    machine.line(since, phase::DOWNLOADING).await?;
    let downloading = Instant::now();
    machine.line(since, phase::INSTALLING).await?;
    let download = downloading.elapsed();
    machine.line(since, phase::REBOOTING).await?;
    let until_reboot = machine.writes()?;
    machine.disk.count_anew();
    let rebooting = Instant::now();
    machine.line(since, "vm: system two").await?;
    let reboot = rebooting.elapsed();
    let during_reboot = machine.writes()?;
    machine.disk.count_anew();
    let started = Instant::now();
    let settled = machine.settled(since, &deployment, FACTORY, "two").await?;
    ensure!(settled.is_success, "it failed, and {:?} runs", settled.boot);
    let commit = started.elapsed();
    let until_end = machine.writes()?;
    say(format_args!(
        "{}: an update in peace: download {:.1} s, reboot {:.1} s, commit {:.1} s",
        machine.name,
        download.as_secs_f64(),
        reboot.as_secs_f64(),
        commit.as_secs_f64()
    ));
    Ok(Pace { download, reboot, commit, until_reboot, during_reboot, until_end })
}

/// One update with a cut.
struct Round<'a, 'lab> {
    machine: &'a mut Machine<'lab>,
    pace: Pace,
    random: &'a mut SmallRng,
    old: &'a str,
    new: &'a str,
}

impl Round<'_, '_> {
    /// Gives the phase in which the power was cut, and how it ended.
    async fn play(mut self, target: Phase) -> Result<(Phase, Settled)> {
        let since = self.machine.console.mark()?;
        self.machine.disk.count_anew();
        let plan = Plan::draw(target, self.pace, self.random);
        let deployment = self.machine.deploy(self.new).await?;
        let phase = self.cut_at(plan, since, &deployment).await?;
        let mut after = self.machine.console.mark()?;
        self.machine.power_on()?;
        // Now and then the power fails again while the machine comes back.
        if self.random.random_bool(0.15) {
            let pause = self.random.random_range(0.0..1.5 * self.pace.reboot.as_secs_f64());
            // The pause is the random moment itself, not a wait for something.
            tokio::time::sleep(Duration::from_secs_f64(pause)).await;
            let loss = self.machine.cut(self.random)?;
            say(format_args!("{}: and once more while it came back, {loss:?}", self.machine.name));
            after = self.machine.console.mark()?;
            self.machine.power_on()?;
        }
        let settled = self.machine.settled(after, &deployment, self.old, self.new).await?;
        Ok((phase, settled))
    }

    /// Waits for the planned moment, or for the update's end if that comes first, and cuts.
    async fn cut_at(&mut self, plan: Plan, since: Mark, deployment: &str) -> Result<Phase> {
        let has_ended = {
            let machine = &mut *self.machine;
            plan.come(machine, since, self.new, deployment).await?
        };
        self.machine.disk.freeze();
        let phase = if has_ended {
            Phase::End
        } else {
            Phase::of(&self.machine.console.since(since)?, self.new, self.machine.writes()?)
        };
        let loss = self.machine.cut(self.random)?;
        say(format_args!("{}: power cut during {phase}: {loss:?}", self.machine.name));
        Ok(phase)
    }
}

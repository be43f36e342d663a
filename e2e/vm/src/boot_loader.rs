//! Power cuts while GRUB writes its environment.
//!
//! GRUB cannot flush a disk, so whatever it wrote before the kernel's first flush may be lost in
//! any combination. The disk begins with a trial of a system that is not there: GRUB counts the
//! trial, fails to start it, and goes back, each of which it writes down.

use anyhow::{Context, Result};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{
    console::Mark,
    image::{BOOT, FACTORY},
    machine::Machine,
    report::say,
};

/// Cuts in a run.
const CUTS: u64 = 8;

/// Most writes of one start: two files of two sectors, to count the trial and again to go back.
const WRITES: u64 = 8;

/// Cuts the power at GRUB's writes until the old system is started, again and again.
pub(crate) async fn cut_the_boot_loader(machine: &mut Machine<'_>, seed: u64) -> Result<()> {
    for number in 0..CUTS {
        let mut random = SmallRng::seed_from_u64(seed.wrapping_add(1000 + number));
        machine.disk.renew();
        let context = || format!("cut {} of {CUTS} while GRUB writes", number + 1);
        let losses = cut_once(machine, &mut random).await.with_context(context)?;
        say(format_args!("{}: cut {} of {CUTS}: {losses}", machine.name, number + 1));
    }
    Ok(())
}

/// One trial that is cut short once or twice; gives what was lost.
async fn cut_once(machine: &mut Machine<'_>, random: &mut SmallRng) -> Result<String> {
    let mut losses = String::new();
    for _ in 0..random.random_range(1..=2) {
        let since = machine.console.mark()?;
        let writes = random.random_range(1..=WRITES);
        let tripped = machine.disk.trip_at(BOOT, writes, 0);
        machine.power_on()?;
        // The kernel starts when GRUB has written all that it had to.
        let started = tokio::select! {
            started = system(machine, since) => { started?; true }
            stopped = tripped => { stopped?; false }
        };
        let loss = machine.cut(random)?;
        let when = if started { "after the start".into() } else { format!("at write {writes}") };
        losses = format!("{losses}{when}, {loss:?}; ");
    }
    let since = machine.console.mark()?;
    machine.power_on()?;
    system(machine, since).await?;
    let boot = machine.console.last_boot(since)?.context("no start on the console")?;
    machine.is_chosen(&boot)?;
    machine.cut(random)?;
    Ok(losses)
}

/// Waits for the start of the old system.
async fn system(machine: &mut Machine<'_>, since: Mark) -> Result<()> {
    machine.line(since, &format!("vm: system {FACTORY} on partition 3")).await.map(|_| ())
}

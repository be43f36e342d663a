//! Updates that succeed, and updates that must not: each fault is told on a machine of its own,
//! which must come back by itself, say so, and take another update.

use anyhow::{Context, Result, ensure};
use rand::{SeedableRng, rngs::SmallRng};

use crate::{image::FACTORY, machine::Machine, report::say};

/// A story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Story {
    /// A sound system is installed, committed, and still runs after a power cut that tore the
    /// superblock of the data partition.
    Commits,
    /// The new system's kernel panics.
    KernelPanics,
    /// The new system's init hangs; the watchdog ends that.
    InitHangs,
    /// The new system starts, but does not reach the server.
    NoServer,
    /// The new system starts, but cannot read the boot loader's environment.
    NoEnvironment,
}

impl Story {
    /// In the order in which they begin: what waits longest comes first.
    pub(crate) const ALL: [Self; 5] =
        [Self::NoServer, Self::InitHangs, Self::NoEnvironment, Self::KernelPanics, Self::Commits];

    /// Its name, and its machine's.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Commits => "commits",
            Self::KernelPanics => "kernel-panics",
            Self::InitHangs => "init-hangs",
            Self::NoServer => "no-server",
            Self::NoEnvironment => "no-environment",
        }
    }

    /// Whether its machine does nothing but wait for most of the time.
    pub(crate) const fn is_idle(self) -> bool {
        matches!(self, Self::NoServer | Self::InitHangs)
    }

    /// Tells it.
    pub(crate) async fn tell(self, machine: &mut Machine<'_>, seed: u64) -> Result<()> {
        match self {
            Self::Commits => commits(machine, seed).await,
            Self::KernelPanics => fails(machine, "panics", "Kernel panic").await,
            Self::InitHangs => fails(machine, "hangs", "vm: init hangs").await,
            Self::NoServer => fails(machine, "alone", "vm: system alone").await,
            Self::NoEnvironment => fails(machine, "blind", "leaving it to the boot loader").await,
        }
    }
}

/// Updates the machine from one system to another, which must succeed.
pub(crate) async fn succeeds(machine: &mut Machine<'_>, old: &str, new: &str) -> Result<()> {
    let since = machine.console.mark()?;
    let deployment = machine.deploy(new).await?;
    let settled = machine.settled(since, &deployment, old, new).await?;
    ensure!(settled.is_success, "the update from {old} to {new} failed");
    Ok(())
}

async fn commits(machine: &mut Machine<'_>, seed: u64) -> Result<()> {
    succeeds(machine, FACTORY, "two").await?;
    say("commits: runs the new system; cutting its power");
    let since = machine.console.mark()?;
    machine.cut(&mut SmallRng::seed_from_u64(seed))?;
    machine.tear_superblock()?;
    machine.power_on()?;
    let again = machine.line(since, "vm: system ").await?;
    ensure!(again.contains("vm: system two"), "after the power cut: {again}");
    succeeds(machine, "two", "three").await
}

/// Updates to a system with a fault, of which `sign` is seen on the console; the machine must come
/// back to the old system by itself.
async fn fails(machine: &mut Machine<'_>, faulty: &str, sign: &str) -> Result<()> {
    let name = machine.name.clone();
    let since = machine.console.mark()?;
    let deployment = machine.deploy(faulty).await?;
    let line = machine.line(since, sign).await?;
    say(format_args!("{name}: {}", line.trim()));
    let settled = machine.settled(since, &deployment, FACTORY, faulty).await?;
    ensure!(!settled.is_success, "an update to a system that {name} was reported as a success");
    let log = machine.log_of(&deployment).await?;
    ensure!(log.contains("error"), "the deployment's log says nothing of a failure: {log}");
    say(format_args!("{name}: back on the old system, reported as failed; updating again"));
    succeeds(machine, FACTORY, "two").await.context("the update after the failed one")
}

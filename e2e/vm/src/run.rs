//! A whole run: all stories, and the cuts, on as many machines at a time as there are processors.

use std::{env, path::Path};

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use rand::RngExt;
use tokio::sync::Semaphore;

use crate::{
    boot_loader::cut_the_boot_loader,
    cuts::{Share, Table, cut_again_and_again},
    lab::Lab,
    machine::Machine,
    qemu::Accelerator,
    report::say,
    stories::Story,
    tools::target,
};

/// Power cuts, unless `CUTS` says otherwise.
const CUTS: usize = 25;
/// The same where machines are emulated.
const CUTS_EMULATED: usize = 15;

/// Machines whose power is cut again and again.
const CUT_MACHINES: usize = 2;
/// Machines that have work at the same time: one more, since each waits now and then.
const AT_ONCE: usize = CUT_MACHINES + 1;

/// What one machine is for.
#[derive(Clone, Copy, Debug)]
enum Task {
    Story(Story),
    /// Cuts while GRUB writes.
    BootLoader,
    Cuts(Share),
}

impl Task {
    fn name(self) -> String {
        match self {
            Self::Story(story) => story.name().to_owned(),
            Self::BootLoader => "boot-loader".to_owned(),
            Self::Cuts(share) => format!("cuts-{}", share.first + 1),
        }
    }

    /// Whether its machine does nothing but wait for most of the time.
    fn is_idle(self) -> bool {
        matches!(self, Self::Story(story) if story.is_idle())
    }
}

/// Runs everything; gives the number of failures.
pub(crate) async fn run() -> Result<usize> {
    let seed: u64 = number("SEED")?.unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let kept = target()?.join("e2e-vm");
    let folder = tempfile::Builder::new().prefix("rota-vm").tempdir()?;
    let lab = Lab::open(folder.path(), &kept).await?;
    let cuts =
        usize::try_from(number("CUTS")?.unwrap_or(default_cuts(lab.speed.accelerator) as u64))?;
    say(format_args!("{} stories and {cuts} power cuts, SEED={seed}", Story::ALL.len()));

    let table = Table::default();
    let permits = Semaphore::new(AT_ONCE);
    let kept = kept.join(format!("failed-{seed}"));
    let mut tasks = tasks(cuts, seed);
    if let Ok(only) = env::var("ONLY") {
        tasks.retain(|task| task.name() == only);
        ensure!(!tasks.is_empty(), "ONLY={only} names no story");
    }
    let told = tasks.iter().zip(1..).map(|(task, number)| {
        let (lab, table, permits, kept) = (&lab, &table, &permits, &kept);
        async move { Attempt { lab, table, kept, number, seed }.make(*task, permits).await }
    });
    let outcomes = join_all(told).await;
    say(format_args!("power cuts by phase:\n{table}"));
    let failed = outcomes.iter().filter(|is_good| !**is_good).count();
    if failed > 0 {
        say(format_args!("SEED={seed} CUTS={cuts} repeats the same cuts"));
    }
    // Each cut that ended well is one more thing that was shown.
    let passed = outcomes.len() - failed + table.cuts();
    say(format_args!("{passed} passed, {failed} failed"));
    Ok(failed)
}

fn default_cuts(accelerator: Accelerator) -> usize {
    match accelerator {
        Accelerator::Kvm => CUTS,
        Accelerator::Tcg => CUTS_EMULATED,
    }
}

/// A number from the environment.
fn number(name: &str) -> Result<Option<u64>> {
    match env::var(name) {
        Ok(text) => Ok(Some(text.parse().with_context(|| format!("{name} must be a number"))?)),
        Err(_) => Ok(None),
    }
}

/// In the order in which they begin: what takes longest comes first.
fn tasks(cuts: usize, seed: u64) -> Vec<Task> {
    let machines = CUT_MACHINES.min(cuts);
    let share = |first| Share { first, step: machines, all: cuts, seed };
    let cuts = (0..machines).map(|first| Task::Cuts(share(first)));
    cuts.chain([Task::BootLoader]).chain(Story::ALL.map(Task::Story)).collect()
}

/// One machine's work.
struct Attempt<'a> {
    lab: &'a Lab,
    table: &'a Table,
    /// Where what is left of a failure goes.
    kept: &'a Path,
    number: u8,
    seed: u64,
}

impl Attempt<'_> {
    /// Gives whether all went well.
    async fn make(&self, task: Task, permits: &Semaphore) -> bool {
        let name = task.name();
        // The semaphore is never closed, so that this only waits.
        let _permit = if task.is_idle() { None } else { permits.acquire().await.ok() };
        say(format_args!("{name}: begins"));
        let outcome = self.work(task, &name).await;
        match &outcome {
            Ok(()) => say(format_args!("{name}: passed")),
            Err(error) => say(format_args!("{name}: FAILED: {error:#}")),
        }
        outcome.is_ok()
    }

    async fn work(&self, task: Task, name: &str) -> Result<()> {
        let Self { lab, number, seed, .. } = *self;
        let mut machine = match task {
            Task::BootLoader => Machine::new(lab, lab.trial.clone(), name, number)?,
            _ => Machine::begin(lab, name, number).await?,
        };
        let outcome = match task {
            Task::Story(story) => story.tell(&mut machine, seed).await,
            Task::BootLoader => cut_the_boot_loader(&mut machine, seed).await,
            Task::Cuts(share) => cut_again_and_again(&mut machine, share, self.table).await,
        };
        if outcome.is_err() {
            say(machine.last_words());
            match machine.keep(self.kept) {
                Ok(place) => say(format_args!("{name}: kept in {}", place.display())),
                Err(error) => say(format_args!("{name}: cannot be kept: {error:#}")),
            }
            let log = self.kept.join("platform.log");
            std::fs::write(&log, self.lab.platform.all_printed())?;
        }
        outcome
    }
}

//! The shell around the machine: journals its state, carries out its actions, reports the outcome.
//!
//! The runner decides nothing about updates. Everything that it touches stands behind a trait, so
//! that tests can stop it between any two steps, as a power cut would.

mod control;
mod perform;
mod reports;
mod schedule;
#[cfg(test)]
mod tests;

use std::time::Duration;

use rota_rest::device::Attribute;

use crate::{
    clock::Clock,
    config::Settings,
    control::ControlTimes,
    inventory::InventoryError,
    journal::{JournalError, Store},
    log::{DeploymentLogs, Log, chain},
    machine::{
        Action, Event, Journal, Origin, Phase, Refusal, State, StopPoint, Transition, Update,
        Wishes, commit_standalone, install_standalone, recover, resume_standalone,
        roll_back_standalone, start, step,
    },
    modules::{Installer, Source},
    owed::OwedReports,
    power::Power,
    process::Mark,
    records::Records,
    scripts::Scripts,
    server::Server,
};

use perform::Outcome;
use schedule::Schedule;

/// Everything outside the machine.
pub struct World<'a> {
    pub store: &'a mut dyn Store,
    pub server: &'a mut dyn Server,
    pub installer: &'a mut dyn Installer,
    pub scripts: &'a mut dyn Scripts,
    pub inventory: &'a mut dyn Inventory,
    pub power: &'a mut dyn Power,
    pub clock: &'a dyn Clock,
    pub logs: &'a DeploymentLogs,
    /// On all programs that an update starts, with the step of it.
    pub mark: &'a Mark,
    pub log: &'a Log,
}

/// Knows what the device is like.
pub trait Inventory {
    fn collect(&mut self) -> Result<Vec<Attribute>, InventoryError>;
}

/// Why the runner returned.
#[derive(Debug)]
pub enum Ended {
    /// The process is to end; the journal says how to go on.
    Stopped,
    /// A standalone update waits for the operator's next command.
    StoppedBefore(StopPoint, Box<Update>),
    /// A standalone update is over, or the operator's command could do nothing about it.
    Finished(Box<Update>),
}

/// Runs the machine in a world.
pub struct Runner<'a> {
    world: World<'a>,
    schedule: Schedule,
    retry: Retries,
    control_times: ControlTimes,
    /// What a standalone update installs.
    artifact: Option<Source>,
    is_in_deployment: bool,
    /// Of a daemon: as in the journal, or newer where that cannot be written.
    owed: OwedReports,
    /// The server has asked for a pause before it is told what is owed.
    settle_after: Duration,
}

/// How long reports are retried.
#[derive(Clone, Copy, Debug)]
struct Retries {
    interval: Duration,
    count: u32,
}

impl<'a> Runner<'a> {
    pub fn new(settings: &Settings, world: World<'a>) -> Self {
        let retry =
            Retries { interval: settings.retry_poll_interval, count: settings.retry_poll_count };
        Self {
            world,
            schedule: Schedule::new(settings),
            retry,
            control_times: ControlTimes::new(settings),
            artifact: None,
            is_in_deployment: false,
            owed: OwedReports::default(),
            settle_after: Duration::ZERO,
        }
    }

    /// Takes up what was interrupted, then asks for updates until the process is to end.
    pub fn run_daemon(&mut self) -> Result<Ended, JournalError> {
        let mut records = self.world.store.read()?;
        self.owed.clone_from(&records.owed);
        let interrupted = records.update.take().filter(|update| update.deployment().is_some());
        let first = match interrupted {
            Some(update) => {
                self.world.log.warning(format_args!(
                    "an update was interrupted in stage {:?} and is taken up again",
                    update.stage
                ));
                // If a command has the claim, it sees the journal and gives up at once.
                if let Err(error) = self.world.store.claim_update() {
                    self.world.log.warning(chain(&error));
                }
                self.end_interrupted(&update);
                recover(self.after_restart(update, &records))
            }
            None => start(),
        };
        Ok(self.run(first))
    }

    /// Installs an Artifact as an operator asked; the caller has made sure that no update is under
    /// way.
    pub fn install(&mut self, artifact: Source, wishes: Wishes) -> Ended {
        self.artifact = Some(artifact);
        self.run(install_standalone(wishes))
    }

    /// Goes on with what an operator began.
    pub fn resume(&mut self, update: Update, wishes: Wishes) -> Ended {
        self.end_interrupted(&update);
        self.run(resume_standalone(update, wishes))
    }

    /// Keeps what an operator installed.
    pub fn commit(&mut self, update: Update, wishes: Wishes) -> Result<Ended, Refusal> {
        self.end_interrupted(&update);
        commit_standalone(update, wishes).map(|first| self.run(first))
    }

    /// Takes back what an operator installed.
    pub fn roll_back(&mut self, update: Update, wishes: Wishes) -> Result<Ended, Refusal> {
        self.end_interrupted(&update);
        roll_back_standalone(update, wishes).map(|first| self.run(first))
    }

    /// Ends what an earlier client left running of the step that it was killed in: that step runs
    /// once more, or is taken back.
    fn end_interrupted(&self, update: &Update) {
        self.mark(update);
        self.world.mark.end_all(self.world.log);
    }

    /// From now on programs belong to the step that is under way by the journal.
    fn mark(&self, journaled: &Update) {
        let name = match &journaled.origin {
            Origin::Deployment(deployment) => Some(deployment.id.as_str()),
            Origin::Standalone => journaled.run.as_deref(),
        };
        match name {
            Some(name) => self.world.mark.enter(name, &format!("{:?}", journaled.stage)),
            None => self.world.mark.leave(),
        }
    }

    fn run(&mut self, first: Transition) -> Ended {
        let mut transition = first;
        loop {
            let Transition { mut state, journal, action } = transition;
            self.enter_deployment(&state);
            self.tell_damage();
            let is_saved = journal == Journal::No || self.save(&state);
            if !is_saved {
                state.set_unsaved();
            }
            // The journal is the only thing that a stop must wait for.
            if self.world.clock.check().is_err() {
                return Ended::Stopped;
            }
            let event = if !is_saved && journal == Journal::Required {
                Event::Failed
            } else if action == Action::Finish {
                return finished(state);
            } else {
                match self.perform(&state, action) {
                    Outcome::Event(event) => event,
                    Outcome::Stop => return Ended::Stopped,
                }
            };
            transition = step(state, event);
        }
    }

    fn save(&mut self, state: &State) -> bool {
        let State::Update { update, .. } = state else { return true };
        if let Some(deployment) = update.deployment() {
            // If it is tried once more, the log of the last time is of no use.
            self.owed.settle(&deployment.id);
        }
        let owed = update.deployment().map(|_| &self.owed);
        let outcome = self.world.store.change(&mut |records: &mut Records| {
            records.update = Some((**update).clone());
            if let Some(owed) = owed {
                records.owed.clone_from(owed);
            }
        });
        match &outcome {
            Ok(()) => self.mark(update),
            Err(error) => self.world.log.error(chain(error)),
        }
        outcome.is_ok()
    }

    /// Says which copies of the journal were passed over; in a deployment, its log says so too.
    fn tell_damage(&mut self) {
        for damage in self.world.store.take_damage() {
            self.world.log.warning(damage);
        }
    }

    /// During a deployment everything that is logged goes to its log as well.
    fn enter_deployment(&mut self, state: &State) {
        let State::Update { update, .. } = state else { return };
        let Some(deployment) = update.deployment() else { return };
        if !self.is_in_deployment {
            self.is_in_deployment = true;
            if let Err(error) = self.world.logs.open(self.world.log, &deployment.id) {
                self.world.log.warning(chain(&error));
            }
        }
    }
}

fn finished(state: State) -> Ended {
    match state {
        State::Update { phase: Phase::StoppedBefore(point), update } => {
            Ended::StoppedBefore(point, update)
        }
        State::Update { update, .. } => Ended::Finished(update),
        State::Sync(_) => Ended::Stopped,
    }
}

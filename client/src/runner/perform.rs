//! The actions, one by one.

use std::{fmt::Display, time::Duration};

use super::Runner;
use crate::{
    log::chain,
    machine::{
        Action, Deployment, Event, Health, Owed, ScriptPoint, SoftwareChange, Stage, State, Task,
        Update,
    },
    modules::InstallError,
    progress::{Watched, logger},
    records::Records,
    server::ServerError,
};

/// How long the system may take to go down; as long as Mender's client waits.
const SHUTDOWN: Duration = Duration::from_mins(10);

/// What an action came to.
pub(super) enum Outcome {
    Event(Event),
    /// It did not end, because the process is to end.
    Stop,
}

impl Runner<'_> {
    /// Carries out an action.
    pub(super) fn perform(&mut self, state: &State, action: Action) -> Outcome {
        match (action, state) {
            (Action::Wait, _) => self.wait(),
            (Action::Settle, _) => self.settle(),
            (Action::Poll, _) => self.poll(),
            (Action::SendInventory, _) => self.send_inventory(),
            (Action::RunScripts(script_state, point), _) => {
                let outcome = self.world.scripts.run(script_state, point);
                let place = format!("{}_{}", script_state.as_str(), point.as_str());
                // Error scripts are only a chance to react.
                let outcome = match (outcome, point) {
                    (Err(error), ScriptPoint::Error) => {
                        self.world.log.error(chain(&error));
                        Ok(())
                    }
                    (outcome, _) => outcome,
                };
                self.done(place, outcome)
            }
            (Action::CheckScripts, _) => {
                let outcome = self.world.scripts.check_version();
                self.done("the check of the state scripts", outcome)
            }
            (Action::DropToken, _) => {
                self.world.server.drop_token();
                Outcome::Event(Event::Done)
            }
            (Action::RebootSystem, _) => self.reboot(),
            (action, State::Update { update, .. }) => self.perform_on(update, action),
            (_, State::Sync(_)) => Outcome::Event(Event::Failed),
        }
    }

    fn perform_on(&mut self, update: &Update, action: Action) -> Outcome {
        match action {
            Action::Report(status, retry) => self.report(update, status, retry),
            Action::AskControl(point) => self.ask_control(update, point),
            Action::Hold(point) => self.hold(update, point),
            Action::OpenArtifact => self.open_artifact(update),
            Action::StorePayload => {
                let outcome = self.world.installer.store();
                self.done("the download", outcome)
            }
            Action::CallModule(call) => {
                let payload_type = update.payload_type().unwrap_or_default();
                let outcome = self.world.installer.call(payload_type, call);
                self.done(call.as_str(), outcome)
            }
            Action::AskReboot => {
                let payload_type = update.payload_type().unwrap_or_default();
                let answer = self.world.installer.needs_reboot(payload_type);
                self.answered("NeedsArtifactReboot", answer.map(Event::RebootNeed))
            }
            Action::AskRollback => {
                let payload_type = update.payload_type().unwrap_or_default();
                let answer = self.world.installer.supports_rollback(payload_type);
                self.answered("SupportsRollback", answer.map(Event::SupportsRollback))
            }
            Action::Record(change) => self.record(update, change),
            Action::Cleanup => {
                let outcome = self.world.installer.clean_up(update.payload_type());
                self.done("the cleanup", outcome)
            }
            Action::UploadLog => self.upload_log(update),
            Action::Forget(owed) => self.forget(update, owed),
            // All others need no update.
            _ => Outcome::Event(Event::Failed),
        }
    }

    fn wait(&mut self) -> Outcome {
        self.world.store.release_update();
        loop {
            let now = self.world.clock.now();
            let task = match self.schedule.due(now) {
                Ok(task) => Some(task),
                Err(pause) => match self.world.clock.next_task(pause) {
                    Ok(task) => task,
                    Err(_stopped) => return Outcome::Stop,
                },
            };
            if let Some(task) = task {
                self.schedule.begun(task, self.world.clock.now());
                return Outcome::Event(Event::Due(task));
            }
        }
    }

    /// Asks for an update, unless one that was started by hand is under way.
    fn poll(&mut self) -> Outcome {
        match self.world.store.claim_update() {
            Ok(true) => {}
            Ok(false) => {
                self.world.log.info("no new update is asked for: one is installed by hand");
                return Outcome::Event(Event::Polled(None));
            }
            Err(error) => return self.postponed(Task::Poll, "claiming the update", &error),
        }
        let records = match self.world.store.read() {
            Ok(records) => records,
            Err(error) => return self.postponed(Task::Poll, "the journal", &error),
        };
        if let Some(update) = &records.update {
            if update.deployment().is_none() {
                self.world.log.warning(
                    "no new update is asked for: one installed by hand waits for commit or rollback",
                );
                return Outcome::Event(Event::Polled(None));
            }
            // It is over, but that could not be written. If it still cannot, neither can the next
            // one begin, which the server hears.
            self.clear_journal(update);
        }
        match self.world.server.poll(&records.software()) {
            Ok(offer) => {
                self.schedule.succeeded(Task::Poll, self.world.clock.now());
                match &offer {
                    // What it does not know is told before the next poll.
                    Some(Deployment { id, .. }) if self.owed.owes_end(id) => {
                        self.world.log.warning(format_args!(
                            "deployment {id} is offered again, but is over on this device, which \
                             the server has not heard yet; it is not begun again"
                        ));
                        return Outcome::Event(Event::Polled(None));
                    }
                    Some(Deployment { id, .. }) => {
                        self.world.log.info(format_args!("deployment {id} is for this device"));
                        if let Err(error) = self.begin_control(id) {
                            return self.unanswered(Task::Poll, "the update control map", &error);
                        }
                    }
                    None => self.world.log.debug("no update"),
                }
                Outcome::Event(Event::Polled(offer))
            }
            Err(error) => self.unanswered(Task::Poll, "asking for an update", &error),
        }
    }

    fn send_inventory(&mut self) -> Outcome {
        let inventory = match self.world.inventory.collect() {
            Ok(inventory) => inventory,
            Err(error) => return self.postponed(Task::Inventory, "the inventory", &error),
        };
        match self.world.server.send_inventory(inventory) {
            Ok(()) => {
                self.schedule.succeeded(Task::Inventory, self.world.clock.now());
                Outcome::Event(Event::Done)
            }
            Err(error) => self.unanswered(Task::Inventory, "sending the inventory", &error),
        }
    }

    /// The server could not be asked, or did not answer as it should: the task comes again when it
    /// says, or else after a pause.
    fn unanswered(&mut self, task: Task, what: &str, error: &ServerError) -> Outcome {
        self.schedule.failed(task, self.world.clock.now(), error.retry_after());
        self.failed(what, error)
    }

    /// Something on the device itself failed: the task comes again after a pause.
    fn postponed(&mut self, task: Task, what: &str, error: &dyn std::error::Error) -> Outcome {
        self.schedule.failed(task, self.world.clock.now(), None);
        self.failed(what, error)
    }

    fn open_artifact(&mut self, update: &Update) -> Outcome {
        let software = match self.world.store.read() {
            Ok(records) => records.software(),
            Err(error) => return self.failed("the journal", &error),
        };
        let source = match update.deployment() {
            Some(deployment) => match self.world.server.download(deployment, &software) {
                Ok(source) => Box::new(Watched::new(source, logger(self.world.log.clone()))),
                Err(error) => return self.failed("the download", &error),
            },
            None => match self.artifact.take() {
                Some(source) => source,
                None => return self.failed("the download", &InstallError::NothingOpen),
            },
        };
        let opened = self.world.installer.open(source, &software);
        self.answered("the download", opened.map(Event::Opened))
    }

    fn reboot(&mut self) -> Outcome {
        self.world.log.info("rebooting");
        if let Err(error) = self.world.power.reboot() {
            return self.failed("the reboot", &error);
        }
        if self.world.clock.sleep(SHUTDOWN).is_err() {
            return Outcome::Stop;
        }
        self.world.log.error("the system was to reboot, but did not go down");
        Outcome::Event(Event::Failed)
    }

    /// The new software and the next stage, in one entry of the journal.
    fn record(&mut self, update: &Update, change: SoftwareChange) -> Outcome {
        let next = Update { stage: Stage::Cleanup, ..update.clone() };
        let outcome = self.world.store.change(&mut |records: &mut Records| {
            if let Some(artifact) = &update.artifact {
                records.software.get_or_insert_default().change(artifact, change);
            }
            records.update = Some(next.clone());
        });
        if outcome.is_ok() {
            self.mark(&next);
        }
        self.done("recording the installed software", outcome)
    }

    fn forget(&mut self, update: &Update, owed: Option<Owed>) -> Outcome {
        self.world.log.info(match update.health {
            Health::Good => "the update is complete",
            Health::RolledBack => "the update failed; the previous software is in place",
            Health::Failed | Health::RollbackFailed => {
                "the update failed and could not be undone completely"
            }
        });
        match (update.deployment(), owed) {
            (Some(Deployment { id, .. }), Some(owed)) => {
                self.world.log.warning(format_args!(
                    "the server has not heard all about deployment {id}, and is told when it is \
                     there again"
                ));
                self.owe(id, owed);
            }
            (Some(Deployment { id, .. }), None) => self.owed.settle(id),
            (None, _) => {}
        }
        self.world.installer.discard();
        let cleared = self.clear_journal(update);
        self.world.logs.close(self.world.log);
        self.world.mark.leave();
        self.is_in_deployment = false;
        self.schedule.update_ended(self.world.clock.now());
        Outcome::Event(if cleared { Event::Done } else { Event::Failed })
    }

    pub(super) fn clear_journal(&mut self, update: &Update) -> bool {
        let owed = update.deployment().map(|_| &self.owed);
        let outcome = self.world.store.change(&mut |records: &mut Records| {
            records.update = None;
            if let Some(owed) = owed {
                records.owed.clone_from(owed);
            }
            records.last_update = Some(update.into());
            records.controls.end();
        });
        if let Err(error) = &outcome {
            self.world.log.error(chain(error));
        }
        outcome.is_ok()
    }

    fn done<E: std::error::Error>(&self, what: impl Display, outcome: Result<(), E>) -> Outcome {
        self.answered(what, outcome.map(|()| Event::Done))
    }

    fn answered<E: std::error::Error>(
        &self,
        what: impl Display,
        outcome: Result<Event, E>,
    ) -> Outcome {
        match outcome {
            Ok(event) => Outcome::Event(event),
            Err(error) => self.failed(what, &error),
        }
    }

    /// A failure, unless it only failed because the process is to end.
    pub(super) fn failed(&self, what: impl Display, error: &dyn std::error::Error) -> Outcome {
        if self.world.clock.check().is_err() {
            return Outcome::Stop;
        }
        self.world.log.error(format_args!("{what} failed: {}", chain(error)));
        Outcome::Event(Event::Failed)
    }
}

//! Update control maps during a deployment: asked, renewed and waited for.

use serde_json::Value;

use super::{Runner, perform::Outcome};
use crate::{
    log::chain,
    machine::{
        ControlMap, ControlPoint, DeploymentId, Event, Stage, Status, Task, Update, Verdict,
    },
    records::Records,
    server::ServerError,
};

impl Runner<'_> {
    /// Notes the map that came with a deployment, and forgets those that are out of date.
    pub(super) fn begin_control(&mut self, id: &DeploymentId) -> Result<(), ServerError> {
        let map = self.world.server.control_map(id)?.map(|json| self.understood(id, json));
        if let Some(map) = &map {
            self.world.log.info(format_args!("the deployment is under {map}"));
        }
        let now = self.world.clock.moment();
        let times = self.control_times;
        self.change_controls(|controls| controls.begin(map.clone(), &now, &times));
        Ok(())
    }

    /// After a restart: a device that was to wait before its reboot, and was restarted by somebody
    /// else, has rebooted.
    pub(super) fn after_restart(&self, update: Update, records: &Records) -> Update {
        let now = self.world.clock.moment();
        if update.stage == Stage::PauseReboot && records.controls.was_restarted(&now) {
            Update { stage: Stage::Reboot, ..update }
        } else {
            update
        }
    }

    /// What the maps say now.
    pub(super) fn ask_control(&mut self, update: &Update, point: ControlPoint) -> Outcome {
        let now = self.world.clock.moment();
        let due = match self.world.store.read() {
            Ok(records) => records.controls.refresh_due(&now, &self.control_times),
            // Maps that cannot be read hold nobody.
            Err(error) => return self.failed("the journal", &error),
        };
        if due.is_some_and(|due| due.is_zero()) && self.renew(update, point) == Renewal::Aborted {
            return Outcome::Event(Event::Aborted);
        }
        match self.verdict(point) {
            Verdict::Continue => Outcome::Event(Event::Done),
            Verdict::Fail => self.refused(point),
            Verdict::Pause => {
                self.world.log.info(format_args!("the update waits at {}", point.as_str()));
                self.change_controls(|controls| controls.hold(&now));
                Outcome::Event(Event::Held)
            }
        }
    }

    /// Waits until the maps say something else, which they do in the end, since they expire. The
    /// server is asked, or told once more, at intervals, so that an abort is heard.
    pub(super) fn hold(&mut self, update: &Update, point: ControlPoint) -> Outcome {
        let mut last_heard = self.world.clock.now();
        loop {
            let heard = self.world.clock.now().saturating_sub(last_heard);
            let until_refresh = self.control_times.refresh.saturating_sub(heard);
            let now = self.world.clock.moment();
            let expiry = match self.world.store.read() {
                Ok(records) => records.controls.next_expiry(&now, &self.control_times),
                Err(error) => return self.failed("the journal", &error),
            };
            let pause = expiry.map_or(until_refresh, |expiry| expiry.min(until_refresh));
            let is_woken = match self.world.clock.next_task(pause) {
                Ok(task) => task == Some(Task::Poll),
                Err(_stopped) => return Outcome::Stop,
            };
            if is_woken || pause >= until_refresh {
                last_heard = self.world.clock.now();
                if self.renew(update, point) == Renewal::Aborted {
                    return Outcome::Event(Event::Aborted);
                }
            }
            match self.verdict(point) {
                Verdict::Pause => {}
                Verdict::Continue => {
                    self.world.log.info(format_args!("the update goes on at {}", point.as_str()));
                    return Outcome::Event(Event::Done);
                }
                Verdict::Fail => return self.refused(point),
            }
        }
    }

    fn refused(&self, point: ControlPoint) -> Outcome {
        self.world.log.error(format_args!(
            "an update control map, or one that has expired, ends the update at {}",
            point.as_str()
        ));
        Outcome::Event(Event::Failed)
    }

    /// Asks for the server's map, or, if it has none, reports the pause once more. A server that is
    /// out of reach is no reason to do anything: its map will expire.
    fn renew(&mut self, update: &Update, point: ControlPoint) -> Renewal {
        let Some(id) = update.deployment().map(|deployment| deployment.id.clone()) else {
            return Renewal::Heard;
        };
        let now = self.world.clock.moment();
        let is_servers =
            self.world.store.read().is_ok_and(|records| {
                records.controls.refresh_due(&now, &self.control_times).is_some()
            });
        let answer = if is_servers {
            self.world.server.control_map(&id)
        } else {
            self.world.server.report(&id, pause_status(point)).map(|()| None)
        };
        match answer {
            Ok(Some(json)) => {
                let map = self.understood(&id, json);
                self.change_controls(|controls| controls.refresh(map.clone(), &now));
                Renewal::Heard
            }
            Ok(None) => Renewal::Heard,
            Err(ServerError::Aborted) => {
                self.world.log.warning("the server has ended the deployment while it waited");
                Renewal::Aborted
            }
            Err(error) => {
                self.world.log.warning(format_args!(
                    "the update control map cannot be renewed: {}",
                    chain(&error)
                ));
                Renewal::Heard
            }
        }
    }

    /// The server's map. One that is not understood might have held the update, so it fails it.
    fn understood(&self, id: &DeploymentId, json: Value) -> ControlMap {
        ControlMap::try_from(json).unwrap_or_else(|error| {
            self.world.log.error(format_args!("the server's map is refused: {error}"));
            ControlMap::refusal(id.as_str())
        })
    }

    /// Reads the maps, and writes them back only if what they say has changed them.
    fn verdict(&mut self, point: ControlPoint) -> Verdict {
        let now = self.world.clock.moment();
        let times = self.control_times;
        let mut controls = match self.world.store.read() {
            Ok(records) => records.controls,
            Err(error) => {
                self.world.log.error(chain(&error));
                return Verdict::Fail;
            }
        };
        let before = controls.clone();
        let verdict = controls.decide(point, &now, &times);
        if controls != before {
            self.change_controls(|controls| {
                controls.decide(point, &now, &times);
            });
        }
        verdict
    }

    fn change_controls(&mut self, change: impl Fn(&mut crate::control::Controls)) {
        let is_needed = self.world.store.read().is_ok_and(|records| {
            let mut after = records.controls.clone();
            change(&mut after);
            after != records.controls
        });
        if !is_needed {
            return;
        }
        let outcome =
            self.world.store.change(&mut |records: &mut Records| change(&mut records.controls));
        if let Err(error) = outcome {
            self.world.log.error(chain(&error));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Renewal {
    /// The deployment is over.
    Aborted,
    Heard,
}

fn pause_status(point: ControlPoint) -> Status {
    match point {
        ControlPoint::Install => Status::PauseBeforeInstalling,
        ControlPoint::Reboot => Status::PauseBeforeRebooting,
        ControlPoint::Commit => Status::PauseBeforeCommitting,
    }
}

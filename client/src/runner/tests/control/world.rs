//! A device in memory whose power is cut before and after every write of the journal and every
//! outside action, and a server that says at each time what its control map is.

use std::{
    cell::{Cell, RefCell},
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    time::Duration,
};

use rota_rest::device::{Attribute, LogMessage};
use serde_json::Value;
use tempfile::TempDir;

use super::super::super::*;
use crate::{
    clock::Moment,
    log::Level,
    machine::{
        ArtifactInfo, Call, Deployment, DeploymentId, RebootNeed, ScriptPoint, ScriptState, Status,
        Task,
    },
    modules::InstallError,
    process::{Mark, ProcessError},
    records::Software,
    scripts::ScriptError,
    server::ServerError,
    wake::Stopped,
};

struct PowerCut;

/// What outlives a power cut, and the fuse that causes it.
#[derive(Default)]
pub(super) struct Outside {
    pub(super) records: RefCell<Records>,
    calls: RefCell<Vec<String>>,
    pub(super) statuses: RefCell<Vec<Status>>,
    logs_uploaded: Cell<u32>,
    inventories_sent: Cell<u32>,
    has_tree: Cell<bool>,
    /// Operations until the power is cut; `None` for never.
    pub(super) fuse: Cell<Option<u32>>,
    pub(super) operations: Cell<u32>,
    pub(super) fails: Cell<Option<&'static str>>,
    abort_at: Cell<Option<Status>>,
    /// Reports that the server does not take before it recovers.
    pub(super) outage: Cell<u32>,
    pub(super) reboot: Cell<RebootNeed>,
    reboots: Cell<u32>,
    pub(super) now: Cell<Duration>,
    is_over: Cell<bool>,
    /// What the server says as its control map, from which time on; `None`: the deployment is over.
    pub(super) control_maps: RefCell<Vec<(Duration, Option<Value>)>>,
    /// The server cannot be asked for it once the update is held.
    pub(super) is_cut_off: Cell<bool>,
    /// Times at which the server was asked for it or told of the pause.
    pub(super) renewals: RefCell<Vec<Duration>>,
    /// How often the device was started, and when last.
    boots: Cell<u32>,
    booted: Cell<Duration>,
}

impl Outside {
    fn operate(&self) {
        self.operations.set(self.operations.get() + 1);
        match self.fuse.get() {
            Some(0) => {
                self.fuse.set(None);
                resume_unwind(Box::new(PowerCut));
            }
            Some(left) => self.fuse.set(Some(left - 1)),
            None => {}
        }
    }

    fn call(&self, name: &str) -> bool {
        self.operate();
        self.calls.borrow_mut().push(name.to_owned());
        self.operate();
        self.fails.get() != Some(name)
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.calls.borrow().iter().filter(|call| *call == name).count()
    }

    fn is_paused(&self) -> bool {
        matches!(
            self.final_status(),
            Some(
                Status::PauseBeforeInstalling
                    | Status::PauseBeforeRebooting
                    | Status::PauseBeforeCommitting
            )
        )
    }

    pub(super) fn final_status(&self) -> Option<Status> {
        self.statuses.borrow().last().copied()
    }
}

/// Plays every part; clones share one outside world.
#[derive(Clone)]
pub(super) struct Fake(pub(super) Rc<Outside>);

impl Store for Fake {
    fn read(&self) -> Result<Records, JournalError> {
        Ok(self.0.records.borrow().clone())
    }

    fn change(&mut self, change: &mut dyn FnMut(&mut Records)) -> Result<(), JournalError> {
        self.0.operate();
        change(&mut self.0.records.borrow_mut());
        self.0.operate();
        Ok(())
    }

    fn claim_update(&mut self) -> Result<bool, JournalError> {
        Ok(true)
    }

    fn release_update(&mut self) {}
}

fn failed_call() -> InstallError {
    let program = "module".to_owned();
    InstallError::Call { call: "x", source: ProcessError::Failed { program, code: 1 } }
}

impl Installer for Fake {
    fn open(&mut self, _: Source, _: &Software) -> Result<ArtifactInfo, InstallError> {
        if !self.0.call("open") {
            return Err(InstallError::NothingOpen);
        }
        Ok(ArtifactInfo {
            name: "new".to_owned(),
            payload_type: Some("test".to_owned()),
            ..ArtifactInfo::default()
        })
    }

    fn store(&mut self) -> Result<(), InstallError> {
        self.0.has_tree.set(true);
        if self.0.call("store") { Ok(()) } else { Err(failed_call()) }
    }

    fn call(&mut self, _: &str, call: Call) -> Result<(), InstallError> {
        if self.0.call(call.as_str()) { Ok(()) } else { Err(failed_call()) }
    }

    fn needs_reboot(&mut self, _: &str) -> Result<RebootNeed, InstallError> {
        self.0.operate();
        Ok(self.0.reboot.get())
    }

    fn supports_rollback(&mut self, _: &str) -> Result<bool, InstallError> {
        self.0.operate();
        Ok(true)
    }

    fn clean_up(&mut self, _: Option<&str>) -> Result<(), InstallError> {
        if self.0.has_tree.get() {
            self.0.call("Cleanup");
            self.0.has_tree.set(false);
        }
        Ok(())
    }

    fn discard(&mut self) {
        self.0.has_tree.set(false);
    }
}

impl Server for Fake {
    fn poll(&mut self, _: &Software) -> Result<Option<Deployment>, ServerError> {
        self.0.operate();
        if matches!(self.0.final_status(), Some(Status::Success | Status::Failure)) {
            self.0.is_over.set(true);
            return Ok(None);
        }
        let id = DeploymentId::try_from("d1".to_owned()).unwrap();
        Ok(Some(Deployment { id, uri: "https://rota.example".to_owned() }))
    }

    fn report(&mut self, _: &DeploymentId, status: Status) -> Result<(), ServerError> {
        self.0.operate();
        if self.0.abort_at.get() == Some(status) {
            self.0.abort_at.set(None);
            return Err(ServerError::Aborted);
        }
        if self.0.outage.get() > 0 {
            self.0.outage.set(self.0.outage.get() - 1);
            return Err(ServerError::Busy { status: 503, retry_after: None });
        }
        self.0.statuses.borrow_mut().push(status);
        self.0.operate();
        Ok(())
    }

    fn upload_log(&mut self, _: &DeploymentId, log: Vec<LogMessage>) -> Result<(), ServerError> {
        assert!(!log.is_empty());
        self.0.logs_uploaded.set(self.0.logs_uploaded.get() + 1);
        Ok(())
    }

    fn send_inventory(&mut self, _: Vec<Attribute>) -> Result<(), ServerError> {
        self.0.inventories_sent.set(self.0.inventories_sent.get() + 1);
        Ok(())
    }

    fn download(&mut self, _: &Deployment, _: &Software) -> Result<Source, ServerError> {
        Ok(Box::new(io::empty()))
    }

    fn control_map(&mut self, _: &DeploymentId) -> Result<Option<Value>, ServerError> {
        self.0.operate();
        let now = self.0.now.get();
        let maps = self.0.control_maps.borrow();
        let Some((_, map)) = maps.iter().rev().find(|(from, _)| *from <= now) else {
            return Ok(None);
        };
        self.0.renewals.borrow_mut().push(now);
        if self.0.is_cut_off.get() && self.0.is_paused() {
            return Err(ServerError::Busy { status: 503, retry_after: None });
        }
        map.clone().map(Some).ok_or(ServerError::Aborted)
    }

    fn drop_token(&mut self) {}
}

impl Scripts for Fake {
    fn run(&mut self, _: ScriptState, _: ScriptPoint) -> Result<(), ScriptError> {
        self.0.operate();
        Ok(())
    }

    fn check_version(&mut self) -> Result<(), ScriptError> {
        Ok(())
    }
}

impl Inventory for Fake {
    fn collect(&mut self) -> Result<Vec<Attribute>, InventoryError> {
        Ok(Vec::new())
    }
}

impl Power for Fake {
    fn reboot(&mut self) -> Result<(), ProcessError> {
        self.0.reboots.set(self.0.reboots.get() + 1);
        resume_unwind(Box::new(PowerCut));
    }
}

impl Clock for Fake {
    fn now(&self) -> Duration {
        self.0.now.get()
    }

    fn sleep(&self, duration: Duration) -> Result<(), Stopped> {
        self.0.now.set(self.0.now.get() + duration);
        self.check()
    }

    fn next_task(&self, duration: Duration) -> Result<Option<Task>, Stopped> {
        self.sleep(duration).map(|()| None)
    }

    fn moment(&self) -> Moment {
        let uptime = self.0.now.get().saturating_sub(self.0.booted.get());
        Moment { boot: self.0.boots.get().to_string(), uptime }
    }

    /// Stops once the server has nothing more to do for this device.
    fn check(&self) -> Result<(), Stopped> {
        if self.0.is_over.get() { Err(Stopped) } else { Ok(()) }
    }
}

pub(super) struct Device {
    pub(super) outside: Rc<Outside>,
    folder: TempDir,
}

impl Device {
    pub(super) fn new() -> Self {
        let outside = Rc::new(Outside::default());
        Self { outside, folder: tempfile::tempdir().unwrap() }
    }

    /// Runs the daemon, again after each power cut, until its deployment is over.
    pub(super) fn run(&self) {
        for _ in 0..50 {
            let daemon = || {
                let fake = || Fake(self.outside.clone());
                let (mut store, mut server, mut installer) = (fake(), fake(), fake());
                let (mut scripts, mut inventory, mut power) = (fake(), fake(), fake());
                let world = World {
                    store: &mut store,
                    server: &mut server,
                    installer: &mut installer,
                    scripts: &mut scripts,
                    inventory: &mut inventory,
                    power: &mut power,
                    clock: &fake(),
                    logs: &DeploymentLogs::new(self.folder.path()),
                    mark: &Mark::new(self.folder.path()),
                    log: &Log::new(Level::Error, Box::new(io::sink())),
                };
                let ended = Runner::new(&Settings::default(), world).run_daemon();
                assert!(matches!(ended, Ok(Ended::Stopped)), "{ended:?}");
            };
            match catch_unwind(AssertUnwindSafe(daemon)) {
                Ok(()) => return,
                Err(panic) if panic.is::<PowerCut>() => {
                    self.outside.boots.set(self.outside.boots.get() + 1);
                    self.outside.booted.set(self.outside.now.get());
                }
                Err(panic) => resume_unwind(panic),
            }
        }
        panic!("no end: {:?}", self.outside.calls.borrow());
    }

    pub(super) fn software(&self) -> String {
        self.outside.records.borrow().software().artifact_name
    }

    pub(super) fn assert_ended_well(&self, circumstances: &str) {
        let outside = &self.outside;
        let calls = outside.calls.borrow().join(" ");
        let end = (self.software(), outside.final_status());
        let is_new = end == ("new".to_owned(), Some(Status::Success));
        let is_old = end == ("unknown".to_owned(), Some(Status::Failure));
        assert!(is_new || is_old, "{circumstances}: {end:?} after {calls}");
        assert!(outside.count("ArtifactInstall") <= 1, "{circumstances}: {calls}");
        assert!(outside.count("ArtifactCommit") <= 1, "{circumstances}: {calls}");
        assert_eq!(outside.records.borrow().update, None, "{circumstances}");
        assert!(!outside.has_tree.get(), "{circumstances}");
    }
}

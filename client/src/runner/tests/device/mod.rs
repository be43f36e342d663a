//! A device in memory, which can lose power before and after every write of the journal and every
//! outside action, and a server that can be away, deaf or against it, and has control maps.

mod server;

use std::{
    cell::{Cell, RefCell},
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    time::Duration,
};

use rota_rest::device::Attribute;
use serde_json::Value;
use tempfile::TempDir;

use super::super::*;
use crate::{
    clock::Moment,
    journal::Damage,
    log::Level,
    machine::{ArtifactInfo, Call, RebootNeed, ScriptPoint, ScriptState, Status, Task},
    modules::InstallError,
    process::{Mark, ProcessError},
    records::Software,
    scripts::ScriptError,
    wake::Stopped,
};

struct PowerCut;

/// The test is over, whatever the device does.
const LIFE: Duration = Duration::from_hours(7 * 24);

/// The deployment that the server offers, unless a test says otherwise.
const ONLY: &str = "d1";

/// What outlives a power cut, and the fuse that causes it.
#[derive(Default)]
pub(super) struct Outside {
    pub(super) records: RefCell<Records>,
    /// How often the journal can be written, if that has an end.
    pub(super) writes: Cell<Option<u32>>,
    calls: RefCell<Vec<String>>,
    /// What the server has taken, of which deployment.
    pub(super) reports: RefCell<Vec<(String, Status)>>,
    pub(super) logs: RefCell<Vec<String>>,
    /// When the server got the inventory.
    pub(super) inventories_sent: RefCell<Vec<Duration>>,
    /// Until then the inventory cannot be collected.
    pub(super) no_inventory_until: Cell<Duration>,
    /// Until then the journal is read once, at the start, and then no more.
    pub(super) unreadable_until: Cell<Duration>,
    has_read: Cell<bool>,
    has_tree: Cell<bool>,
    /// Operations until the power is cut; `None` for never.
    pub(super) fuse: Cell<Option<u32>>,
    pub(super) operations: Cell<u32>,
    pub(super) fails: Cell<Option<&'static str>>,
    pub(super) abort_at: Cell<Option<Status>>,
    /// Reports that the server does not take before it recovers.
    pub(super) outage: Cell<u32>,
    /// From the first report of an end on, the server cannot be reached for so long.
    pub(super) silence: Cell<Duration>,
    silent_until: Cell<Option<Duration>>,
    /// While it is silent, so many lives end after so many operations each.
    pub(super) short_lives: Cell<(u32, u32)>,
    /// Operations of this life while it was silent.
    lived: Cell<u32>,
    pub(super) unanswered_polls: Cell<u32>,
    /// The deployments that the server offers, one after the other.
    pub(super) offers: RefCell<Vec<&'static str>>,
    /// It does not take the end of this one before another has ended, but goes on to the next.
    pub(super) deaf_to: Cell<Option<&'static str>>,
    has_been_deaf: Cell<bool>,
    /// What it answers to reports about deployments that it does not offer.
    pub(super) answer_to_others: Cell<Option<u16>>,
    pub(super) refusals: Cell<u32>,
    pub(super) reboot: Cell<RebootNeed>,
    pub(super) reboots: Cell<u32>,
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
        if self.is_silent() {
            self.live();
        }
        match self.fuse.get() {
            Some(0) => {
                self.fuse.set(None);
                resume_unwind(Box::new(PowerCut));
            }
            Some(left) => self.fuse.set(Some(left - 1)),
            None => {}
        }
    }

    fn live(&self) {
        self.lived.set(self.lived.get() + 1);
        let (lives, operations) = self.short_lives.get();
        if lives > 0 && self.lived.get() > operations {
            self.short_lives.set((lives - 1, operations));
            resume_unwind(Box::new(PowerCut));
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

    pub(super) fn statuses(&self) -> Vec<Status> {
        self.reports.borrow().iter().map(|(_, status)| *status).collect()
    }

    pub(super) fn final_status(&self) -> Option<Status> {
        self.statuses().last().copied()
    }

    /// The ends that the server knows of, in the order in which it heard of them.
    pub(super) fn ends(&self) -> Vec<(String, Status)> {
        let reports = self.reports.borrow();
        reports.iter().filter(|(_, status)| is_end(*status)).cloned().collect()
    }

    fn has_ended(&self, id: &str) -> bool {
        self.ends().iter().any(|(ended, _)| ended == id)
    }

    fn is_silent(&self) -> bool {
        self.silent_until.get().is_some_and(|until| self.now.get() < until)
    }

    /// The server does not hear of this end.
    fn is_deaf_to(&self, id: &str) -> bool {
        let is_deaf = self.deaf_to.get() == Some(id) && self.ends().is_empty();
        self.has_been_deaf.set(self.has_been_deaf.get() || is_deaf);
        is_deaf
    }
}

fn is_end(status: Status) -> bool {
    matches!(status, Status::Success | Status::Failure)
}

/// Plays every part; clones share one outside world.
#[derive(Clone)]
pub(super) struct Fake(pub(super) Rc<Outside>);

impl Store for Fake {
    fn read(&self) -> Result<Records, JournalError> {
        if self.0.has_read.replace(true) && self.now() < self.0.unreadable_until.get() {
            let place = "memory".to_owned();
            return Err(JournalError::Read { place, source: io::ErrorKind::TimedOut.into() });
        }
        Ok(self.0.records.borrow().clone())
    }

    fn change(&mut self, change: &mut dyn FnMut(&mut Records)) -> Result<(), JournalError> {
        self.0.operate();
        match self.0.writes.get() {
            Some(0) => {
                let (place, source) = ("memory".to_owned(), io::ErrorKind::ReadOnlyFilesystem);
                return Err(JournalError::Write { place, source: source.into() });
            }
            Some(left) => self.0.writes.set(Some(left - 1)),
            None => {}
        }
        change(&mut self.0.records.borrow_mut());
        self.0.operate();
        Ok(())
    }

    fn claim_update(&mut self) -> Result<bool, JournalError> {
        Ok(true)
    }

    fn release_update(&mut self) {}

    fn take_damage(&mut self) -> Vec<Damage> {
        Vec::new()
    }
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
        if self.now() < self.0.no_inventory_until.get() {
            return Err(InventoryError::AllFailed);
        }
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
        if self.0.is_over.get() || self.now() >= LIFE { Err(Stopped) } else { Ok(()) }
    }
}

pub(super) struct Device {
    pub(super) outside: Rc<Outside>,
    folder: TempDir,
}

impl Device {
    pub(super) fn new() -> Self {
        let outside = Outside { offers: RefCell::new(vec![ONLY]), ..Outside::default() };
        Self { outside: Rc::new(outside), folder: tempfile::tempdir().unwrap() }
    }

    /// Runs the daemon, again after each reboot and power cut, until all deployments are over.
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
                    self.outside.lived.set(0);
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

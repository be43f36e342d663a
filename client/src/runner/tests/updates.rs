//! What a daemon does around an update: reports, logs, inventory, outages, an operator's update.

use std::{
    cell::{Cell, RefCell},
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    time::Duration,
};

use rota_rest::device::{Attribute, LogMessage};
use tempfile::TempDir;

use super::super::*;
use crate::{
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

struct Rebooted;

/// What outlives a reboot.
#[derive(Default)]
struct Outside {
    records: RefCell<Records>,
    calls: RefCell<Vec<String>>,
    statuses: RefCell<Vec<Status>>,
    logs_uploaded: Cell<u32>,
    inventories_sent: Cell<u32>,
    has_tree: Cell<bool>,
    fails: Cell<Option<&'static str>>,
    abort_at: Cell<Option<Status>>,
    /// Reports that the server does not take before it recovers.
    outage: Cell<u32>,
    reboot: Cell<RebootNeed>,
    reboots: Cell<u32>,
    now: Cell<Duration>,
    is_over: Cell<bool>,
}

impl Outside {
    fn call(&self, name: &str) -> bool {
        self.calls.borrow_mut().push(name.to_owned());
        self.fails.get() != Some(name)
    }

    fn count(&self, name: &str) -> usize {
        self.calls.borrow().iter().filter(|call| *call == name).count()
    }

    fn final_status(&self) -> Option<Status> {
        self.statuses.borrow().last().copied()
    }
}

/// Plays every part; clones share one outside world.
#[derive(Clone)]
struct Fake(Rc<Outside>);

impl Store for Fake {
    fn read(&self) -> Result<Records, JournalError> {
        Ok(self.0.records.borrow().clone())
    }

    fn change(&mut self, change: &mut dyn FnMut(&mut Records)) -> Result<(), JournalError> {
        change(&mut self.0.records.borrow_mut());
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
        Ok(self.0.reboot.get())
    }

    fn supports_rollback(&mut self, _: &str) -> Result<bool, InstallError> {
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
        if matches!(self.0.final_status(), Some(Status::Success | Status::Failure)) {
            self.0.is_over.set(true);
            return Ok(None);
        }
        let id = DeploymentId::try_from("d1".to_owned()).unwrap();
        Ok(Some(Deployment { id, uri: "https://rota.example".to_owned() }))
    }

    fn report(&mut self, _: &DeploymentId, status: Status) -> Result<(), ServerError> {
        if self.0.abort_at.get() == Some(status) {
            self.0.abort_at.set(None);
            return Err(ServerError::Aborted);
        }
        if self.0.outage.get() > 0 {
            self.0.outage.set(self.0.outage.get() - 1);
            return Err(ServerError::Busy { status: 503, retry_after: None });
        }
        self.0.statuses.borrow_mut().push(status);
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

    fn drop_token(&mut self) {}
}

impl Scripts for Fake {
    fn run(&mut self, _: ScriptState, _: ScriptPoint) -> Result<(), ScriptError> {
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
        resume_unwind(Box::new(Rebooted));
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

    /// Stops once the server has nothing more to do for this device.
    fn check(&self) -> Result<(), Stopped> {
        if self.0.is_over.get() { Err(Stopped) } else { Ok(()) }
    }
}

struct Device {
    outside: Rc<Outside>,
    folder: TempDir,
}

impl Device {
    fn new() -> Self {
        let outside = Rc::new(Outside::default());
        Self { outside, folder: tempfile::tempdir().unwrap() }
    }

    /// Runs the daemon, again after each reboot, until its deployment is over.
    fn run(&self) {
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
                Err(panic) if panic.is::<Rebooted>() => {}
                Err(panic) => resume_unwind(panic),
            }
        }
        panic!("no end: {:?}", self.outside.calls.borrow());
    }

    fn software(&self) -> String {
        self.outside.records.borrow().software().artifact_name
    }

    fn assert_ended_well(&self, circumstances: &str) {
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

#[test]
fn an_update_runs_through_and_the_inventory_follows() {
    let device = Device::new();
    device.run();
    device.assert_ended_well("all is well");
    assert_eq!(device.software(), "new");
    let expected = [Status::Downloading, Status::Installing, Status::Installing, Status::Success];
    assert_eq!(*device.outside.statuses.borrow(), expected);
    assert_eq!(device.outside.logs_uploaded.get(), 0);
    // At the start, after the first poll, and after the update: the last one counts.
    assert!(device.outside.inventories_sent.get() >= 2);
}

#[test]
fn a_failed_update_is_reported_with_its_log() {
    let device = Device::new();
    device.outside.fails.set(Some("ArtifactInstall"));
    device.run();
    device.assert_ended_well("a failing install");
    assert_eq!(device.software(), "unknown");
    assert_eq!(device.outside.count("ArtifactRollback"), 1);
    assert_eq!(device.outside.logs_uploaded.get(), 1);
}

#[test]
fn an_automatic_reboot_goes_on_where_it_was() {
    let device = Device::new();
    device.outside.reboot.set(RebootNeed::System);
    device.run();
    device.assert_ended_well("a reboot");
    assert_eq!((device.outside.reboots.get(), device.software().as_str()), (1, "new"));
}

#[test]
fn an_abort_while_downloading_installs_nothing() {
    let device = Device::new();
    device.outside.abort_at.set(Some(Status::Downloading));
    device.run();
    device.assert_ended_well("an abort");
    assert_eq!(device.outside.count("ArtifactInstall"), 0);
}

#[test]
fn software_that_cannot_reach_the_server_for_long_is_rolled_back_and_a_short_outage_is_not() {
    // Two reports are lost without harm; the one before the commit is tried 14 times.
    for (outage, software) in [(10, "new"), (16, "unknown")] {
        let device = Device::new();
        device.outside.outage.set(outage);
        device.run();
        device.assert_ended_well(&format!("an outage of {outage} requests"));
        assert_eq!(device.software(), software);
    }
}

#[test]
fn an_update_by_hand_is_left_to_the_operator() {
    let device = Device::new();
    {
        let mut records = device.outside.records.borrow_mut();
        let waiting = r#"{"origin":"standalone","stage":"before-commit"}"#;
        records.update = Some(serde_json::from_str(waiting).unwrap());
    }
    device.outside.is_over.set(false);
    let polled_until = Duration::from_hours(4);
    // The machine never polls, so this clock ends the test.
    let stopper = Stopper { fake: Fake(device.outside.clone()), at: polled_until };
    let fake = || Fake(device.outside.clone());
    let (mut store, mut server, mut installer) = (fake(), fake(), fake());
    let (mut scripts, mut inventory, mut power) = (fake(), fake(), fake());
    let world = World {
        store: &mut store,
        server: &mut server,
        installer: &mut installer,
        scripts: &mut scripts,
        inventory: &mut inventory,
        power: &mut power,
        clock: &stopper,
        logs: &DeploymentLogs::new(device.folder.path()),
        mark: &Mark::new(device.folder.path()),
        log: &Log::new(Level::Error, Box::new(io::sink())),
    };
    let ended = Runner::new(&Settings::default(), world).run_daemon();
    assert!(matches!(ended, Ok(Ended::Stopped)));
    assert!(device.outside.statuses.borrow().is_empty());
    assert!(device.outside.records.borrow().update.is_some());
}

/// A clock at whose end the process is to end.
struct Stopper {
    fake: Fake,
    at: Duration,
}

impl Clock for Stopper {
    fn now(&self) -> Duration {
        self.fake.now()
    }

    fn sleep(&self, duration: Duration) -> Result<(), Stopped> {
        self.fake.sleep(duration)?;
        self.check()
    }

    fn next_task(&self, duration: Duration) -> Result<Option<Task>, Stopped> {
        self.sleep(duration).map(|()| None)
    }

    fn check(&self) -> Result<(), Stopped> {
        if self.now() >= self.at { Err(Stopped) } else { Ok(()) }
    }
}

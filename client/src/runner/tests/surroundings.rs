//! What stands between the runner and a device of scripts: it sees when a script took the power
//! with it, refuses to write, and plays the server and the clock.

use std::{
    cell::{Cell, RefCell},
    fs,
    io::{self, Cursor},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use rota_rest::device::{Attribute, LogMessage};

use super::super::Inventory;
use crate::{
    clock::Clock,
    inventory::InventoryError,
    journal::{Damage, JournalError, Store},
    machine::{
        ArtifactInfo, Call, Deployment, DeploymentId, RebootNeed, ScriptPoint, ScriptState, Status,
        Task,
    },
    modules::{InstallError, Installer, Source},
    power::Power,
    process::ProcessError,
    records::{Records, Software},
    scripts::{ScriptError, Scripts},
    server::{Server, ServerError},
    wake::{Stopped, Wake},
};

/// What outlives a power cut.
pub(super) struct Outside {
    folder: PathBuf,
    /// `None` if the server does not have it.
    pub(super) artifact: RefCell<Option<Vec<u8>>>,
    pub(super) statuses: RefCell<String>,
    pub(super) abort_at: Cell<Option<char>>,
    /// Reports that the server does not take from the second `installing` on.
    pub(super) outage: Cell<u32>,
    /// How often the journal can be written.
    pub(super) writes: Cell<u32>,
    now: Cell<Duration>,
    has_polled: Cell<bool>,
    /// Also after the first poll.
    has_inventory: Cell<bool>,
    is_over: Cell<bool>,
}

impl Outside {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            artifact: RefCell::default(),
            statuses: RefCell::default(),
            abort_at: Cell::default(),
            outage: Cell::default(),
            writes: Cell::new(u32::MAX),
            now: Cell::default(),
            has_polled: Cell::default(),
            has_inventory: Cell::default(),
            is_over: Cell::default(),
        }
    }

    /// The device has shown itself; from here on everything belongs to the row.
    fn begin(&self) {
        if self.has_inventory.get() && !self.folder.join("plan").exists() {
            fs::rename(self.folder.join("later"), self.folder.join("plan")).unwrap();
            fs::remove_file(self.folder.join("calls")).unwrap();
        }
    }

    fn has_ended(&self) -> bool {
        self.statuses.borrow().ends_with(['S', 'F'])
    }
}

/// The client's console: when a program says that the power goes, it does, while the program still
/// runs.
pub(super) struct Fuse(pub(super) Wake);

impl io::Write for Fuse {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if line.ends_with(b"POWER CUT\n") {
            self.0.stop();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct PowerCut;

/// Runs `client` to its end, or until the power goes: `None`.
pub(super) fn until_the_power_goes<T>(client: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(client)) {
        Ok(end) => Some(end),
        Err(panic) if panic.is::<PowerCut>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// A part of the client with its surroundings, or a part that is only played.
pub(super) struct Surroundings<T> {
    real: T,
    outside: Rc<Outside>,
    wake: Wake,
}

impl<T> Surroundings<T> {
    pub(super) fn new(real: T, outside: &Rc<Outside>, wake: &Wake) -> Self {
        Self { real, outside: outside.clone(), wake: wake.clone() }
    }

    /// After each program: was it the last one?
    fn look<U>(&self, outcome: U) -> U {
        if self.wake.check().is_err() {
            resume_unwind(Box::new(PowerCut));
        }
        outcome
    }
}

impl<S: Store> Store for Surroundings<S> {
    fn read(&self) -> Result<Records, JournalError> {
        self.real.read()
    }

    fn change(&mut self, change: &mut dyn FnMut(&mut Records)) -> Result<(), JournalError> {
        let mut after = self.real.read()?;
        change(&mut after);
        if after.update.is_none() && self.outside.has_ended() {
            self.outside.is_over.set(true);
        }
        let left = self.outside.writes.get();
        if left == 0 {
            let (place, source) = ("the device".to_owned(), io::ErrorKind::ReadOnlyFilesystem);
            return Err(JournalError::Write { place, source: source.into() });
        }
        self.outside.writes.set(left - 1);
        self.real.change(change)
    }

    /// Nobody else claims it here, but what other threads of the test start holds the lock as well
    /// until it runs.
    fn claim_update(&mut self) -> Result<bool, JournalError> {
        Ok(true)
    }

    fn release_update(&mut self) {}

    fn take_damage(&mut self) -> Vec<Damage> {
        self.real.take_damage()
    }
}

impl<I: Installer> Installer for Surroundings<I> {
    fn open(&mut self, source: Source, software: &Software) -> Result<ArtifactInfo, InstallError> {
        self.real.open(source, software)
    }

    fn store(&mut self) -> Result<(), InstallError> {
        let outcome = self.real.store();
        self.look(outcome)
    }

    fn call(&mut self, payload_type: &str, call: Call) -> Result<(), InstallError> {
        let outcome = self.real.call(payload_type, call);
        self.look(outcome)
    }

    fn needs_reboot(&mut self, payload_type: &str) -> Result<RebootNeed, InstallError> {
        let outcome = self.real.needs_reboot(payload_type);
        self.look(outcome)
    }

    fn supports_rollback(&mut self, payload_type: &str) -> Result<bool, InstallError> {
        let outcome = self.real.supports_rollback(payload_type);
        self.look(outcome)
    }

    fn clean_up(&mut self, payload_type: Option<&str>) -> Result<(), InstallError> {
        let outcome = self.real.clean_up(payload_type);
        self.look(outcome)
    }

    fn discard(&mut self) {
        self.real.discard();
    }
}

impl<S: Scripts> Scripts for Surroundings<S> {
    fn run(&mut self, state: ScriptState, point: ScriptPoint) -> Result<(), ScriptError> {
        if (state, point) == (ScriptState::Idle, ScriptPoint::Enter) {
            self.outside.begin();
        }
        let outcome = self.real.run(state, point);
        self.look(outcome)
    }

    fn check_version(&mut self) -> Result<(), ScriptError> {
        self.real.check_version()
    }
}

type Played = Surroundings<()>;

impl Server for Played {
    /// The first poll finds nothing, so that everything that a start causes is over.
    fn poll(&mut self, _: &Software) -> Result<Option<Deployment>, ServerError> {
        if !self.outside.has_polled.replace(true) {
            return Ok(None);
        }
        let id = DeploymentId::try_from("d1".to_owned()).unwrap();
        Ok(Some(Deployment { id, uri: "https://rota.example".to_owned() }))
    }

    fn report(&mut self, _: &DeploymentId, status: Status) -> Result<(), ServerError> {
        let letter = match status {
            Status::Downloading => 'D',
            Status::PauseBeforeInstalling => 'i',
            Status::PauseBeforeRebooting => 'r',
            Status::PauseBeforeCommitting => 'c',
            Status::Installing => 'I',
            Status::Rebooting => 'R',
            Status::Success => 'S',
            Status::Failure => 'F',
        };
        let Outside { statuses, abort_at, outage, .. } = &*self.outside;
        if abort_at.get() == Some(letter) {
            statuses.borrow_mut().push(letter);
            return Err(ServerError::Aborted);
        }
        let is_second = letter == 'I' && statuses.borrow().contains('I');
        if is_second && outage.get() > 0 {
            outage.set(outage.get() - 1);
            return Err(ServerError::Busy { status: 503, retry_after: None });
        }
        statuses.borrow_mut().push(letter);
        Ok(())
    }

    fn upload_log(&mut self, _: &DeploymentId, log: Vec<LogMessage>) -> Result<(), ServerError> {
        assert!(!log.is_empty());
        Ok(())
    }

    fn send_inventory(&mut self, _: Vec<Attribute>) -> Result<(), ServerError> {
        self.outside.has_inventory.set(self.outside.has_polled.get());
        Ok(())
    }

    fn download(&mut self, _: &Deployment, _: &Software) -> Result<Source, ServerError> {
        let artifact = self.outside.artifact.borrow().clone();
        let what = "the download";
        let message = "there is no such file".to_owned();
        let missing = ServerError::Refused { what, status: 404, message };
        Ok(Box::new(Cursor::new(artifact.ok_or(missing)?)))
    }

    fn drop_token(&mut self) {}
}

impl Inventory for Played {
    fn collect(&mut self) -> Result<Vec<Attribute>, InventoryError> {
        Ok(Vec::new())
    }
}

impl Power for Played {
    fn reboot(&mut self) -> Result<(), ProcessError> {
        resume_unwind(Box::new(PowerCut));
    }
}

impl Clock for Played {
    fn now(&self) -> Duration {
        self.outside.now.get()
    }

    fn sleep(&self, duration: Duration) -> Result<(), Stopped> {
        self.outside.now.set(self.now() + duration);
        self.check()
    }

    fn next_task(&self, duration: Duration) -> Result<Option<Task>, Stopped> {
        self.sleep(duration).map(|()| None)
    }

    /// Ends the daemon with its update.
    fn check(&self) -> Result<(), Stopped> {
        if self.outside.is_over.get() { Err(Stopped) } else { Ok(()) }
    }
}

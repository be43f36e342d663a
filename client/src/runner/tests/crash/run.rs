//! The points that a client passes, and what happens at them.

use std::{
    cell::{Cell, RefCell},
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    time::Duration,
};

use super::{
    outside::Outside,
    scenario::{Scenario, Wish},
    steps::{Step, Taken},
    world,
};
use crate::{
    journal::volatile::{Files, Reach},
    records::Records,
};

/// What is done at each point.
#[derive(Debug)]
pub(super) enum Observer {
    /// Nothing.
    Absent,
    /// Takes down each world.
    Watching(Vec<Outside>),
    /// Ends the process after so many points.
    Fuse(u32),
    /// Asks the process to end after so many points.
    Stopper(u32),
    /// After so many points the journal can no longer be written.
    Breaker(u32),
}

/// The processes of one client in one world.
pub(super) struct Run {
    pub(super) outside: RefCell<Outside>,
    pub(super) scenario: Scenario,
    pub(super) observer: RefCell<Observer>,
    /// What came to pass while the observer was watching.
    pub(super) taken: RefCell<Taken>,
    /// Since the start of the process.
    pub(super) now: Cell<Duration>,
    pub(super) is_stopped: Cell<bool>,
    /// The journal holds no update, and nothing that the server has to hear.
    pub(super) is_idle: Cell<bool>,
}

/// The process ended at a point.
struct Killed;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// There is nothing left to do.
    Over,
    /// The observer did it.
    Early,
}

/// An update may restart the client so often, cuts aside.
const PATIENCE: u32 = 40;

impl Run {
    pub(super) fn new(outside: Outside, scenario: Scenario, observer: Observer) -> Rc<Self> {
        Rc::new(Self {
            outside: RefCell::new(outside),
            scenario,
            observer: RefCell::new(observer),
            taken: RefCell::default(),
            now: Cell::default(),
            is_stopped: Cell::default(),
            is_idle: Cell::default(),
        })
    }

    /// Something is about to happen, or has just happened.
    pub(super) fn point(&self) {
        match &mut *self.observer.borrow_mut() {
            Observer::Absent => {}
            Observer::Watching(worlds) => {
                let outside = self.outside.borrow();
                if worlds.last() != Some(&*outside) {
                    worlds.push(outside.clone());
                }
            }
            Observer::Fuse(0) => resume_unwind(Box::new(Killed)),
            Observer::Stopper(0) => self.is_stopped.set(true),
            Observer::Breaker(0) => self.outside.borrow_mut().journal.is_read_only = true,
            Observer::Fuse(left) | Observer::Stopper(left) | Observer::Breaker(left) => *left -= 1,
        }
    }

    /// A step succeeded or failed.
    pub(super) fn took(&self, step: Step, has_succeeded: bool) {
        if matches!(*self.observer.borrow(), Observer::Watching(_)) {
            self.taken.borrow_mut().insert((step, has_succeeded));
        }
    }

    /// Changes the world.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Outside) -> T) -> T {
        change(&mut self.outside.borrow_mut())
    }

    /// The client has the system rebooted.
    pub(super) fn reboot(&self) -> ! {
        self.change(Outside::reboot);
        resume_unwind(Box::new(Killed));
    }

    /// Whether nobody wants anything more.
    pub(super) fn is_over(&self) -> bool {
        self.is_idle.get() && self.outside.borrow().is_told()
    }

    /// Starts the client, and again when it ended with a reboot of its own, until the update is
    /// over or the observer ended it.
    pub(super) fn live(self: &Rc<Self>) -> Result<Ended, String> {
        for _ in 0..PATIENCE {
            self.now.set(Duration::ZERO);
            self.is_stopped.set(false);
            self.is_idle.set(is_idle(&self.outside.borrow().records()));
            let client = || match self.scenario.wish {
                Wish::Deploy => world::run_daemon(self),
                Wish::InstallAndCommit | Wish::InstallAndRollBack => world::operate(self),
            };
            match catch_unwind(AssertUnwindSafe(client)) {
                Ok(Ok(())) if self.is_stopped.get() => return Ok(Ended::Early),
                Ok(Ok(())) => return Ok(Ended::Over),
                Ok(Err(problem)) => return Err(problem),
                Err(panic) if !panic.is::<Killed>() => resume_unwind(panic),
                Err(_) if matches!(*self.observer.borrow(), Observer::Fuse(0)) => {
                    return Ok(Ended::Early);
                }
                Err(_) => {}
            }
        }
        Err("no end".to_owned())
    }
}

pub(super) fn is_idle(records: &Records) -> bool {
    records.update.is_none() && records.owed.is_empty()
}

/// A folder of the world.
#[derive(Clone)]
pub(super) struct Folder {
    run: Rc<Run>,
    files: fn(&mut Outside) -> &mut Files,
}

impl Folder {
    pub(super) fn new(run: &Rc<Run>, files: fn(&mut Outside) -> &mut Files) -> Self {
        Self { run: run.clone(), files }
    }
}

impl Reach for Folder {
    fn with<T>(&self, use_files: impl FnOnce(&mut Files) -> T) -> T {
        self.run.change(|outside| use_files((self.files)(outside)))
    }

    fn operate(&self) -> io::Result<()> {
        self.run.point();
        Ok(())
    }
}

//! Holding up all writers of a file system, for as long as it must be and no longer.

use std::{
    ffi::c_int,
    fs::File,
    io,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::ioctl::{IntegerSetter, Opcode, ioctl, opcode};

use super::SnapshotError;
use crate::wake::{Stopped, Wake};

/// `_IOWR('X', 119, int)` and `_IOWR('X', 120, int)` of the kernel's `fs.h`.
const FIFREEZE: Opcode = opcode::read_write::<c_int>(b'X', 119);
const FITHAW: Opcode = opcode::read_write::<c_int>(b'X', 120);

/// Between looks of the watchdog.
const LOOK: Duration = Duration::from_millis(100);

/// Can hold up the writers of one file system.
pub trait Freezer: Send {
    /// What it freezes, for messages.
    fn path(&self) -> PathBuf;
    fn freeze(&mut self) -> io::Result<()>;
    fn thaw(&mut self) -> io::Result<()>;
}

/// Freezes a mounted file system.
#[derive(Debug)]
pub struct MountFreezer {
    mount_point: File,
    path: PathBuf,
}

impl MountFreezer {
    pub fn new(mount_point: File, path: PathBuf) -> Self {
        Self { mount_point, path }
    }
}

impl Freezer for MountFreezer {
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    fn freeze(&mut self) -> io::Result<()> {
        set::<FIFREEZE>(&self.mount_point)
    }

    fn thaw(&mut self) -> io::Result<()> {
        set::<FITHAW>(&self.mount_point)
    }
}

#[expect(unsafe_code, reason = "there is no safe call that freezes a file system")]
fn set<const OPCODE: Opcode>(mount_point: &File) -> io::Result<()> {
    // SAFETY: both operations take an integer, which the kernel ignores, and touch no memory of
    // this process.
    unsafe { ioctl(mount_point, IntegerSetter::<OPCODE>::new_usize(0)) }?;
    Ok(())
}

/// A file system that is frozen until this is dropped, a request to stop comes, or nothing has been
/// heard of for too long.
pub(super) struct Frozen {
    shared: Arc<Shared>,
    limit: Duration,
    watchdog: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    freezer: Box<dyn Freezer>,
    last_progress: Instant,
    end: Option<End>,
}

/// Why the file system is frozen no more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Over,
    StoodStill,
    Stopped,
}

impl Frozen {
    pub(super) fn new(
        freezer: Box<dyn Freezer>,
        limit: Duration,
        wake: &Wake,
    ) -> Result<Self, SnapshotError> {
        let path = freezer.path();
        let failed = |source| SnapshotError::Freeze { path, source };
        let state = State { freezer, last_progress: Instant::now(), end: None };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        match Self::start(&shared, limit, wake) {
            Ok(watchdog) => Ok(Self { shared, limit, watchdog: Some(watchdog) }),
            Err(error) => Err(failed(error)),
        }
    }

    /// The watchdog is there before anything is frozen, and does nothing until it is. Not even a
    /// writer that hangs in this process keeps it from its work.
    fn start(shared: &Arc<Shared>, limit: Duration, wake: &Wake) -> io::Result<JoinHandle<()>> {
        let mut state = shared.state();
        let (watching, wake) = (shared.clone(), wake.clone());
        let watchdog = thread::Builder::new().spawn(move || watching.watch(limit, &wake))?;
        match state.freezer.freeze() {
            Ok(()) => state.last_progress = Instant::now(),
            Err(error) => {
                state.end = Some(End::Over);
                return Err(error);
            }
        }
        Ok(watchdog)
    }

    /// Something was copied. Fails when the file system was thawed meanwhile.
    pub(super) fn go_on(&self) -> Result<(), SnapshotError> {
        let mut state = self.shared.state();
        state.last_progress = Instant::now();
        self.check(&state)
    }

    /// Thaws the file system; fails when that had happened before.
    pub(super) fn end(self) -> Result<(), SnapshotError> {
        self.shared.end(End::Over);
        self.check(&self.shared.state())
    }

    fn check(&self, state: &State) -> Result<(), SnapshotError> {
        match state.end {
            None | Some(End::Over) => Ok(()),
            Some(End::StoodStill) => Err(SnapshotError::StoodStill { limit: self.limit }),
            Some(End::Stopped) => Err(Stopped.into()),
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.shared.end(End::Over);
        if let Some(watchdog) = self.watchdog.take() {
            // It has nothing to say that the state does not.
            let _ = watchdog.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Thaws once.
    fn end(&self, end: End) {
        let mut state = self.state();
        if state.end.is_none() {
            state.end = Some(end);
            // Fails only when somebody else has thawed it.
            let _ = state.freezer.thaw();
        }
        self.changed.notify_all();
    }

    fn watch(&self, limit: Duration, wake: &Wake) {
        loop {
            let end = {
                let state = self.state();
                let waited = self.changed.wait_timeout(state, LOOK);
                let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
                if state.end.is_some() {
                    return;
                }
                if wake.check().is_err() {
                    Some(End::Stopped)
                } else if state.last_progress.elapsed() >= limit {
                    Some(End::StoodStill)
                } else {
                    None
                }
            };
            if let Some(end) = end {
                self.end(end);
                return;
            }
        }
    }
}

//! What can end a wait early: somebody wants the daemon to stop, to ask for an update, or to send
//! its inventory.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::machine::Task;

/// Shared between the thread that listens for signals and everything that waits.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    stop: bool,
    poll: bool,
    inventory: bool,
}

/// The process is to end; whatever is under way is left as a power cut would leave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped on request")]
pub struct Stopped;

impl Wake {
    /// Ends every wait now and from now on.
    pub fn stop(&self) {
        self.change(|pending| pending.stop = true);
    }

    /// Makes a task due.
    pub fn request(&self, task: Task) {
        self.change(|pending| match task {
            Task::Poll => pending.poll = true,
            Task::Inventory => pending.inventory = true,
        });
    }

    /// Fails once [`stop`](Self::stop) was called.
    pub fn check(&self) -> Result<(), Stopped> {
        if self.pending().stop { Err(Stopped) } else { Ok(()) }
    }

    /// Waits for the whole time, unless the process is to end. Requested tasks stay pending.
    pub fn sleep(&self, duration: Duration) -> Result<(), Stopped> {
        let is_stopped = self.wait(duration, |pending| pending.stop).stop;
        if is_stopped { Err(Stopped) } else { Ok(()) }
    }

    /// Waits until a task is requested, and takes the request; `None` when the time is over.
    pub fn next_task(&self, duration: Duration) -> Result<Option<Task>, Stopped> {
        let mut pending = self.wait(duration, |p| p.stop || p.poll || p.inventory);
        if pending.stop {
            return Err(Stopped);
        }
        Ok(if std::mem::take(&mut pending.poll) {
            Some(Task::Poll)
        } else if std::mem::take(&mut pending.inventory) {
            Some(Task::Inventory)
        } else {
            None
        })
    }

    fn change(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.pending());
        self.0.changed.notify_all();
    }

    fn wait(
        &self,
        duration: Duration,
        is_over: impl Fn(&Pending) -> bool,
    ) -> MutexGuard<'_, Pending> {
        let start = Instant::now();
        let mut pending = self.pending();
        loop {
            let left = duration.saturating_sub(start.elapsed());
            if is_over(&pending) || left.is_zero() {
                return pending;
            }
            let waited = self.0.changed.wait_timeout(pending, left);
            pending = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Three independent flags are sound whatever happened to their last owner.
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    #[test]
    fn requests_are_taken_once_and_survive_sleeps() {
        let wake = Wake::default();
        wake.request(Task::Inventory);
        wake.request(Task::Poll);
        assert_eq!(wake.sleep(Duration::from_millis(1)), Ok(()));
        assert_eq!(wake.next_task(LONG), Ok(Some(Task::Poll)));
        assert_eq!(wake.next_task(LONG), Ok(Some(Task::Inventory)));
        assert_eq!(wake.next_task(Duration::ZERO), Ok(None));
    }

    #[test]
    fn stop_ends_a_wait_in_another_thread() {
        let wake = Wake::default();
        let sleeper = std::thread::spawn({
            let wake = wake.clone();
            move || wake.sleep(LONG)
        });
        wake.stop();
        assert_eq!(sleeper.join().unwrap(), Err(Stopped));
        assert_eq!(wake.next_task(LONG), Err(Stopped));
    }
}

//! Time that passes, and waiting for it.

use std::time::{Duration, Instant};

use crate::{
    machine::Task,
    wake::{Stopped, Wake},
};

/// The runner's clock: the real one, or one that tests wind forward.
pub trait Clock {
    /// Time since the start of the process. It never jumps, whatever the time of day does.
    fn now(&self) -> Duration;
    /// Waits for the whole time, unless the process is to end.
    fn sleep(&self, duration: Duration) -> Result<(), Stopped>;
    /// Waits until somebody requests a task; `None` when the time is over.
    fn next_task(&self, duration: Duration) -> Result<Option<Task>, Stopped>;
    /// Fails when the process is to end.
    fn check(&self) -> Result<(), Stopped>;
}

/// The real clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
    wake: Wake,
}

impl SystemClock {
    pub fn new(wake: Wake) -> Self {
        Self { started: Instant::now(), wake }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Result<(), Stopped> {
        self.wake.sleep(duration)
    }

    fn next_task(&self, duration: Duration) -> Result<Option<Task>, Stopped> {
        self.wake.next_task(duration)
    }

    fn check(&self) -> Result<(), Stopped> {
        self.wake.check()
    }
}

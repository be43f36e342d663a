//! Time that passes, and waiting for it.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

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

/// No clock can be right that shows less, in days since 1970: 2026-01-01, before the first release
/// of this client.
const EARLIEST: Duration = Duration::from_hours(20_454 * 24);

/// Tells the time of day, which jumps when somebody sets it. It is for dates that others made, and
/// never for waiting.
#[derive(Clone)]
pub struct TimeOfDay(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Default for TimeOfDay {
    /// The system's.
    fn default() -> Self {
        Self::new(SystemTime::now)
    }
}

impl std::fmt::Debug for TimeOfDay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TimeOfDay")
    }
}

impl TimeOfDay {
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub fn now(&self) -> SystemTime {
        (self.0)()
    }

    /// The time, unless the clock was evidently never set.
    pub fn plausible_now(&self) -> Option<SystemTime> {
        let now = self.now();
        (now >= SystemTime::UNIX_EPOCH + EARLIEST).then_some(now)
    }
}

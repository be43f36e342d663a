//! Time that passes, and waiting for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::{
    log::Log,
    machine::Task,
    time::rfc3339,
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
    /// A moment that other processes, and this one after a restart, can compare.
    fn moment(&self) -> Moment {
        Moment::now()
    }
}

/// A moment in the life of the device: which start of it, and how long after. The time of day does
/// not come into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Differs from start to start.
    pub boot: String,
    pub uptime: Duration,
}

impl Moment {
    /// As the kernel counts. Where it does not tell, all moments are the same.
    pub fn now() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let uptime = read("/proc/uptime");
        let seconds = uptime.split_whitespace().next().and_then(|seconds| seconds.parse().ok());
        let uptime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Self {
            boot: read("/proc/sys/kernel/random/boot_id").trim().to_owned(),
            uptime: uptime.unwrap_or_default(),
        }
    }

    /// One before this start of the device, and any other.
    pub fn before_all() -> Self {
        Self { boot: "before".to_owned(), uptime: Duration::ZERO }
    }

    /// The time since an earlier moment; `None` if the device was started in between.
    pub fn since(&self, earlier: &Self) -> Option<Duration> {
        (self.boot == earlier.boot).then(|| self.uptime.saturating_sub(earlier.uptime))
    }
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

/// Between looks at a clock that is to be set.
const CLOCK_LOOK: Duration = Duration::from_secs(1);

/// Tells the time of day, which jumps when somebody sets it. It is for dates that others made, and
/// never for waiting.
#[derive(Clone)]
pub struct TimeOfDay(Arc<Source>);

struct Source {
    now: Box<dyn Fn() -> SystemTime + Send + Sync>,
    /// Somebody has waited for the clock to be set.
    was_awaited: AtomicBool,
}

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
        Self(Arc::new(Source { now: Box::new(now), was_awaited: AtomicBool::new(false) }))
    }

    pub fn now(&self) -> SystemTime {
        (self.0.now)()
    }

    /// The time, unless the clock was evidently never set.
    pub fn plausible_now(&self) -> Option<SystemTime> {
        let now = self.now();
        (now >= SystemTime::UNIX_EPOCH + EARLIEST).then_some(now)
    }

    /// Gives a clock that was never set some time to be set, once: a device without a clock of its
    /// own asks the network for the time while it boots, and until then takes every certificate
    /// for one of the future.
    ///
    /// The time is never guessed: a guess that is too early lets expired certificates pass.
    pub fn await_plausible(&self, limit: Duration, wake: &Wake, log: &Log) -> Result<(), Stopped> {
        if self.plausible_now().is_some() || self.0.was_awaited.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        log.warning(format_args!(
            "the clock shows {}, which cannot be; waiting up to {} s for it to be set, since \
             certificates cannot be judged before",
            rfc3339(self.now()),
            limit.as_secs()
        ));
        let started = Instant::now();
        while self.plausible_now().is_none() {
            let left = limit.saturating_sub(started.elapsed());
            if left.is_zero() {
                log.warning("the clock is still not set; going on without");
                return Ok(());
            }
            wake.sleep(CLOCK_LOOK.min(left))?;
        }
        log.info("the clock is set");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::*;
    use crate::log::Level;

    fn quiet() -> Log {
        Log::new(Level::Error, Box::new(io::sink()))
    }

    const LONG: Duration = Duration::from_hours(1);

    #[test]
    fn a_clock_is_awaited_until_it_is_set() {
        let looks = AtomicU32::new(0);
        let time = TimeOfDay::new(move || match looks.fetch_add(1, Ordering::Relaxed) {
            0..4 => SystemTime::UNIX_EPOCH,
            _ => SystemTime::UNIX_EPOCH + EARLIEST,
        });
        assert_eq!(time.await_plausible(LONG, &Wake::default(), &quiet()), Ok(()));
        assert!(time.plausible_now().is_some());
    }

    #[test]
    fn a_clock_that_is_never_set_is_awaited_once() {
        let time = TimeOfDay::new(|| SystemTime::UNIX_EPOCH - LONG);
        let (wake, log) = (Wake::default(), quiet());
        assert_eq!(time.await_plausible(Duration::from_millis(10), &wake, &log), Ok(()));
        assert_eq!(time.await_plausible(LONG, &wake, &log), Ok(()));
        assert_eq!(time.plausible_now(), None);
    }

    #[test]
    fn a_stop_ends_the_wait_for_the_clock() {
        let wake = Wake::default();
        wake.stop();
        let time = TimeOfDay::new(|| SystemTime::UNIX_EPOCH);
        assert_eq!(time.await_plausible(LONG, &wake, &quiet()), Err(Stopped));
    }
}

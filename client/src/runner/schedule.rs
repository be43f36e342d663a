//! When to ask for updates and when to send the inventory.

use std::time::Duration;

use crate::{
    config::Settings,
    machine::Task,
    retry::{Backoff, jitter, not_before},
};

/// A server that asks for no pause at all gets one nevertheless.
const SHORTEST: Duration = Duration::from_secs(1);

/// What is due when. Times are those of the runner's clock.
#[derive(Debug)]
pub(super) struct Schedule {
    poll: Plan,
    inventory: Plan,
    retry_interval: Duration,
    retry_count: u32,
    polled_before: bool,
}

#[derive(Debug)]
struct Plan {
    interval: Duration,
    next: Duration,
    /// While requests fail.
    backoff: Option<Backoff>,
}

impl Schedule {
    /// Both tasks are due at once.
    pub(super) fn new(settings: &Settings) -> Self {
        let plan = |interval| Plan { interval, next: Duration::ZERO, backoff: None };
        Self {
            poll: plan(settings.update_poll_interval),
            inventory: plan(settings.inventory_poll_interval),
            retry_interval: settings.retry_poll_interval,
            retry_count: settings.retry_poll_count,
            polled_before: false,
        }
    }

    /// The task that is due, or how long nothing is. Of two, the one that is due for longer: an
    /// inventory that takes longer than its interval must not keep the device from updates.
    pub(super) fn due(&self, now: Duration) -> Result<Task, Duration> {
        let (task, next) = if self.inventory.next <= self.poll.next {
            (Task::Inventory, self.inventory.next)
        } else {
            (Task::Poll, self.poll.next)
        };
        if next <= now { Ok(task) } else { Err(next.saturating_sub(now)) }
    }

    /// The task is being done: nothing is due until the interval is over or its outcome says so.
    pub(super) fn begun(&mut self, task: Task, now: Duration) {
        let plan = self.plan(task);
        plan.next = now + jitter(plan.interval);
    }

    /// A device that was just accepted shows itself at once.
    pub(super) fn succeeded(&mut self, task: Task, now: Duration) {
        self.plan(task).backoff = None;
        if task == Task::Poll && !self.polled_before {
            self.polled_before = true;
            self.inventory.next = now;
        }
    }

    /// The next try comes when the server says, or else when the pauses say; when those are used
    /// up, after the usual interval.
    pub(super) fn failed(&mut self, task: Task, now: Duration, retry_after: Option<Duration>) {
        let new = Backoff::polls(self.retry_interval, self.retry_count);
        let plan = self.plan(task);
        let pause = plan.backoff.get_or_insert(new).next();
        if pause.is_none() {
            plan.backoff = None;
        }
        let pause = match (retry_after, pause) {
            (Some(wait), _) => not_before(wait.max(SHORTEST)),
            (None, Some(pause)) => jitter(pause),
            (None, None) => jitter(plan.interval),
        };
        plan.next = now + pause;
    }

    /// After an update the server wants to know what has become of the device.
    pub(super) fn update_ended(&mut self, now: Duration) {
        self.inventory.next = now;
    }

    fn plan(&mut self, task: Task) -> &mut Plan {
        match task {
            Task::Poll => &mut self.poll,
            Task::Inventory => &mut self.inventory,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn is_about(wait: Result<Task, Duration>, seconds: u64) -> bool {
        let expected = Duration::from_secs(seconds);
        wait.is_err_and(|wait| wait >= expected.mul_f64(0.89) && wait <= expected.mul_f64(1.11))
    }

    /// A schedule whose inventory was just sent, so that only polls are due.
    fn polls(settings: &Settings) -> Schedule {
        let mut schedule = Schedule::new(settings);
        schedule.begun(Task::Inventory, HOUR);
        schedule
    }

    #[test]
    fn a_start_sends_inventory_and_polls() {
        let mut schedule = Schedule::new(&Settings::default());
        assert_eq!(schedule.due(HOUR), Ok(Task::Inventory));
        schedule.begun(Task::Inventory, HOUR);
        assert_eq!(schedule.due(HOUR), Ok(Task::Poll));
        schedule.begun(Task::Poll, HOUR);
        assert!(is_about(schedule.due(HOUR), 1800));
        // The first poll that succeeds, and only that, is followed by the inventory.
        schedule.succeeded(Task::Poll, HOUR);
        assert_eq!(schedule.due(HOUR), Ok(Task::Inventory));
        schedule.begun(Task::Inventory, HOUR);
        schedule.succeeded(Task::Poll, HOUR);
        assert!(is_about(schedule.due(HOUR), 1800));
    }

    #[test]
    fn failing_polls_pause_longer_and_longer_until_the_usual_interval() {
        let mut schedule = polls(&Settings::default());
        for seconds in [60, 60, 60, 120, 120, 120, 240, 240, 240, 300, 300, 300, 1800, 60] {
            schedule.begun(Task::Poll, HOUR);
            schedule.failed(Task::Poll, HOUR, None);
            assert!(is_about(schedule.due(HOUR), seconds), "{seconds}");
        }
    }

    #[test]
    fn the_server_decides_when_it_is_busy() {
        let mut schedule = polls(&Settings::default());
        schedule.begun(Task::Poll, HOUR);
        schedule.failed(Task::Poll, HOUR, Some(Duration::from_secs(7)));
        assert!(schedule.due(HOUR).is_err_and(|wait| wait >= Duration::from_secs(7)));
        assert_eq!(schedule.due(HOUR + Duration::from_secs(15)), Ok(Task::Poll));
    }

    #[test]
    fn whoever_is_asked_to_come_later_does_not_come_with_all_others() {
        let asked = Duration::from_secs(100);
        let waits: Vec<Duration> = (0..200)
            .map(|_| {
                let mut schedule = polls(&Settings::default());
                schedule.failed(Task::Poll, HOUR, Some(asked));
                schedule.due(HOUR).unwrap_err()
            })
            .collect();
        assert!(waits.iter().all(|wait| (asked..=asked * 2).contains(wait)), "{waits:?}");
        let early = waits.iter().filter(|wait| **wait < asked.mul_f64(1.01)).count();
        assert!(early < 60, "{early} of 200 come within a second");
    }

    #[test]
    fn an_inventory_that_takes_longer_than_its_interval_leaves_time_for_polls() {
        let interval = Duration::from_secs(5);
        let settings = Settings { inventory_poll_interval: interval, ..Settings::default() };
        let mut schedule = Schedule::new(&settings);
        let (mut now, mut polls) = (HOUR, 0);
        // Half an hour is 27 to 33 minutes here, so the third poll comes after 54 at the earliest.
        while now < HOUR + Duration::from_mins(45) {
            now += match schedule.due(now) {
                Ok(task) => {
                    schedule.begun(task, now);
                    polls += u32::from(task == Task::Poll);
                    interval * 2
                }
                Err(wait) => wait,
            };
        }
        assert_eq!(polls, 2, "one at the start, and one after half an hour");
    }

    #[test]
    fn a_server_that_wants_no_pause_is_not_asked_without_end() {
        let mut schedule = polls(&Settings::default());
        schedule.begun(Task::Poll, HOUR);
        schedule.failed(Task::Poll, HOUR, Some(Duration::ZERO));
        assert!(schedule.due(HOUR).is_err_and(|wait| wait >= SHORTEST));
    }
}

//! Tasks that are owned by somebody and told when to stop.
//!
//! Shutdown has two stages. The first signal (or [`Tasks::stop`]) cancels the token: servers
//! stop accepting and drain, loops return at their next turn. When the deadline has passed, or
//! at a second signal, whatever still runs is dropped; everything durable must survive that
//! anyway.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The tasks of a process, or of a part of it. Clones share the same set.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    panicked: Arc<AtomicBool>,
}

impl Tasks {
    /// An empty set that nobody has stopped.
    pub fn new() -> Self {
        Self::default()
    }

    /// The token that is cancelled when the tasks shall stop. Loops select on it.
    pub fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Whether stopping has begun.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Runs `future` as a task of this set. It should return soon after the token is
    /// cancelled. If it panics, the process is stopped: a background job that died silently
    /// would be worse than a restart.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let tasks = self.clone();
        self.tracker.spawn(async move {
            if AssertUnwindSafe(future).catch_unwind().await.is_err() {
                tracing::error!(task = name, "background task panicked; stopping the process");
                tasks.panicked.store(true, Ordering::Release);
                tasks.stop();
            } else {
                tracing::debug!(task = name, "background task ended");
            }
        });
    }

    /// Runs `turn` again and again with `pause` between the end of one turn and the start of
    /// the next, until stopped. A turn that is under way is finished first.
    pub fn spawn_every<F, Fut>(&self, name: &'static str, pause: Duration, mut turn: F)
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send,
    {
        let stop = self.token();
        self.spawn(name, async move {
            while !stop.is_cancelled() {
                turn().await;
                let _ = tokio::time::timeout(pause, stop.cancelled()).await;
            }
        });
    }

    /// Begins to stop: cancels the token.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Stops, and waits until all tasks have ended or `deadline` has passed.
    /// Returns whether all ended.
    pub async fn stop_within(&self, deadline: Duration) -> bool {
        self.stop();
        self.tracker.close();
        tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok()
    }

    /// Whether a task has panicked.
    pub fn any_panicked(&self) -> bool {
        self.panicked.load(Ordering::Acquire)
    }
}

/// SIGTERM and SIGINT, one after the other.
pub(crate) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Starts to listen; from now on neither signal ends the process by itself.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next of them and names it.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stopped_set_waits_for_its_tasks() {
        let tasks = Tasks::new();
        let (done, finished) = tokio::sync::oneshot::channel();
        let stop = tasks.token();
        tasks.spawn("waits", async move {
            stop.cancelled().await;
            let _ = done.send(());
        });
        assert!(tasks.stop_within(Duration::from_secs(5)).await);
        assert_eq!(finished.await, Ok(()));
        assert!(!tasks.any_panicked());
    }

    #[tokio::test]
    async fn a_task_that_does_not_listen_meets_the_deadline() {
        let tasks = Tasks::new();
        tasks.spawn("deaf", std::future::pending());
        assert!(!tasks.stop_within(Duration::from_millis(10)).await);
    }

    #[tokio::test]
    async fn a_panic_stops_the_others() {
        let tasks = Tasks::new();
        tasks.spawn("dies", async { panic!("on purpose") });
        tasks.token().cancelled().await;
        assert!(tasks.any_panicked());
    }

    #[tokio::test]
    async fn a_repeated_task_takes_turns_until_stopped() {
        let tasks = Tasks::new();
        let (turns, mut seen) = tokio::sync::mpsc::unbounded_channel();
        tasks.spawn_every("turns", Duration::from_millis(1), move || {
            let turns = turns.clone();
            async move {
                let _ = turns.send(());
            }
        });
        assert_eq!(seen.recv().await, Some(()));
        assert_eq!(seen.recv().await, Some(()));
        assert!(tasks.stop_within(Duration::from_secs(5)).await);
    }
}

//! The one thread that talks to tokens.
//!
//! A module is code of somebody else, and may hang with its hardware or its network. So it runs
//! apart: who asks waits for so long and no longer. Modules are not used by two threads at once
//! either, which not all of them bear.

use std::{
    sync::{
        Mutex, PoisonError,
        mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use super::{TokenError, modules::Modules};

/// Slow tokens take seconds for a signature.
const PATIENCE: Duration = Duration::from_secs(30);

/// Requests that wait for a token; nothing in the client makes so many at a time.
const QUEUE: usize = 8;

type Job = Box<dyn FnOnce(&mut Modules) + Send>;

/// Where requests go; the thread starts with the first.
pub(super) struct Worker(Mutex<Option<SyncSender<Job>>>);

/// That of this process.
static WORKER: Worker = Worker::new();

/// Has `work` done with the modules of this process.
pub(super) fn ask<T: Send + 'static>(
    work: impl FnOnce(&mut Modules) -> Result<T, TokenError> + Send + 'static,
) -> Result<T, TokenError> {
    WORKER.ask(PATIENCE, work)
}

impl Worker {
    const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn ask<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce(&mut Modules) -> Result<T, TokenError> + Send + 'static,
    ) -> Result<T, TokenError> {
        let (answer, answered) = sync_channel(1);
        let job = Box::new(move |modules: &mut Modules| {
            // Who asked may have given up.
            let _ = answer.send(work(modules));
        });
        self.submit(job)?;
        match answered.recv_timeout(patience) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => Err(TokenError::Silent),
            Err(RecvTimeoutError::Disconnected) => Err(TokenError::Crashed),
        }
    }

    fn submit(&self, job: Job) -> Result<(), TokenError> {
        let mut sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let job = match &*sender {
            None => job,
            Some(running) => match running.try_send(job) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(_)) => return Err(TokenError::Silent),
                // It panicked; a new one loads the modules anew.
                Err(TrySendError::Disconnected(job)) => job,
            },
        };
        let (jobs, queue) = sync_channel::<Job>(QUEUE);
        let work = move || {
            let mut modules = Modules::default();
            for job in queue {
                job(&mut modules);
            }
        };
        let started = thread::Builder::new().name("pkcs11".to_owned()).spawn(work);
        started.map_err(TokenError::NoThread)?;
        jobs.try_send(job).map_err(|_| TokenError::Crashed)?;
        *sender = Some(jobs);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn a_token_that_hangs_is_waited_for_so_long_and_no_longer() {
        let worker = Worker::new();
        let (release, held) = sync_channel::<()>(1);
        let hanging = worker.ask(Duration::from_millis(1), move |_| {
            let _ = held.recv();
            Ok(())
        });
        assert!(matches!(hanging, Err(TokenError::Silent)));
        for _ in 0..=QUEUE {
            let waiting = worker.ask(Duration::ZERO, |_| Ok(()));
            assert!(matches!(waiting, Err(TokenError::Silent)));
        }
        release.send(()).unwrap();
        // The queue drains, and the next request may find it full but once.
        while worker.ask(LONG, |_| Ok(())).is_err() {
            thread::yield_now();
        }
    }

    #[test]
    fn a_module_that_crashes_costs_one_request() {
        let worker = Worker::new();
        let crashed = worker.ask::<()>(LONG, |_| panic!("on purpose"));
        assert!(matches!(crashed, Err(TokenError::Crashed)));
        while worker.ask(LONG, |_| Ok(())).is_err() {
            thread::yield_now();
        }
    }
}

//! The runner: takes up jobs that are due and carries out their steps.
//!
//! It looks when somebody begins or retries a job (`notify`), when one of its own has ended,
//! and three times a second in between, for jobs whose pause is over or whose runner has died.

use std::time::{Duration, Instant};

use rota_runtime::continue_trace;
use rota_store::{Database, Listener, TenantTx};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::steps::StepError;
use crate::{
    Workflows,
    model::{Next, Outcome, Step, Workflow, next},
    store::{
        jobs::CHANNEL,
        work::{self, HEARTBEAT, Held},
    },
};

/// The part of a pause that chance takes away at the most, so that jobs that failed together
/// do not come again together.
const JITTER: f64 = 0.5;

/// The longest error text that is kept, in bytes.
const MAX_ERROR_BYTES: usize = 1000;

/// Runs jobs until `stop`; then lets each end the step that it is at, and gives it back.
pub(crate) async fn run(service: Workflows, stop: CancellationToken) {
    let mut listener = Listener::new(&service.db, [CHANNEL]);
    let mut running = JoinSet::new();
    while !stop.is_cancelled() {
        let free = service.config.jobs_at_once.get() - running.len();
        for job in take(&service.db, free).await {
            running.spawn(Run { service: service.clone(), job, stop: stop.clone() }.run());
        }
        metrics::gauge!("rota_workflows_jobs_running").set(count(running.len()));
        tokio::select! {
            () = stop.cancelled() => {}
            _ = listener.next() => {}
            Some(ended) = running.join_next() => note(ended),
        }
        while let Some(ended) = running.try_join_next() {
            note(ended);
        }
    }
    while let Some(ended) = running.join_next().await {
        note(ended);
    }
}

#[expect(clippy::cast_precision_loss, reason = "no process runs 2^52 jobs")]
fn count(jobs: usize) -> f64 {
    jobs as f64
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a job panicked; it is taken up again when its hold has ended");
    }
}

/// Takes hold of at most `free` jobs.
async fn take(db: &Database, free: usize) -> Vec<Held> {
    if free == 0 {
        return Vec::new();
    }
    match try_take(db, free).await {
        Ok(jobs) => jobs,
        Err(error) => {
            tracing::warn!(%error, "cannot look for jobs");
            Vec::new()
        }
    }
}

async fn try_take(db: &Database, free: usize) -> Result<Vec<Held>, sqlx::Error> {
    let mut jobs = Vec::new();
    for (tenant, due) in work::due(db, i64::try_from(free).unwrap_or(i64::MAX)).await? {
        let mut tx = db.tenant(tenant).await?;
        let held = work::claim(&mut tx, &due).await?;
        tx.commit().await?;
        jobs.extend(held);
    }
    Ok(jobs)
}

/// One job in the hands of this runner.
struct Run {
    service: Workflows,
    job: Held,
    stop: CancellationToken,
}

impl Run {
    async fn run(mut self) {
        let Ok(workflow) = self.job.workflow.parse::<Workflow>() else {
            // A newer release began it, and one of its runners will take it up.
            tracing::info!(job = %self.job.id, workflow = self.job.workflow, "not known here");
            let pause = Duration::from_secs(5);
            self.put_off(pause, "unknown to the runner that tried last").await;
            return;
        };
        while let Some(step) = workflow.steps().get(self.job.step) {
            if self.stop.is_cancelled() {
                let job = self.job.clone();
                self.write(async |mut tx| {
                    work::release(&mut tx, &job).await?;
                    tx.commit().await
                })
                .await;
                return;
            }
            if !self.attempt(workflow, *step).await {
                return;
            }
        }
    }

    /// Tries a step, and writes down what came of it. `true`: go on with the next.
    async fn attempt(&mut self, workflow: Workflow, step: Step) -> bool {
        let began = Instant::now();
        let Some(result) = self.perform(workflow, step).await else { return false };
        let outcome = result.as_ref().map_or_else(StepError::outcome, |()| Outcome::Done);
        if outcome == Outcome::Failed {
            self.job.failures += 1;
        }
        let following =
            next(workflow, self.job.step, self.job.attempts, self.job.failures, outcome);
        measure(step, outcome, began.elapsed());
        let error = result.err().map(|error| shorten(error.to_string())).unwrap_or_default();
        match following {
            Next::Step(at) => return self.advance(at).await,
            Next::Finish => self.finish(workflow).await,
            Next::Retry(pause) => {
                tracing::warn!(job = %self.job.id, step = step.word(), error, "step is tried again");
                self.put_off(pause.mul_f64(1.0 - rand::random_range(0.0..JITTER)), &error).await;
            }
            Next::GiveUp => self.give_up(workflow, &error).await,
        }
        false
    }

    /// Carries out a step while saying that this runner lives. `None`: the hold was lost, and
    /// somebody else carries on.
    async fn perform(&self, workflow: Workflow, step: Step) -> Option<Result<(), StepError>> {
        let job = &self.job;
        let span = tracing::info_span!("step", tenant = %job.tenant, request_id = job.request_id,
            job = %job.id, workflow = workflow.word(), step = step.word());
        let performing = self.service.steps.perform(step, job);
        let performing = continue_trace(job.traceparent.clone(), span, performing);
        let mut performing = std::pin::pin!(performing);
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        loop {
            tokio::select! {
                result = &mut performing => return Some(result),
                _ = heartbeat.tick() => {
                    let extended = self.write(async |mut tx| {
                        let extended = work::extend(&mut tx, job).await?;
                        tx.commit().await.map(|()| extended)
                    });
                    if extended.await == Some(false) {
                        tracing::warn!(job = %job.id, "the hold on a job was lost");
                        return None;
                    }
                }
            }
        }
    }

    async fn advance(&mut self, step: usize) -> bool {
        let job = &self.job;
        let advanced = self
            .write(async |mut tx| {
                let advanced = work::advance(&mut tx, job, step).await?;
                tx.commit().await.map(|()| advanced)
            })
            .await;
        (self.job.step, self.job.attempts, self.job.failures) = (step, 1, 0);
        advanced == Some(true)
    }

    async fn finish(&self, workflow: Workflow) {
        let finished = self.write(async |mut tx| {
            let finished = work::finish(&mut tx, &self.job).await?;
            tx.commit().await.map(|()| finished)
        });
        if finished.await == Some(true) {
            metrics::counter!("rota_workflows_jobs_done_total", "workflow" => workflow.word())
                .increment(1);
        }
    }

    async fn put_off(&self, pause: Duration, error: &str) {
        self.write(async |mut tx| {
            work::put_off(&mut tx, &self.job, pause, error).await?;
            tx.commit().await
        })
        .await;
    }

    async fn give_up(&self, workflow: Workflow, error: &str) {
        let given_up = self.write(async |mut tx| {
            let given_up = work::give_up(&mut tx, &self.job, error).await?;
            tx.commit().await.map(|()| given_up)
        });
        if given_up.await == Some(true) {
            tracing::error!(job = %self.job.id, workflow = workflow.word(), error,
                "a job was given up, and waits for a person");
            metrics::counter!("rota_workflows_jobs_failed_total", "workflow" => workflow.word())
                .increment(1);
        }
    }

    /// Writes down what came of a step. When that fails, the hold ends by itself, and the step
    /// is carried out once more.
    async fn write<T, F>(&self, work: impl FnOnce(TenantTx) -> F) -> Option<T>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        let written = async { work(self.service.db.tenant(self.job.tenant).await?).await };
        match written.await {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::warn!(%error, job = %self.job.id, "cannot write a job");
                None
            }
        }
    }
}

fn measure(step: Step, outcome: Outcome, took: Duration) {
    let outcome = match outcome {
        Outcome::Done => "done",
        Outcome::Unavailable => "unavailable",
        Outcome::Failed => "failed",
    };
    metrics::histogram!("rota_workflows_step_duration_seconds", "step" => step.word(),
        "outcome" => outcome)
    .record(took);
}

/// What Postgres keeps of an error: not without end, and without NUL.
fn shorten(mut error: String) -> String {
    error.truncate(error.floor_char_boundary(MAX_ERROR_BYTES));
    error.replace('\0', "\u{fffd}")
}

//! Finds jobs that are due and carries them out, a few at a time.
//!
//! Whoever takes a job holds it for a lease and moves the lease along with each step, so that
//! the job of a process that was killed is taken over where it stands.

use std::time::Duration;

use rota_types::{Coded, JobId, TenantId};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    Deployments,
    app::Result,
    metrics,
    store::{
        hot,
        jobs::{self, Job, Task},
    },
};

/// How long a job that was taken is left alone without a sign of progress.
pub(super) const LEASE: Duration = Duration::from_secs(15);

/// How often jobs are looked for when nobody rang.
const PAUSE: Duration = Duration::from_secs(1);

/// How many jobs this process carries out at a time.
const AT_A_TIME: usize = 4;

/// The longest rest of a job that keeps failing.
const LONGEST_REST: Duration = Duration::from_mins(5);

/// Carries out jobs until `stop`. A job that is cut off there is taken over later.
pub(crate) async fn work(service: Deployments, stop: CancellationToken) {
    let mut running = JoinSet::new();
    while !stop.is_cancelled() {
        if running.len() < AT_A_TIME {
            match hot::due_jobs(service.db()).await {
                Ok(due) => {
                    for (tenant, id) in due.into_iter().take(AT_A_TIME - running.len()) {
                        running.spawn(run(service.clone(), tenant, id));
                    }
                }
                Err(error) => tracing::warn!(%error, "jobs cannot be looked for"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = running.join_next() => {}
            () = service.rung() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Carries out one job, if it is still to be had.
async fn run(service: Deployments, tenant: TenantId, id: JobId) {
    let job = match take(&service, tenant, id).await {
        Ok(Some(job)) => job,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(job = %id, error = &error as &dyn std::error::Error, "job cannot be taken");
            return;
        }
    };
    let Err(error) = carry_out(&service, tenant, &job).await else { return };
    let rest = rest_after(job.failures);
    metrics::job_failed();
    tracing::warn!(
        job = %id, task = ?job.task, code = error.code().name(), ?rest,
        error = &error as &dyn std::error::Error, "job failed and comes again"
    );
    let put_off =
        service.db().in_tenant(tenant, async |mut tx| jobs::put_off(&mut tx, id, rest).await).await;
    if let Err(error) = put_off {
        tracing::warn!(job = %id, %error, "job comes again when its lease ends");
    }
}

async fn take(service: &Deployments, tenant: TenantId, id: JobId) -> Result<Option<Job>> {
    let mut tx = service.db().tenant(tenant).await?;
    let job = jobs::take(&mut tx, id, LEASE).await?;
    tx.commit().await?;
    Ok(job)
}

async fn carry_out(service: &Deployments, tenant: TenantId, job: &Job) -> Result<()> {
    match &job.task {
        Task::Expand { deployment, devices, after } => {
            service.expand(tenant, job.id, *deployment, devices.as_deref(), *after).await
        }
        Task::TakeBack { deployment } => service.take_back(tenant, job.id, *deployment).await,
        Task::RemoveBytes { artifact } => {
            service.remove_bytes(tenant, *artifact).await?;
            let mut tx = service.db().tenant(tenant).await?;
            jobs::done(&mut tx, job.id).await?;
            tx.commit().await?;
            Ok(())
        }
    }
}

/// One second after the first failure, doubling, with up to half of it taken off at random.
fn rest_after(failures: u32) -> Duration {
    let longest = Duration::from_secs(1) * 2_u32.saturating_pow(failures.min(16));
    longest.min(LONGEST_REST).mul_f64(rand::random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_rests_longer_each_time_but_not_for_ever() {
        assert!(rest_after(0) <= Duration::from_secs(1));
        assert!(rest_after(3) >= Duration::from_secs(4));
        assert!(rest_after(u32::MAX) <= LONGEST_REST);
    }
}

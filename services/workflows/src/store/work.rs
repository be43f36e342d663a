//! Jobs as runners work on them: found across tenants, held for a while, moved on.
//!
//! A runner's hold is the job's `claim`, and it ends at `due_at`. Times are the database's, so
//! that runners on different machines agree.

use std::{collections::BTreeMap, time::Duration};

use rota_store::{Database, TenantTx};
use rota_types::{DeviceId, JobId, TenantId};
use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

/// How long a runner holds a job before it is given up for dead. It says that it lives every
/// [`HEARTBEAT`].
pub(crate) const LEASE: Duration = Duration::from_secs(10);

/// How often a runner says that it lives.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(3);

/// A job that this runner holds.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) tenant: TenantId,
    pub(crate) id: JobId,
    /// What shows that the hold is ours.
    pub(crate) claim: Uuid,
    pub(crate) workflow: String,
    pub(crate) device: DeviceId,
    /// The event's data: JSON.
    pub(crate) input: String,
    pub(crate) step: usize,
    /// Times the present step was begun, this one included.
    pub(crate) attempts: u32,
    /// Times the present step failed by itself.
    pub(crate) failures: u32,
    pub(crate) request_id: String,
    pub(crate) traceparent: Option<String>,
}

/// Jobs that are to be taken up, of all tenants, the longest due first.
pub(crate) async fn due(
    db: &Database,
    limit: i64,
) -> Result<BTreeMap<TenantId, Vec<Uuid>>, sqlx::Error> {
    let rows = sqlx::query!(
        "select tenant_id, id from workflows.jobs
         where status = 'pending' and due_at <= now() order by due_at limit $1",
        limit,
    )
    .fetch_all(db.hot())
    .await?;
    Ok(by_tenant(rows.into_iter().map(|row| (row.tenant_id, row.id))))
}

/// Takes hold of those of the jobs that nobody else has taken meanwhile.
pub(crate) async fn claim(tx: &mut TenantTx, jobs: &[Uuid]) -> Result<Vec<Held>, sqlx::Error> {
    let claim = Uuid::new_v4();
    let rows = sqlx::query!(
        "update workflows.jobs j
         set claim = $2, due_at = now() + $3, attempts = attempts + 1, updated_at = now()
         from (select id from workflows.jobs
               where id = any($1) and status = 'pending' and due_at <= now()
               for update skip locked) free
         where j.id = free.id
         returning j.id, j.workflow, j.device_id, j.input, j.step, j.attempts, j.failures,
                   j.request_id, j.traceparent",
        jobs,
        claim,
        interval(LEASE),
    )
    .fetch_all(&mut **tx)
    .await?;
    let tenant = tx.tenant();
    let held = rows.into_iter().map(|row| Held {
        tenant,
        id: row.id.into(),
        claim,
        workflow: row.workflow,
        device: row.device_id.into(),
        input: row.input,
        step: usize::try_from(row.step).unwrap_or_default(),
        attempts: u32::try_from(row.attempts).unwrap_or_default(),
        failures: u32::try_from(row.failures).unwrap_or_default(),
        request_id: row.request_id,
        traceparent: row.traceparent,
    });
    Ok(held.collect())
}

/// Says that the runner lives. `false`: the hold is lost.
pub(crate) async fn extend(tx: &mut TenantTx, job: &Held) -> Result<bool, sqlx::Error> {
    let extended = sqlx::query!(
        "update workflows.jobs set due_at = now() + $3 where id = $1 and claim = $2",
        job.id.uuid(),
        job.claim,
        interval(LEASE),
    )
    .execute(&mut **tx)
    .await?;
    Ok(extended.rows_affected() == 1)
}

/// Notes that a step is done and the next has been begun. `false`: the hold is lost.
pub(crate) async fn advance(
    tx: &mut TenantTx,
    job: &Held,
    step: usize,
) -> Result<bool, sqlx::Error> {
    let advanced = sqlx::query!(
        "update workflows.jobs
         set step = $3, attempts = 1, failures = 0, last_error = '', due_at = now() + $4,
             updated_at = now()
         where id = $1 and claim = $2",
        job.id.uuid(),
        job.claim,
        i16::try_from(step).unwrap_or(i16::MAX),
        interval(LEASE),
    )
    .execute(&mut **tx)
    .await?;
    Ok(advanced.rows_affected() == 1)
}

/// Notes that all steps are done. `false`: the hold is lost.
pub(crate) async fn finish(tx: &mut TenantTx, job: &Held) -> Result<bool, sqlx::Error> {
    let finished = sqlx::query!(
        "update workflows.jobs
         set status = 'done', step = $3, last_error = '', claim = null, updated_at = now()
         where id = $1 and claim = $2",
        job.id.uuid(),
        job.claim,
        i16::try_from(job.step + 1).unwrap_or(i16::MAX),
    )
    .execute(&mut **tx)
    .await?;
    Ok(finished.rows_affected() == 1)
}

/// Lets go of a job until its step is tried again. `false`: the hold was lost.
pub(crate) async fn put_off(
    tx: &mut TenantTx,
    job: &Held,
    pause: Duration,
    error: &str,
) -> Result<bool, sqlx::Error> {
    let put_off = sqlx::query!(
        "update workflows.jobs
         set failures = $3, last_error = $4, due_at = now() + $5, claim = null, updated_at = now()
         where id = $1 and claim = $2",
        job.id.uuid(),
        job.claim,
        i32::try_from(job.failures).unwrap_or(i32::MAX),
        error,
        interval(pause),
    )
    .execute(&mut **tx)
    .await?;
    Ok(put_off.rows_affected() == 1)
}

/// Leaves a job to a person. `false`: the hold was lost.
pub(crate) async fn give_up(
    tx: &mut TenantTx,
    job: &Held,
    error: &str,
) -> Result<bool, sqlx::Error> {
    let given_up = sqlx::query!(
        "update workflows.jobs
         set status = 'failed', failures = $3, last_error = $4, claim = null, updated_at = now()
         where id = $1 and claim = $2",
        job.id.uuid(),
        job.claim,
        i32::try_from(job.failures).unwrap_or(i32::MAX),
        error,
    )
    .execute(&mut **tx)
    .await?;
    Ok(given_up.rows_affected() == 1)
}

/// Gives a job back untried, for another runner to take up at once.
pub(crate) async fn release(tx: &mut TenantTx, job: &Held) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update workflows.jobs set due_at = now(), claim = null, attempts = attempts - 1
         where id = $1 and claim = $2",
        job.id.uuid(),
        job.claim,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Jobs that were done longer than `age` ago, of all tenants.
pub(crate) async fn done_before(
    db: &Database,
    age: Duration,
    limit: i64,
) -> Result<BTreeMap<TenantId, Vec<Uuid>>, sqlx::Error> {
    let rows = sqlx::query!(
        "select tenant_id, id from workflows.jobs
         where status = 'done' and updated_at < now() - $1::interval
         order by updated_at limit $2",
        interval(age),
        limit,
    )
    .fetch_all(db.hot())
    .await?;
    Ok(by_tenant(rows.into_iter().map(|row| (row.tenant_id, row.id))))
}

/// Removes jobs that are done.
pub(crate) async fn remove(tx: &mut TenantTx, jobs: &[Uuid]) -> Result<u64, sqlx::Error> {
    let removed =
        sqlx::query!("delete from workflows.jobs where id = any($1) and status = 'done'", jobs)
            .execute(&mut **tx)
            .await?;
    Ok(removed.rows_affected())
}

fn by_tenant(rows: impl Iterator<Item = (Uuid, Uuid)>) -> BTreeMap<TenantId, Vec<Uuid>> {
    let mut jobs: BTreeMap<TenantId, Vec<Uuid>> = BTreeMap::new();
    for (tenant, job) in rows {
        jobs.entry(tenant.into()).or_default().push(job);
    }
    jobs
}

fn interval(duration: Duration) -> PgInterval {
    let microseconds = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    PgInterval { months: 0, days: 0, microseconds }
}

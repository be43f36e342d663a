//! Jobs as events begin them and people look at them.

use chrono::{DateTime, Utc};
use rota_store::TenantTx;
use rota_types::{DeviceId, JobId, Page};
use uuid::Uuid;

use crate::model::{Job, JobStatus, Workflow};

/// Runners listen here: there is a job to be taken up.
pub(crate) const CHANNEL: &str = "workflows_jobs";

/// What an event begins.
#[derive(Debug)]
pub(crate) struct NewJob<'a> {
    pub(crate) workflow: Workflow,
    pub(crate) device: DeviceId,
    /// The event's data.
    pub(crate) input: &'a serde_json::Value,
    pub(crate) request_id: &'a str,
    pub(crate) traceparent: Option<&'a str>,
}

/// Begins a job, and tells the runners when the transaction commits.
pub(crate) async fn begin(tx: &mut TenantTx, job: &NewJob<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into workflows.jobs
             (tenant_id, id, workflow, device_id, input, request_id, traceparent)
         values ($1, $2, $3, $4, $5, $6, $7)",
        tx.tenant().uuid(),
        JobId::mint().uuid(),
        job.workflow.word(),
        job.device.uuid(),
        job.input.to_string(),
        job.request_id,
        job.traceparent,
    )
    .execute(&mut **tx)
    .await?;
    tell_runners(tx).await
}

async fn tell_runners(tx: &mut TenantTx) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_notify($1, '')", CHANNEL).execute(&mut **tx).await?;
    Ok(())
}

struct Row {
    id: Uuid,
    workflow: String,
    device_id: Uuid,
    status: String,
    step: i16,
    attempts: i32,
    last_error: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<Row> for Job {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let status = row.status.parse().map_err(|error| sqlx::Error::ColumnDecode {
            index: format!("workflows.jobs.status, job {}", row.id),
            source: Box::<crate::model::UnknownStatus>::new(error),
        })?;
        Ok(Self {
            id: row.id.into(),
            workflow: row.workflow,
            device: row.device_id.into(),
            status,
            step: u32::try_from(row.step).unwrap_or_default(),
            attempts: u32::try_from(row.attempts).unwrap_or_default(),
            last_error: row.last_error,
            created: row.created_at,
            updated: row.updated_at,
        })
    }
}

/// A page of jobs, the newest first; of one status and one device, when these are set.
pub(crate) async fn list(
    tx: &mut TenantTx,
    status: Option<JobStatus>,
    device: Option<DeviceId>,
    page: Page,
) -> Result<Vec<Job>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select id, workflow, device_id, status, step, attempts, last_error, created_at, updated_at
         from workflows.jobs
         where ($1::text is null or status = $1) and ($2::uuid is null or device_id = $2)
         order by id desc limit $3 offset $4",
        status.map(JobStatus::word),
        device.map(DeviceId::uuid),
        page.limit(),
        page.offset(),
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(Job::try_from).collect()
}

/// A job.
pub(crate) async fn find(tx: &mut TenantTx, id: JobId) -> Result<Option<Job>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "select id, workflow, device_id, status, step, attempts, last_error, created_at, updated_at
         from workflows.jobs where id = $1",
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    row.map(Job::try_from).transpose()
}

/// Takes a failed job up again where it stopped. `false`: there is no such job, or it has not
/// failed.
pub(crate) async fn retry(tx: &mut TenantTx, id: JobId) -> Result<bool, sqlx::Error> {
    let retried = sqlx::query!(
        "update workflows.jobs
         set status = 'pending', attempts = 0, failures = 0, due_at = now(), updated_at = now()
         where id = $1 and status = 'failed'",
        id.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    tell_runners(tx).await?;
    Ok(retried.rows_affected() == 1)
}

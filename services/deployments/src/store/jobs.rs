//! The table `jobs`: work that outlives the request that asked for it.

use std::time::Duration;

use rota_store::TenantTx;
use rota_types::{ArtifactId, DeploymentId, DeviceId, JobId};
use uuid::Uuid;

use super::column;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Task {
    /// To write the rest of a deployment's device list.
    Expand {
        deployment: DeploymentId,
        /// The devices asked for, in order, where they were named.
        devices: Option<Vec<DeviceId>>,
        /// The last device that was written.
        after: Option<DeviceId>,
    },
    /// To take an aborted deployment back from the rest of its devices.
    TakeBack { deployment: DeploymentId },
    /// To remove a deleted Artifact's bytes.
    RemoveBytes { artifact: ArtifactId },
}

/// A job that this process holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) task: Task,
    /// How often it failed so far.
    pub(crate) failures: u32,
}

/// The word for a task, its subject, and where it stands.
type Columns = (&'static str, Uuid, Option<Vec<Uuid>>, Option<Uuid>);

impl Task {
    fn columns(&self) -> Columns {
        match self {
            Self::Expand { deployment, devices, after } => {
                let devices = devices
                    .as_ref()
                    .map(|devices| devices.iter().map(|device| device.uuid()).collect());
                ("expand", deployment.uuid(), devices, after.map(DeviceId::uuid))
            }
            Self::TakeBack { deployment } => ("take_back", deployment.uuid(), None, None),
            Self::RemoveBytes { artifact } => ("remove_bytes", artifact.uuid(), None, None),
        }
    }
}

/// Asks for a task to be done, once the transaction commits.
pub(crate) async fn add(tx: &mut TenantTx, task: &Task) -> Result<(), sqlx::Error> {
    let tenant = tx.tenant().uuid();
    let (kind, subject, devices, after) = task.columns();
    sqlx::query!(
        "insert into deployments.jobs
             (tenant_id, id, kind, subject_id, devices, after_device, due_at, created_at)
         values ($1, $2, $3, $4, $5, $6, now(), now())",
        tenant,
        JobId::mint().uuid(),
        kind,
        subject,
        devices.as_deref(),
        after,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes a job that is due, and holds it for `lease`. `None`: another process has it, or it is
/// done.
pub(crate) async fn take(
    tx: &mut TenantTx,
    id: JobId,
    lease: Duration,
) -> Result<Option<Job>, sqlx::Error> {
    let row = sqlx::query!(
        "update deployments.jobs set due_at = now() + make_interval(secs => $2)
         where id = $1 and due_at <= now()
         returning kind, subject_id, devices, after_device, failures",
        id.uuid(),
        lease.as_secs_f64(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let task = match row.kind.as_str() {
        "expand" => Task::Expand {
            deployment: row.subject_id.into(),
            devices: row.devices.map(|devices| devices.into_iter().map(DeviceId::from).collect()),
            after: row.after_device.map(DeviceId::from),
        },
        "take_back" => Task::TakeBack { deployment: row.subject_id.into() },
        "remove_bytes" => Task::RemoveBytes { artifact: row.subject_id.into() },
        kind => return Err(column::unknown("kind", kind)),
    };
    let failures = column::unsigned("failures", row.failures.into())?;
    Ok(Some(Job { id, task, failures }))
}

/// Notes how far the device list is written, and holds the job for another `lease`. `false`:
/// another process has taken over and is somewhere else.
pub(crate) async fn advance(
    tx: &mut TenantTx,
    id: JobId,
    from: Option<DeviceId>,
    to: DeviceId,
    lease: Duration,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "update deployments.jobs
         set after_device = $3, due_at = now() + make_interval(secs => $4), failures = 0
         where id = $1 and after_device is not distinct from $2",
        id.uuid(),
        from.map(DeviceId::uuid),
        to.uuid(),
        lease.as_secs_f64(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Holds a job for another `lease`.
pub(crate) async fn keep(tx: &mut TenantTx, id: JobId, lease: Duration) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update deployments.jobs set due_at = now() + make_interval(secs => $2), failures = 0
         where id = $1",
        id.uuid(),
        lease.as_secs_f64(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Lets a job that failed rest for `pause`.
pub(crate) async fn put_off(
    tx: &mut TenantTx,
    id: JobId,
    pause: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update deployments.jobs
         set failures = failures + 1, due_at = now() + make_interval(secs => $2) where id = $1",
        id.uuid(),
        pause.as_secs_f64(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends a job. `false`: somebody else did.
pub(crate) async fn done(tx: &mut TenantTx, id: JobId) -> Result<bool, sqlx::Error> {
    let ended = sqlx::query!("delete from deployments.jobs where id = $1", id.uuid())
        .execute(&mut **tx)
        .await?;
    Ok(ended.rows_affected() == 1)
}

//! The table `deployments`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rota_store::TenantTx;
use rota_types::{ArtifactId, DeploymentId, Page};
use sqlx::{Postgres, QueryBuilder, types::Json};
use uuid::Uuid;

use super::{anywhere, bounds, column, control_map, statistics};
use crate::model::{
    control_map::ControlMap,
    deployment::{
        Deployment, DeploymentFilter, DeploymentStatus, DeploymentStatusFilter, NewDeployment,
        Target,
    },
};

/// The index that refuses a second active deployment for the same request.
pub(crate) const SAME_REQUEST: &str = "deployments_same_request";

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    artifact_name: String,
    groups: Vec<String>,
    force_installation: bool,
    retries: i32,
    control_map: Option<Json<control_map::Row>>,
    created_at: DateTime<Utc>,
    device_count: i64,
    finished_at: Option<DateTime<Utc>>,
    final_artifacts: Option<Vec<Uuid>>,
    final_statistics: Option<Json<statistics::Final>>,
}

/// Adds a deployment whose device list is still empty. Announces, at commit, that the tenant
/// has one. A violation of [`SAME_REQUEST`] says that the same is active already.
pub(crate) async fn insert(
    tx: &mut TenantTx,
    id: DeploymentId,
    new: &NewDeployment,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let tenant = tx.tenant().uuid();
    let groups = match &new.target {
        Target::Group(group) => vec![group.clone()],
        Target::All | Target::Devices(_) => Vec::new(),
    };
    sqlx::query!(
        "insert into deployments.deployments
             (tenant_id, id, name, artifact_name, checksum, groups, force_installation, retries,
              created_at, control_map, device_count)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0)",
        tenant,
        id.uuid(),
        new.name,
        new.artifact_name,
        new.checksum(),
        &groups,
        new.force_installation,
        i32::try_from(new.retries).unwrap_or(i32::MAX),
        now,
        new.control_map.as_ref().map(control_map::write) as _,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!("select pg_notify($1, $2)", super::hot::ACTIVE_CHANNEL, tenant.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// A deployment that is held until the transaction ends.
pub(crate) struct Held {
    pub(crate) artifact_name: String,
    /// The group it is for, if it is for one.
    pub(crate) group: Option<String>,
    pub(crate) created: DateTime<Utc>,
    pub(crate) is_finished: bool,
}

/// Holds a deployment against others who would change its list or end it. Reports of devices
/// go on.
pub(crate) async fn hold(tx: &mut TenantTx, id: DeploymentId) -> Result<Option<Held>, sqlx::Error> {
    let row = sqlx::query!(
        "select artifact_name, groups, created_at, finished_at
         from deployments.deployments where id = $1 for no key update",
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|row| Held {
        artifact_name: row.artifact_name,
        group: row.groups.into_iter().next(),
        created: row.created_at,
        is_finished: row.finished_at.is_some(),
    }))
}

/// Replaces the control map of a deployment. `false`: there is none that is active and has one.
pub(crate) async fn replace_control_map(
    tx: &mut TenantTx,
    id: DeploymentId,
    map: &ControlMap,
) -> Result<bool, sqlx::Error> {
    let replaced = sqlx::query!(
        "update deployments.deployments set control_map = $2
         where id = $1 and finished_at is null and control_map is not null",
        id.uuid(),
        control_map::write(map) as _,
    )
    .execute(&mut **tx)
    .await?;
    Ok(replaced.rows_affected() == 1)
}

/// Counts devices that were written, and whether they were the last.
pub(crate) async fn count_listed(
    tx: &mut TenantTx,
    id: DeploymentId,
    written: u64,
    complete_at: Option<DateTime<Utc>>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update deployments.deployments
         set device_count = device_count + $2, listed_at = coalesce(listed_at, $3) where id = $1",
        id.uuid(),
        column::signed(written),
        complete_at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Aborts a deployment. `false`: there is none that is active.
pub(crate) async fn abort(
    tx: &mut TenantTx,
    id: DeploymentId,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let aborted = sqlx::query!(
        "update deployments.deployments
         set aborted_at = $2, finished_at = $2, listed_at = coalesce(listed_at, $2)
         where id = $1 and finished_at is null",
        id.uuid(),
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(aborted.rows_affected() == 1)
}

/// Finishes a deployment whose devices have all come to an end. Gives its Artifact name when it
/// did.
pub(crate) async fn finish_if_done(
    tx: &mut TenantTx,
    id: DeploymentId,
    now: DateTime<Utc>,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "update deployments.deployments d set finished_at = $2
         where d.id = $1 and d.finished_at is null and d.listed_at is not null
           and (select dd.device_id from deployments.device_deployments dd
                where dd.deployment_id = d.id and dd.finished_at is null
                order by dd.device_id limit 1) is null
         returning artifact_name",
        id.uuid(),
        now,
    )
    .fetch_optional(&mut **tx)
    .await
}

/// The active deployments of these releases.
pub(crate) async fn active_of_releases(
    tx: &mut TenantTx,
    names: &[String],
) -> Result<Vec<DeploymentId>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        "select id from deployments.deployments
         where artifact_name = any($1) and finished_at is null order by id",
        names,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(ids.into_iter().map(DeploymentId::from).collect())
}

/// Whether an Artifact was part of any deployment, active or not.
pub(crate) async fn ever_used(
    tx: &mut TenantTx,
    artifact: ArtifactId,
    name: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
               select from deployments.deployments
               where artifact_name = $2 and (finished_at is null or $1 = any(final_artifacts))
           ) as "used!""#,
        artifact.uuid(),
        name,
    )
    .fetch_one(&mut **tx)
    .await
}

/// How many devices are on a deployment's list; `None`: there is no such deployment.
pub(crate) async fn device_count(
    tx: &mut TenantTx,
    id: DeploymentId,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "select device_count from deployments.deployments where id = $1",
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await
}

/// These deployments, newest first.
pub(crate) async fn by_ids(
    tx: &mut TenantTx,
    ids: &[DeploymentId],
) -> Result<Vec<Deployment>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"select id, name, artifact_name, groups, force_installation, retries, created_at,
                  control_map as "control_map: _", device_count, finished_at, final_artifacts,
                  final_statistics as "final_statistics: _"
           from deployments.deployments where id = any($1) order by created_at desc, id"#,
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    complete(tx, rows).await
}

/// The deployments that pass the filter, and how many there are on all pages.
pub(crate) async fn list(
    tx: &mut TenantTx,
    filter: &DeploymentFilter,
    page: Page,
) -> Result<(Vec<Deployment>, i64), sqlx::Error> {
    let mut count = QueryBuilder::new("select count(*) from deployments.deployments d where true");
    push_conditions(&mut count, filter);
    let total: i64 = count.build_query_scalar().fetch_one(&mut **tx).await?;

    let mut query = QueryBuilder::new(
        "select id, name, artifact_name, groups, force_installation, retries, created_at,
                control_map, device_count, finished_at, final_artifacts, final_statistics
         from deployments.deployments d where true",
    );
    push_conditions(&mut query, filter);
    let direction = filter.direction.sql();
    query.push(" order by created_at ").push(direction).push(", id ").push(direction);
    let (limit, offset) = bounds(Some(page));
    query.push(" limit ").push_bind(limit).push(" offset ").push_bind(offset);
    let rows: Vec<Row> = query.build_query_as().fetch_all(&mut **tx).await?;
    Ok((complete(tx, rows).await?, total))
}

/// Adds to rows what is not written down while a deployment is active: its Artifacts and its
/// statistics. Two queries, however many rows.
async fn complete(tx: &mut TenantTx, rows: Vec<Row>) -> Result<Vec<Deployment>, sqlx::Error> {
    let open: Vec<Uuid> =
        rows.iter().filter(|row| row.final_statistics.is_none()).map(|row| row.id).collect();
    let mut counted = statistics::count(tx, &open).await?;
    let names: Vec<String> = rows
        .iter()
        .filter(|row| row.final_artifacts.is_none())
        .map(|row| row.artifact_name.clone())
        .collect();
    let releases = release_ids(tx, &names).await?;
    rows.into_iter()
        .map(|row| {
            let id = row.id.into();
            let statistics = match row.final_statistics {
                Some(Json(stored)) => stored.try_into()?,
                None => counted.remove(&id).unwrap_or_default(),
            };
            let artifacts = match row.final_artifacts {
                Some(ids) => ids.into_iter().map(ArtifactId::from).collect(),
                None => releases.get(&row.artifact_name).cloned().unwrap_or_default(),
            };
            Ok(Deployment {
                id,
                name: row.name,
                artifact_name: row.artifact_name,
                created: row.created_at,
                finished: row.finished_at,
                groups: row.groups,
                force_installation: row.force_installation,
                retries: column::unsigned("retries", row.retries.into())?,
                control_map: control_map::read(row.control_map)?,
                device_count: column::unsigned("device_count", row.device_count)?,
                artifacts,
                statistics,
            })
        })
        .collect()
}

async fn release_ids(
    tx: &mut TenantTx,
    names: &[String],
) -> Result<HashMap<String, Vec<ArtifactId>>, sqlx::Error> {
    let mut releases: HashMap<String, Vec<ArtifactId>> = HashMap::new();
    if names.is_empty() {
        return Ok(releases);
    }
    let rows = sqlx::query!(
        "select name, id from deployments.artifacts
         where name = any($1) and deleted_at is null order by id",
        names,
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in rows {
        releases.entry(row.name).or_default().push(row.id.into());
    }
    Ok(releases)
}

fn push_conditions(query: &mut QueryBuilder<Postgres>, filter: &DeploymentFilter) {
    push_status(query, filter.status);
    if !filter.search.is_empty() {
        let pattern = anywhere(&filter.search);
        query.push(" and (d.name ilike ").push_bind(pattern.clone());
        query.push(" or d.artifact_name ilike ").push_bind(pattern).push(")");
    }
    if !filter.ids.is_empty() {
        let ids: Vec<Uuid> = filter.ids.iter().map(|id| id.uuid()).collect();
        query.push(" and d.id = any(").push_bind(ids).push(")");
    }
    if !filter.names.is_empty() {
        query.push(" and d.name = any(").push_bind(filter.names.clone()).push(")");
    }
    if !filter.devices.is_empty() {
        let devices: Vec<Uuid> = filter.devices.iter().map(|id| id.uuid()).collect();
        query.push(
            " and d.id in (select deployment_id from deployments.device_deployments
                           where device_id = any(",
        );
        query.push_bind(devices).push("))");
    }
    if let Some(before) = filter.created_before {
        query.push(" and d.created_at <= ").push_bind(before);
    }
    if let Some(after) = filter.created_after {
        query.push(" and d.created_at >= ").push_bind(after);
    }
}

/// Whether a device has left `pending`: two looks into the index, as `<>` cannot use one.
const MOVED: &str = "(exists (select from deployments.device_deployments dd
              where dd.deployment_id = d.id and dd.status < 'pending')
      or exists (select from deployments.device_deployments dd
              where dd.deployment_id = d.id and dd.status > 'pending'))";

fn push_status(query: &mut QueryBuilder<Postgres>, status: DeploymentStatusFilter) {
    match status {
        DeploymentStatusFilter::Any => {}
        DeploymentStatusFilter::Scheduled => {
            query.push(" and false");
        }
        DeploymentStatusFilter::Is(DeploymentStatus::Finished) => {
            query.push(" and d.finished_at is not null");
        }
        DeploymentStatusFilter::Is(DeploymentStatus::Pending) => {
            query.push(" and d.finished_at is null and not ").push(MOVED);
        }
        DeploymentStatusFilter::Is(DeploymentStatus::InProgress) => {
            query.push(" and d.finished_at is null and ").push(MOVED);
        }
    }
}

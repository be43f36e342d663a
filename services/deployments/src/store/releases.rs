//! The table `releases`: what the Artifacts of one name have in common.

use chrono::{DateTime, Utc};
use rota_store::TenantTx;
use rota_types::Page;
use sqlx::{Postgres, QueryBuilder};

use super::{anywhere, artifact_lists::push_description_and_type, bounds};
use crate::model::release::{Release, ReleaseFilter, ReleaseOrder};

#[derive(sqlx::FromRow)]
struct Row {
    name: String,
    notes: String,
    tags: Vec<String>,
    modified_at: DateTime<Utc>,
}

impl From<Row> for Release {
    fn from(row: Row) -> Self {
        Self {
            name: row.name,
            modified: row.modified_at,
            artifacts: Vec::new(),
            tags: row.tags,
            notes: row.notes,
        }
    }
}

/// Counts one more Artifact, and makes the release with the first. Holds the release until the
/// transaction ends.
pub(crate) async fn grow(
    tx: &mut TenantTx,
    name: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "insert into deployments.releases as r (tenant_id, name, artifacts_count, modified_at)
         values ($1, $2, 1, $3)
         on conflict (tenant_id, name) do update
         set artifacts_count = r.artifacts_count + 1,
             modified_at = greatest(r.modified_at, excluded.modified_at)",
        tenant,
        name,
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Counts one Artifact less, after it was marked, and takes the release away with the last.
pub(crate) async fn shrink(tx: &mut TenantTx, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update deployments.releases r
         set artifacts_count = artifacts_count - 1,
             modified_at = coalesce(
                 (select max(a.modified_at) from deployments.artifacts a
                  where a.name = r.name and a.deleted_at is null), r.modified_at)
         where name = $1",
        name,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!("delete from deployments.releases where name = $1 and artifacts_count = 0", name)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Notes that one of the release's Artifacts was changed.
pub(crate) async fn touch(
    tx: &mut TenantTx,
    name: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update deployments.releases set modified_at = greatest(modified_at, $2) where name = $1",
        name,
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The release, without its Artifacts.
pub(crate) async fn get(tx: &mut TenantTx, name: &str) -> Result<Option<Release>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "select name, notes, tags, modified_at from deployments.releases where name = $1",
        name,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(Release::from))
}

/// Sets the notes. `false`: there is no such release.
pub(crate) async fn set_notes(
    tx: &mut TenantTx,
    name: &str,
    notes: &str,
) -> Result<bool, sqlx::Error> {
    let set =
        sqlx::query!("update deployments.releases set notes = $2 where name = $1", name, notes,)
            .execute(&mut **tx)
            .await?;
    Ok(set.rows_affected() == 1)
}

/// Sets the tags. `false`: there is no such release.
pub(crate) async fn set_tags(
    tx: &mut TenantTx,
    name: &str,
    tags: &[String],
) -> Result<bool, sqlx::Error> {
    let set =
        sqlx::query!("update deployments.releases set tags = $2 where name = $1", name, tags,)
            .execute(&mut **tx)
            .await?;
    Ok(set.rows_affected() == 1)
}

/// How many different tags the tenant has.
pub(crate) async fn count_tags(tx: &mut TenantTx) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(distinct tag) as "count!"
           from deployments.releases, unnest(tags) as tag"#
    )
    .fetch_one(&mut **tx)
    .await
}

/// All tags of the tenant's releases, sorted.
pub(crate) async fn tags(tx: &mut TenantTx) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select distinct tag as "tag!" from deployments.releases, unnest(tags) as tag
           order by 1"#
    )
    .fetch_all(&mut **tx)
    .await
}

/// All payload types of the tenant's Artifacts, sorted.
pub(crate) async fn update_types(tx: &mut TenantTx) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select distinct update_type as "update_type!"
           from deployments.artifacts, unnest(update_types) as update_type
           where deleted_at is null order by 1"#
    )
    .fetch_all(&mut **tx)
    .await
}

/// The releases that pass the filter, without their Artifacts, and how many there are on all
/// pages.
pub(crate) async fn list(
    tx: &mut TenantTx,
    filter: &ReleaseFilter,
    page: Option<Page>,
) -> Result<(Vec<Release>, i64), sqlx::Error> {
    let mut count = QueryBuilder::new("select count(*) from deployments.releases r where true");
    push_conditions(&mut count, filter);
    let total: i64 = count.build_query_scalar().fetch_one(&mut **tx).await?;

    let mut query = QueryBuilder::new(
        "select name, notes, tags, modified_at from deployments.releases r where true",
    );
    push_conditions(&mut query, filter);
    let order = match filter.order {
        ReleaseOrder::Name => "name",
        ReleaseOrder::Modified => "modified_at",
        ReleaseOrder::ArtifactsCount => "artifacts_count",
        ReleaseOrder::Tags => "tags",
    };
    query.push(" order by ").push(order).push(" ").push(filter.direction.sql()).push(", name");
    let (limit, offset) = bounds(page);
    query.push(" limit ").push_bind(limit).push(" offset ").push_bind(offset);
    let rows: Vec<Row> = query.build_query_as().fetch_all(&mut **tx).await?;
    Ok((rows.into_iter().map(Release::from).collect(), total))
}

fn push_conditions(query: &mut QueryBuilder<Postgres>, filter: &ReleaseFilter) {
    if !filter.name.is_empty() {
        query.push(" and r.name ilike ").push_bind(anywhere(&filter.name));
    }
    if !filter.tags.is_empty() {
        let tags: Vec<_> = filter.tags.iter().map(|tag| tag.to_ascii_lowercase()).collect();
        query.push(" and r.tags && ").push_bind(tags);
    }
    let of_artifacts = [&filter.update_type, &filter.description, &filter.device_type]
        .iter()
        .any(|f| !f.is_empty());
    if of_artifacts {
        query.push(
            " and exists (select from deployments.artifacts a
                          where a.name = r.name and a.deleted_at is null",
        );
        push_description_and_type(query, &filter.description, &filter.device_type);
        if !filter.update_type.is_empty() {
            query.push(" and ").push_bind(filter.update_type.clone());
            query.push(" = any(a.update_types)");
        }
        query.push(")");
    }
}

//! Devices by their ids.

use chrono::{DateTime, Utc};
use rota_store::TenantTx;
use rota_types::DeviceId;
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    document::{Loaded, Stored},
    index::Changes,
};
use crate::model::{Attributes, Device, GroupName};

/// The most that devices which are read at a time may hold together, in bytes. In memory, and
/// in the answer's forms one after the other, they take a small multiple of it. It is a page of
/// 500 devices with 64 KiB each, the most that one text may have.
pub(crate) const MAX_READ_BYTES: i64 = 32 << 20;

struct Row {
    id: Uuid,
    revision: i64,
    status: Option<String>,
    identity: Json<Loaded>,
    created_at: Option<DateTime<Utc>>,
    check_in_at: Option<DateTime<Utc>>,
    updated_at: DateTime<Utc>,
    inventory: Json<Loaded>,
    tags: Json<Loaded>,
    tags_etag: Option<Uuid>,
    group_name: Option<String>,
}

/// A row that no code of ours wrote.
#[derive(Debug, thiserror::Error)]
#[error("inventory.devices, device {device}, column {column}")]
struct BadRow {
    device: Uuid,
    column: &'static str,
    #[source]
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl TryFrom<Row> for Device {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let device = row.id;
        let attributes = |column, Json(loaded): Json<Loaded>| {
            Attributes::try_from(loaded).map_err(|error| bad(device, column, error))
        };
        let status = row.status.map(|word| word.parse());
        let group = row.group_name.map(GroupName::existing);
        Ok(Self {
            id: device.into(),
            revision: row.revision,
            status: status.transpose().map_err(|error| bad(device, "status", error))?,
            created: row.created_at,
            check_in: row.check_in_at,
            updated: row.updated_at,
            identity: attributes("identity", row.identity)?,
            inventory: attributes("inventory", row.inventory)?,
            tags: attributes("tags", row.tags)?,
            tags_etag: row.tags_etag,
            group: group.transpose().map_err(|error| bad(device, "group_name", error))?,
        })
    }
}

fn bad(
    device: Uuid,
    column: &'static str,
    cause: impl std::error::Error + Send + Sync + 'static,
) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(BadRow { device, column, cause: Box::new(cause) }))
}

/// A device.
pub(crate) async fn find(tx: &mut TenantTx, id: DeviceId) -> Result<Option<Device>, sqlx::Error> {
    Ok(find_all(tx, &[id.uuid()]).await?.and_then(|mut devices| devices.pop()))
}

/// The devices with these ids, in the order of the ids given; without those that are not there.
/// `None`: they hold more than [`MAX_READ_BYTES`], and were not read.
pub(crate) async fn find_all(
    tx: &mut TenantTx,
    ids: &[Uuid],
) -> Result<Option<Vec<Device>>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, revision, status, created_at, check_in_at, updated_at, tags_etag, group_name,
                  identity as "identity: Json<Loaded>", inventory as "inventory: Json<Loaded>",
                  tags as "tags: Json<Loaded>"
           from (select *, sum(bytes) over () as read_bytes
                 from inventory.devices where id = any($1)) d
           where read_bytes <= $2 order by array_position($1, id)"#,
        ids,
        MAX_READ_BYTES,
    )
    .fetch_all(&mut **tx)
    .await?;
    if rows.is_empty() && !ids.is_empty() && is_too_much(tx, ids).await? {
        return Ok(None);
    }
    rows.into_iter().map(Device::try_from).collect::<Result<_, _>>().map(Some)
}

async fn is_too_much(tx: &mut TenantTx, ids: &[Uuid]) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select coalesce(sum(bytes), 0) > $2 as "too_much!"
           from inventory.devices where id = any($1)"#,
        ids,
        MAX_READ_BYTES,
    )
    .fetch_one(&mut **tx)
    .await
}

/// A device, which nobody else changes until the transaction ends.
pub(crate) async fn lock(tx: &mut TenantTx, id: DeviceId) -> Result<Option<Device>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, revision, status, created_at, check_in_at, updated_at, tags_etag, group_name,
                  identity as "identity: Json<Loaded>", inventory as "inventory: Json<Loaded>",
                  tags as "tags: Json<Loaded>"
           from inventory.devices where id = $1 for update"#,
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    row.map(Device::try_from).transpose()
}

/// Makes room for a device, so that two who see it for the first time, or one who does and one
/// who removes it, wait for each other. `false`: it is there already.
pub(crate) async fn claim(
    tx: &mut TenantTx,
    id: DeviceId,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let claimed = sqlx::query!(
        "insert into inventory.devices (tenant_id, id, updated_at) values ($1, $2, $3)
         on conflict do nothing",
        tx.tenant().uuid(),
        id.uuid(),
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(claimed.rows_affected() == 1)
}

/// Whether the device was removed for good.
pub(crate) async fn is_decommissioned(
    tx: &mut TenantTx,
    id: DeviceId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from inventory.decommissioned where device_id = $1) as "gone!""#,
        id.uuid(),
    )
    .fetch_one(&mut **tx)
    .await
}

/// Writes a device whose row the transaction holds. `before` is what it was, and `None` when
/// the row was claimed just now.
pub(crate) async fn save(
    tx: &mut TenantTx,
    before: Option<&Device>,
    after: &Device,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update inventory.devices
         set revision = $2, status = $3, created_at = $4, check_in_at = $5, updated_at = $6,
             identity = $7, inventory = $8, tags = $9, tags_etag = $10, group_name = $11,
             bytes = $12
         where id = $1",
        after.id.uuid(),
        after.revision,
        after.status.map(crate::model::Status::word),
        after.created,
        after.check_in,
        after.updated,
        Json(Stored::from(&after.identity)) as _,
        Json(Stored::from(&after.inventory)) as _,
        Json(Stored::from(&after.tags)) as _,
        after.tags_etag,
        after.group.as_ref().map(GroupName::as_str),
        i32::try_from(after.bytes()).unwrap_or(i32::MAX),
    )
    .execute(&mut **tx)
    .await?;
    Changes::between(before, Some(after)).write(tx).await
}

/// Removes a device whose row the transaction holds, and notes that it is gone for good.
/// `device` is `None` when the row was claimed just now.
pub(crate) async fn remove(
    tx: &mut TenantTx,
    id: DeviceId,
    device: Option<&Device>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into inventory.decommissioned (tenant_id, device_id) values ($1, $2)
         on conflict do nothing",
        tx.tenant().uuid(),
        id.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!("delete from inventory.devices where id = $1", id.uuid())
        .execute(&mut **tx)
        .await?;
    Changes::between(device, None).write(tx).await
}

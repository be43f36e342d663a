//! The accepted devices, in the order of their ids and in batches that go on after an id.

use rota_store::TenantTx;
use uuid::Uuid;

use crate::model::{GroupName, Status, Term};

/// How many ids a batch has at the most.
pub(crate) const BATCH: i64 = 1000;

/// Accepted devices after `after`.
pub(crate) async fn all(tx: &mut TenantTx, after: Option<Uuid>) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select device_id from inventory.terms
         where term = $1 and device_id > $2 order by device_id limit $3",
        Term::status(Status::Accepted).0,
        after.unwrap_or_default(),
        BATCH,
    )
    .fetch_all(&mut **tx)
    .await
}

/// Accepted devices of the group after `after`.
pub(crate) async fn of_group(
    tx: &mut TenantTx,
    group: &GroupName,
    after: Option<Uuid>,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select g.device_id from inventory.terms g
         where g.term = $1 and g.device_id > $3
           and exists (select from inventory.terms s
                       where s.term = $2 and s.device_id = g.device_id)
         order by g.device_id limit $4",
        Term::group(group).0,
        Term::status(Status::Accepted).0,
        after.unwrap_or_default(),
        BATCH,
    )
    .fetch_all(&mut **tx)
    .await
}

/// Those of the devices that are accepted.
pub(crate) async fn among(tx: &mut TenantTx, devices: &[Uuid]) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select device_id from inventory.terms
         where term = $1 and device_id = any($2) order by device_id",
        Term::status(Status::Accepted).0,
        devices,
    )
    .fetch_all(&mut **tx)
    .await
}

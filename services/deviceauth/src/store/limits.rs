//! How many devices a tenant may accept.

use rota_store::TenantTx;
use rota_types::TenantId;

use super::Store;
use crate::error::Error;

impl Store {
    /// The tenant's limit, in accepted devices; `None`: there is none.
    pub(crate) async fn limit(&self, tenant: TenantId) -> Result<Option<i64>, Error> {
        let mut tx = self.db.tenant(tenant).await?;
        let limit = sqlx::query_scalar!(
            "select max_devices from deviceauth.device_limits where tenant_id = $1",
            tenant.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        Ok(limit)
    }

    /// Sets the limit or, with `None`, takes it away. Devices that are accepted stay so.
    pub(crate) async fn set_limit(
        &self,
        tenant: TenantId,
        limit: Option<i64>,
    ) -> Result<(), Error> {
        let mut tx = self.db.tenant(tenant).await?;
        match limit {
            Some(limit) => {
                sqlx::query!(
                    "insert into deviceauth.device_limits (tenant_id, max_devices)
                     values ($1, $2)
                     on conflict (tenant_id) do update set max_devices = excluded.max_devices",
                    tenant.uuid(),
                    limit,
                )
                .execute(&mut *tx)
                .await?;
            }
            None => {
                sqlx::query!(
                    "delete from deviceauth.device_limits where tenant_id = $1",
                    tenant.uuid(),
                )
                .execute(&mut *tx)
                .await?;
            }
        }
        Ok(tx.commit().await?)
    }
}

/// Refuses when the tenant's places are taken. Where there is a limit, acceptances of one
/// tenant pass here one after the other: each counts what those before it committed, in an
/// index that has nothing else in it. The device that wants a place is not accepted yet and
/// not counted.
pub(super) async fn take_place(tx: &mut TenantTx) -> Result<(), Error> {
    let tenant = tx.tenant().uuid();
    let limit = sqlx::query_scalar!(
        "select max_devices from deviceauth.device_limits where tenant_id = $1 for update",
        tenant,
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(limit) = limit else { return Ok(()) };
    let taken = sqlx::query_scalar!(
        "select count(*) from deviceauth.devices
         where tenant_id = $1 and status = 'accepted' and not decommissioning",
        tenant,
    )
    .fetch_one(&mut **tx)
    .await?;
    if taken.unwrap_or_default() >= limit { Err(Error::LimitReached) } else { Ok(()) }
}

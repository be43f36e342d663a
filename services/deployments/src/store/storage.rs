//! The table `storage`: how much space a tenant has for Artifacts, and how much it uses.

use rota_store::TenantTx;

use super::column;
use crate::model::artifact::Storage;

/// The tenant's limit and usage.
pub(crate) async fn get(tx: &mut TenantTx) -> Result<Storage, sqlx::Error> {
    let row = sqlx::query!("select limit_bytes, used_bytes from deployments.storage")
        .fetch_optional(&mut **tx)
        .await?;
    let Some(row) = row else { return Ok(Storage { limit_bytes: None, used_bytes: 0 }) };
    Ok(Storage {
        limit_bytes: row
            .limit_bytes
            .map(|limit| column::unsigned("limit_bytes", limit))
            .transpose()?,
        used_bytes: column::unsigned("used_bytes", row.used_bytes)?,
    })
}

/// Takes space. `false`: there is not so much, and nothing is taken.
pub(crate) async fn take(tx: &mut TenantTx, size_bytes: u64) -> Result<bool, sqlx::Error> {
    let tenant = tx.tenant().uuid();
    let taken = sqlx::query!(
        "insert into deployments.storage as s (tenant_id, used_bytes) values ($1, $2)
         on conflict (tenant_id) do update set used_bytes = s.used_bytes + excluded.used_bytes
         where s.limit_bytes is null or s.used_bytes + excluded.used_bytes <= s.limit_bytes",
        tenant,
        column::signed(size_bytes),
    )
    .execute(&mut **tx)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Gives space back.
pub(crate) async fn give_back(tx: &mut TenantTx, size_bytes: u64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update deployments.storage set used_bytes = greatest(used_bytes - $1, 0)",
        column::signed(size_bytes),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Sets the limit; `None` takes it away.
pub(crate) async fn set_limit(
    tx: &mut TenantTx,
    limit_bytes: Option<u64>,
) -> Result<(), sqlx::Error> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "insert into deployments.storage (tenant_id, limit_bytes) values ($1, $2)
         on conflict (tenant_id) do update set limit_bytes = excluded.limit_bytes",
        tenant,
        limit_bytes.map(column::signed),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

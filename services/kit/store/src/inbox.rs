//! What consumers have taken in, recorded in the transaction of the effect.

use rota_bus::Event;

use crate::TenantTx;

/// Records that `consumer` takes the event in. `false`: it did before, and there is nothing to
/// do. Two deliveries at the same time wait for each other here.
pub async fn record(tx: &mut TenantTx, consumer: &str, event: &Event) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query(
        "insert into inbox (event_time, consumer, event_id) values ($1, $2, $3)
         on conflict do nothing",
    )
    .bind(event.time)
    .bind(consumer)
    .bind(event.id.uuid())
    .execute(&mut **tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

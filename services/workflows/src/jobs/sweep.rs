//! Removes jobs that were done long ago. Failed ones stay until somebody has looked.

use std::time::Duration;

use rota_store::Database;

use crate::store::work;

/// How often it is looked.
pub(crate) const PAUSE: Duration = Duration::from_mins(10);

/// How long a job that is done is kept.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// How many jobs are removed at a time.
const BATCH: i64 = 1000;

/// Removes old jobs, batch by batch.
pub(crate) async fn sweep(db: Database) {
    loop {
        match remove_some(&db).await {
            Ok(0) => return,
            Ok(removed) => tracing::debug!(removed, "old jobs removed"),
            Err(error) => {
                tracing::warn!(%error, "cannot remove old jobs");
                return;
            }
        }
    }
}

async fn remove_some(db: &Database) -> Result<u64, sqlx::Error> {
    let mut removed = 0;
    for (tenant, jobs) in work::done_before(db, KEPT, BATCH).await? {
        let mut tx = db.tenant(tenant).await?;
        removed += work::remove(&mut tx, &jobs).await?;
        tx.commit().await?;
    }
    Ok(removed)
}

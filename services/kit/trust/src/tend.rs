//! Looking after the tables beside the stream, which does not wait for it.

use std::{error::Error, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{OpenError, Trust, revocations};

/// How often keys are looked after and old revocations dropped.
const PAUSE: Duration = Duration::from_mins(10);

pub(crate) async fn run(trust: &Trust, stop: &CancellationToken) {
    // `Err` is the pause's end.
    while tokio::time::timeout(PAUSE, stop.cancelled()).await.is_err() {
        if let Err(error) = tend(trust).await {
            let error: &dyn Error = &error;
            tracing::warn!(schema = trust.0.db.schema(), error, "keys and revocations not tended");
        }
    }
}

async fn tend(trust: &Trust) -> Result<(), OpenError> {
    let now = trust.0.clock.now();
    trust.0.known.forget_expired(now);
    let dropped = revocations::sweep(&trust.0.db, now).await?;
    tracing::debug!(schema = trust.0.db.schema(), dropped, "old revocations dropped");
    trust.tend_keys().await
}

//! Waiting for a condition, never for a time.

use std::{future::Future, time::Duration};

use anyhow::{Result, anyhow};
use tokio::time::Instant;

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// Looks at `condition` until it gives a value, at the longest for `limit`.
///
/// `Ok(None)` and errors mean "not yet"; the last error is in the message when time is up.
pub async fn until<T, F, Fut>(what: &str, limit: Duration, condition: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Option<T>>>,
{
    until_every(INTERVAL, what, limit, condition).await
}

/// Does what [`until`] does, but looks as often as this: for a condition that costs something.
pub async fn until_every<T, F, Fut>(
    interval: Duration,
    what: &str,
    limit: Duration,
    mut condition: F,
) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Option<T>>>,
{
    let end = Instant::now() + limit;
    loop {
        let outcome = condition().await;
        if let Ok(Some(value)) = outcome {
            return Ok(value);
        }
        if Instant::now() >= end {
            return Err(match outcome {
                Err(error) => error.context(format!("{what}: not within {limit:?}")),
                Ok(_) => anyhow!("{what}: not within {limit:?}"),
            });
        }
        tokio::time::sleep(interval).await;
    }
}

//! Keeps the set of tenants with an active deployment fresh.

use std::time::{Duration, Instant};

use rota_store::{Listener, Signal};
use tokio_util::sync::CancellationToken;

use crate::{Deployments, store::hot};

/// How often everything is read anew, so that tenants whose deployments have finished leave the
/// set.
const REFRESH: Duration = Duration::from_secs(15);

/// Follows Postgres's announcements until `stop`.
pub(crate) async fn follow_active_tenants(service: Deployments, stop: CancellationToken) {
    let mut listener = Listener::new(service.db(), [hot::ACTIVE_CHANNEL]);
    let mut read_at = Instant::now();
    loop {
        let signal = tokio::select! {
            () = stop.cancelled() => break,
            signal = listener.next() => signal,
        };
        let active = service.active_tenants();
        match signal {
            Signal::Notified { payload, .. } => {
                if let Ok(tenant) = payload.parse() {
                    active.announce(tenant);
                } else {
                    tracing::warn!(payload, "announcement of no tenant");
                }
            }
            Signal::Lost => active.lose(),
            Signal::Connected => {
                active.lose();
                read(&service).await;
                read_at = Instant::now();
            }
            Signal::Alive if !active.is_known() || read_at.elapsed() > REFRESH => {
                read(&service).await;
                read_at = Instant::now();
            }
            Signal::Alive => {}
        }
    }
    service.active_tenants().lose();
}

/// Reads everything. What fails leaves the set as it is: unknown, or a little too large.
async fn read(service: &Deployments) {
    let mark = service.active_tenants().mark();
    match hot::active_tenants(service.db()).await {
        Ok(tenants) => service.active_tenants().replace(mark, tenants),
        Err(error) => tracing::warn!(%error, "active tenants cannot be read"),
    }
}

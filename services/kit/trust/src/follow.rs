//! Following what all replicas commit: revocations one by one, keys as a whole.

use rota_store::{Listener, Signal};
use tokio_util::sync::CancellationToken;

use crate::{OpenError, Trust, revocations};

/// Where this replica stands towards the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Not listening.
    Deaf,
    /// Listening, but what was there before must be read yet.
    Behind,
    /// Listening and complete.
    Current,
}

pub(crate) async fn run(trust: &Trust, stop: &CancellationToken) {
    let db = &trust.0.db;
    let revoked = format!("{}_revoked", db.schema());
    let keys = format!("{}_keys", db.schema());
    let mut listener = Listener::new(db, [&revoked, &keys]);
    let mut standing = Standing::Deaf;
    loop {
        let signal = tokio::select! {
            () = stop.cancelled() => return,
            signal = listener.next() => signal,
        };
        standing = match signal {
            Signal::Notified { channel, payload } if channel == revoked => {
                match revocations::parse(&payload) {
                    Some(revocation) => {
                        trust.0.known.revoke(revocation);
                        standing
                    }
                    None => Standing::Behind,
                }
            }
            Signal::Connected | Signal::Notified { .. } => Standing::Behind,
            Signal::Alive => standing,
            Signal::Lost => {
                trust.0.known.lose();
                Standing::Deaf
            }
        };
        if standing == Standing::Behind && catch_up(trust).await {
            standing = Standing::Current;
        }
        if standing == Standing::Current {
            trust.0.known.alive();
        }
    }
}

/// Reads everything. Where that fails it is tried again with the next signal; until then the
/// watchers hear no heartbeat.
async fn catch_up(trust: &Trust) -> bool {
    let now = trust.0.clock.now();
    let read = async {
        trust.load_keys().await?;
        Ok::<_, OpenError>(revocations::load(&trust.0.db, now).await?)
    };
    match read.await {
        Ok(revoked) => {
            trust.0.known.renew(trust.0.ring.verifying(), revoked);
            true
        }
        Err(error) => {
            let schema = trust.0.db.schema();
            let error: &dyn std::error::Error = &error;
            tracing::warn!(schema, error, "keys and revocations cannot be read");
            false
        }
    }
}

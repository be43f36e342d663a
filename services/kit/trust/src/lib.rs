//! What a service that issues tokens needs: keys that all its replicas sign with, and a stream
//! that tells gateways which tokens to believe.
//!
//! deviceauth and accounts each hold a [`Trust`] over two tables of their own schema
//! (`sql/trust.sql`, linked into their migrations). Keys are made once, whichever replica is
//! first, and replaced in time: a new key is announced before it signs, an old one is believed
//! until its last token has ended. A revocation is written in the transaction of the change
//! that it follows from ([`revoke`]) and reaches every watcher of every replica when that
//! commits, by Postgres's own notification.
//!
//! A replica sends heartbeats only while it knows: its listening connection stands, and
//! everything from before was read. A gateway that hears none for a second says that it does
//! not know (503) rather than believe a token that was revoked.
//!
//! [`Trust`] is told the time by the service's clock; the tables hold nothing that depends on
//! the database's.

mod follow;
mod keys;
mod known;
mod revocations;
mod tend;
mod watch;

use std::{fmt, sync::Arc};

use rota_auth::SigningKeys;
use rota_proto::trust::v1::trust_service_server::TrustServiceServer;
use rota_runtime::Clock;
use rota_store::Database;
use tokio_util::sync::CancellationToken;

use crate::{keys::Ring, known::Known};
pub use crate::{
    keys::{KeySettings, NoKey, OpenError},
    revocations::{Outlives, revoke},
    watch::Watch,
};

/// The keys and revocations of one service. Clones share the same.
#[derive(Clone)]
pub struct Trust(Arc<Inner>);

struct Inner {
    db: Database,
    clock: Arc<dyn Clock>,
    settings: KeySettings,
    ring: Ring,
    known: Known,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("db", &self.0.db).finish_non_exhaustive()
    }
}

impl Trust {
    /// Reads the keys of the service's schema; makes the first where there is none.
    pub async fn open(
        db: Database,
        clock: Arc<dyn Clock>,
        settings: KeySettings,
    ) -> Result<Self, OpenError> {
        let ring = Ring::new(&settings)?;
        let trust = Self(Arc::new(Inner { db, clock, settings, ring, known: Known::new() }));
        trust.tend_keys().await?;
        Ok(trust)
    }

    /// The keys that sign at present: the first of them does.
    pub fn signing(&self) -> Result<Arc<SigningKeys>, NoKey> {
        self.0.ring.signing(self.0.clock.now())
    }

    /// The gRPC service that gateways watch.
    pub fn service(&self) -> TrustServiceServer<Watch> {
        TrustServiceServer::new(Watch::new(self.clone()))
    }

    /// Follows what all replicas revoke, and tends the keys, until `stop`. Watchers are served
    /// only while this runs.
    pub async fn run(self, stop: CancellationToken) {
        tokio::join!(follow::run(&self, &stop), tend::run(&self, &stop));
        self.0.known.lose();
    }
}

//! Inventory: what is known of devices (attributes, groups, tags), and search over them.
//!
//! A device is one row that holds everything that is known of it. Beside it stands an index of
//! our own: for each value that a device has, a *term* ([`model`]'s `term.rs`) that sorts as
//! values do. One primary key, `(tenant, term, device)`, then answers every operator, sorts by
//! any attribute and finds words, by index-only scans and under row-level security; a document
//! index (GIN) could do neither of the two latter. How many devices have an attribute, a status
//! or a group is counted as devices change, in shards.
//!
//! Tables: `devices`, `terms`, `counts`, `decommissioned`. Inventory makes no events and
//! consumes none; deviceauth's word comes through workflows, with a revision, and an older one
//! changes nothing. A device that reports before that word has come is noted with what it says.

mod app;
mod config;
mod error;
mod grpc;
pub mod model;
mod store;

use std::sync::Arc;

use rota_runtime::{Check, Clock, Service};
use rota_store::{Database, Migrator, Schema};
use tonic::service::Routes;

pub use app::{Devices, FilterAttribute, Members, TargetReader, Targets};
pub use config::Config;
pub use error::Error;
pub use store::groups::Moved;

/// The service's migrations.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// What the service keeps in the database.
pub static SCHEMA: Schema = Schema::new("inventory", &MIGRATOR, env!("CARGO_PKG_VERSION"));

/// What the service works with.
#[derive(Clone)]
pub struct Deps {
    /// Its own schema.
    pub db: Database,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Inventory {
    db: Database,
    clock: Arc<dyn Clock>,
    config: Config,
}

impl std::fmt::Debug for Inventory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inventory").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Inventory {
    /// The service.
    pub fn new(config: Config, deps: Deps) -> Self {
        let Deps { db, clock } = deps;
        Self { db, clock, config }
    }
}

impl Service for Inventory {
    const NAME: &'static str = "inventory";

    fn routes(&self) -> Routes {
        grpc::routes(self)
    }

    fn checks(&self) -> Vec<Check> {
        let db = self.db.clone();
        vec![Check::new("database", move || {
            let db = db.clone();
            async move { db.check().await.map_err(|error| error.to_string()) }
        })]
    }
}

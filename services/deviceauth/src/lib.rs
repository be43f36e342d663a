//! Who the devices are: identities, their keys, who decided what about them, and the tokens
//! that let them in.
//!
//! A device proves its key with each authentication request. Identity data (a JSON object)
//! makes the device, identity and key together make an auth set, and a person, or a
//! preauthorization, decides about auth sets. An accepted one gets tokens that gateways verify
//! by themselves; to take one back is to raise the auth set's epoch and to tell every gateway
//! ([`rota_trust`]).
//!
//! - Tables: `devices`, `auth_sets`, `device_limits`, `signing_keys`, `revocations`.
//! - Events out: `device.status_changed` with every change of a device but its check-in,
//!   `device.decommissioned`. None in.
//! - Hot reads: the authentication of a known device (`devices`, `auth_sets`).
//!
//! Architecture invariants: a device's status is the best of its auth sets'; at most one of
//! them is accepted; a known device that is still waiting costs one index read and no write;
//! a device that is being decommissioned changes no more.

mod app;
mod config;
mod error;
mod grpc;
mod model;
mod store;

use std::{fmt, sync::Arc};

use rota_bus::Publisher;
use rota_proto::deviceauth::v1::{
    device_service_server::DeviceServiceServer, internal_service_server::InternalServiceServer,
    management_service_server::ManagementServiceServer,
};
use rota_runtime::{Check, Clock, Rpc, Service, Tasks};
use rota_store::{Database, Migrator, Relay, Schema};
use rota_trust::{OpenError, Trust};
use tonic::service::Routes;

pub use crate::config::Config;
use crate::{app::Tenants, store::Store};

static MIGRATOR: Migrator = sqlx::migrate!();

/// The service's schema.
pub static SCHEMA: Schema = Schema::new("deviceauth", &MIGRATOR, env!("CARGO_PKG_VERSION"));

/// What deviceauth needs around it.
pub struct Deps {
    /// Its schema.
    pub db: Database,
    /// Where its events go.
    pub publisher: Arc<dyn Publisher>,
    /// The accounts service, which knows whose tenant token is whose.
    pub accounts: Rpc,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The service. Clones are the same.
#[derive(Clone)]
pub struct DeviceAuth(Arc<Inner>);

struct Inner {
    config: Config,
    db: Database,
    store: Store,
    trust: Trust,
    tenants: Tenants,
    publisher: Arc<dyn Publisher>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for DeviceAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceAuth").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl DeviceAuth {
    /// The service over a schema that is up to date. Makes the first signing key where there
    /// is none.
    pub async fn new(config: Config, deps: Deps) -> Result<Self, OpenError> {
        let Deps { db, publisher, accounts, clock } = deps;
        let trust = Trust::open(db.clone(), Arc::clone(&clock), config.keys()).await?;
        let tenants = Tenants::new(accounts, Arc::clone(&clock));
        let store = Store::new(db.clone());
        Ok(Self(Arc::new(Inner { config, db, store, trust, tenants, publisher, clock })))
    }
}

impl Service for DeviceAuth {
    const NAME: &'static str = "deviceauth";

    fn routes(&self) -> Routes {
        Routes::new(DeviceServiceServer::new(self.clone()))
            .add_service(ManagementServiceServer::new(self.clone()))
            .add_service(InternalServiceServer::new(self.clone()))
            .add_service(self.0.trust.service())
    }

    fn tasks(&self, tasks: &Tasks) {
        let relay = Relay::new(&self.0.db, Arc::clone(&self.0.publisher));
        tasks.spawn("deviceauth outbox", relay.run(tasks.token()));
        tasks.spawn("deviceauth trust", self.0.trust.clone().run(tasks.token()));
    }

    fn checks(&self) -> Vec<Check> {
        let db = self.0.db.clone();
        vec![Check::new("deviceauth database", move || {
            let db = db.clone();
            async move { db.check().await.map_err(|error| error.to_string()) }
        })]
    }
}

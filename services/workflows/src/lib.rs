//! Workflows: durable jobs over events.
//!
//! An event begins a job: the event's id and the job's row commit together, so that no event is
//! lost and none begins two. A job is a list of steps in other services ([`model`]'s
//! `workflow.rs` has them all). A runner takes a job up, carries out a step, notes that it is
//! done, and goes on; one that dies in between is given up within seconds, and another runner
//! begins with the step that was not noted. That step may thereby be carried out twice, which
//! is why every step does nothing the second time: provisioning carries deviceauth's revision,
//! and what is removed stays removed.
//!
//! Steps that cannot reach their service are tried again for as long as it takes; what fails
//! by itself is tried a few times, and is then for a person to look at ([`Workflows::retry`]).
//!
//! Tables: `jobs`. Events in: `device.status_changed`, `device.decommissioned`.

mod app;
mod config;
mod error;
mod grpc;
mod jobs;
pub mod model;
mod store;

use std::sync::Arc;

use rota_bus::{Bus, Filter, Publisher, SubscribeError, Subscription};
use rota_runtime::{Check, Rpc, Service, Tasks};
use rota_store::{Consumer, Database, Migrator, Relay, Schema};
use tonic::service::Routes;

pub use config::Config;
pub use error::Error;
use jobs::{begin, run, steps::Steps, sweep};

/// The service's migrations.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// What the service keeps in the database.
pub static SCHEMA: Schema = Schema::new("workflows", &MIGRATOR, env!("CARGO_PKG_VERSION"));

/// What the service works with.
#[derive(Clone)]
pub struct Deps {
    /// Its own schema.
    pub db: Database,
    /// Where events come from.
    pub bus: Arc<dyn Bus>,
    /// The way to deviceauth.
    pub deviceauth: Rpc,
    /// The way to inventory.
    pub inventory: Rpc,
    /// The way to deployments.
    pub deployments: Rpc,
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Workflows {
    db: Database,
    bus: Arc<dyn Bus>,
    config: Config,
    steps: Steps,
}

impl std::fmt::Debug for Workflows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workflows").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Workflows {
    /// The service; it takes in events from now on, and runs jobs with its tasks.
    pub async fn new(config: Config, deps: Deps) -> Result<Self, SubscribeError> {
        let Deps { db, bus, deviceauth, inventory, deployments } = deps;
        let effect = begin::BeginJobs;
        bus.subscribe(Subscription {
            consumer: begin::CONSUMER,
            filters: begin::EVENTS.iter().map(Filter::of).collect(),
            handler: Arc::new(Consumer::new(db.clone(), begin::CONSUMER, effect)),
        })
        .await?;
        let steps = Steps::new(deviceauth, inventory, deployments);
        Ok(Self { db, bus, config, steps })
    }
}

impl Service for Workflows {
    const NAME: &'static str = "workflows";

    fn routes(&self) -> Routes {
        grpc::routes(self)
    }

    fn tasks(&self, tasks: &Tasks) {
        tasks.spawn("job runner", run::run(self.clone(), tasks.token()));
        // The service makes no events, but its relay also rolls the inbox's days.
        let publisher: Arc<dyn Publisher> = self.bus.clone();
        tasks.spawn("relay", Relay::new(&self.db, publisher).run(tasks.token()));
        let db = self.db.clone();
        tasks.spawn_every("job sweep", sweep::PAUSE, move || sweep::sweep(db.clone()));
    }

    fn checks(&self) -> Vec<Check> {
        let db = self.db.clone();
        vec![Check::new("database", move || {
            let db = db.clone();
            async move { db.check().await.map_err(|error| error.to_string()) }
        })]
    }
}

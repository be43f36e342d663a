//! The service itself: what it is made of, its routes, its tasks.

use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};
use rota_auth::LinkSigner;
use rota_blob::Blobs;
use rota_bus::Publisher;
use rota_runtime::{Check, Clock, Rpc, Service, Tasks};
use rota_store::{Database, Relay};
use rota_types::TenantId;
use tokio::sync::Notify;
use tonic::service::Routes;

use crate::{
    Config,
    app::active_tenants::ActiveTenants,
    grpc, jobs,
    upload_places::{UploadPlace, UploadPlaces},
};

/// What the service stands on.
#[derive(Clone)]
pub struct Deps {
    /// Its schema, [`SCHEMA`](crate::SCHEMA).
    pub db: Database,
    /// Where Artifacts and logs lie.
    pub blobs: Arc<dyn Blobs>,
    /// Where its events go.
    pub publisher: Arc<dyn Publisher>,
    /// The inventory service.
    pub inventory: Rpc,
    /// Signs download links; every replica has the same keys.
    pub links: LinkSigner,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The deployments service. Clones are the same service.
#[derive(Clone)]
pub struct Deployments(Arc<Inner>);

struct Inner {
    config: Config,
    deps: Deps,
    active: ActiveTenants,
    /// Rung when there is a new job.
    bell: Notify,
    uploads: Arc<UploadPlaces>,
}

impl Deployments {
    /// The service, made of these parts.
    pub fn new(config: Config, deps: Deps) -> Self {
        let uploads = Arc::new(UploadPlaces::new(config.max_uploads));
        Self(Arc::new(Inner {
            config,
            deps,
            active: ActiveTenants::default(),
            bell: Notify::new(),
            uploads,
        }))
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn db(&self) -> &Database {
        &self.0.deps.db
    }

    pub(crate) fn blobs(&self) -> &dyn Blobs {
        &*self.0.deps.blobs
    }

    pub(crate) fn inventory(&self) -> Rpc {
        self.0.deps.inventory.clone()
    }

    pub(crate) fn links(&self) -> &LinkSigner {
        &self.0.deps.links
    }

    /// The time, in the microseconds that the database keeps.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.0.deps.clock.now().trunc_subsecs(6)
    }

    pub(crate) fn active_tenants(&self) -> &ActiveTenants {
        &self.0.active
    }

    /// Says that there is a new job.
    pub(crate) fn ring(&self) {
        self.0.bell.notify_one();
    }

    /// Waits until somebody says that there is a new job.
    pub(crate) async fn rung(&self) {
        self.0.bell.notified().await;
    }

    /// A place for an upload of the tenant, if there is one.
    pub(crate) fn upload_place(&self, tenant: TenantId) -> Option<UploadPlace> {
        self.0.uploads.take(tenant)
    }
}

impl Service for Deployments {
    const NAME: &'static str = "deployments";

    fn routes(&self) -> Routes {
        grpc::routes(self)
    }

    fn tasks(&self, tasks: &Tasks) {
        let relay = Relay::new(self.db(), Arc::clone(&self.0.deps.publisher));
        tasks.spawn("deployments outbox", relay.run(tasks.token()));
        tasks.spawn("deployments jobs", jobs::work(self.clone(), tasks.token()));
        let follow = jobs::follow_active_tenants(self.clone(), tasks.token());
        tasks.spawn("active tenants", follow);
        let service = self.clone();
        tasks.spawn_every("deployments sweep", jobs::sweep::PAUSE, move || {
            let service = service.clone();
            async move { service.sweep().await }
        });
        let service = self.clone();
        tasks.spawn_every("blob sweep", jobs::sweep::BLOB_PAUSE, move || {
            let service = service.clone();
            async move { service.sweep_blobs().await }
        });
    }

    fn checks(&self) -> Vec<Check> {
        let (db, blobs) = (self.db().clone(), Arc::clone(&self.0.deps.blobs));
        vec![
            Check::new("database", move || {
                let db = db.clone();
                async move { db.check().await.map_err(|error| error.to_string()) }
            }),
            Check::new("blobs", move || {
                let blobs = Arc::clone(&blobs);
                async move { blobs.check().await.map_err(|error| error.to_string()) }
            }),
        ]
    }
}

//! A service with everything it stands on, and the people and devices around it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{TimeDelta, Utc};
use rota_artifact::Builder;
use rota_auth::LinkSigner;
use rota_blob::{Blobs, DirectoryBlobs};
use rota_bus::{Event, PublishError, Publisher, Receipt};
use rota_deployments::{Config, Deployments, Deps, SCHEMA};
use rota_runtime::{FixedClock, Rpc, Service, Tasks, rpc::in_process};
use rota_testkit::TestDatabase;
use rota_types::{
    Actor, AuthSetId, Caller, DeviceId, EventId, Permission, SessionId, TenantId, UserId,
};
use sqlx::PgConnection;
use tempfile::TempDir;

use crate::{inventory::FakeInventory, people::Person};

pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) directory: TempDir,
    pub(crate) inventory: FakeInventory,
    pub(crate) clock: FixedClock,
    pub(crate) events: Events,
    pub(crate) tenant: TenantId,
    blobs: Arc<dyn Blobs>,
    links: LinkSigner,
    config: Config,
    rpc: Rpc,
    _replica: Replica,
}

/// One process of the service. Its tasks end with it.
pub(crate) struct Replica {
    pub(crate) rpc: Rpc,
    tasks: Tasks,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

impl World {
    /// A service with its tasks running.
    pub(crate) async fn new() -> Self {
        Self::with(Config::default(), Running::Tasks).await
    }

    /// A service without its tasks, as if it were always killed before they come to anything.
    pub(crate) async fn without_tasks() -> Self {
        Self::with(Config::default(), Running::Nothing).await
    }

    pub(crate) async fn with(config: Config, running: Running) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Arc::new(DirectoryBlobs::open(directory.path()).unwrap());
        Self::build(config, running, directory, blobs).await
    }

    /// A service whose blobs lie elsewhere.
    pub(crate) async fn on(blobs: Arc<dyn Blobs>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::build(Config::default(), Running::Tasks, directory, blobs).await
    }

    async fn build(
        config: Config,
        running: Running,
        directory: TempDir,
        blobs: Arc<dyn Blobs>,
    ) -> Self {
        let database = TestDatabase::new(&[&SCHEMA]).await;
        let inventory = FakeInventory::default();
        let clock = FixedClock::at(Utc::now());
        let events = Events::default();
        let links = LinkSigner::from_lines(&LinkSigner::generate_line().unwrap()).unwrap();
        let deps = Deps {
            db: database.connect(&SCHEMA).await,
            blobs: Arc::clone(&blobs),
            publisher: Arc::new(events.clone()),
            inventory: inventory.rpc(),
            links: links.clone(),
            clock: Arc::new(clock.clone()),
        };
        let replica = Replica::start(config.clone(), deps, running);
        let (rpc, tenant) = (replica.rpc.clone(), TenantId::mint());
        Self {
            database,
            directory,
            inventory,
            clock,
            events,
            tenant,
            blobs,
            links,
            config,
            rpc,
            _replica: replica,
        }
    }

    /// Another process of the same service.
    pub(crate) async fn replica(&self, running: Running) -> Replica {
        let deps = Deps {
            db: self.database.connect(&SCHEMA).await,
            blobs: Arc::clone(&self.blobs),
            publisher: Arc::new(self.events.clone()),
            inventory: self.inventory.rpc(),
            links: self.links.clone(),
            clock: Arc::new(self.clock.clone()),
        };
        Replica::start(self.config.clone(), deps, running)
    }

    /// Somebody who may do everything in the tenant.
    pub(crate) fn operator(&self) -> Person {
        self.person(self.tenant, vec![Permission::Manage])
    }

    pub(crate) fn person(&self, tenant: TenantId, permissions: Vec<Permission>) -> Person {
        let actor = Actor::User {
            id: UserId::mint(),
            session: SessionId::mint(),
            email: "a@example.com".to_owned(),
        };
        Person::new(self.rpc.clone(), caller(tenant, actor, permissions))
    }

    /// A device that inventory knows as accepted.
    pub(crate) fn device(&self) -> Person {
        let id = DeviceId::mint();
        self.inventory.accept(self.tenant, id);
        self.device_with(id)
    }

    pub(crate) fn device_with(&self, id: DeviceId) -> Person {
        self.device_in(self.tenant, id)
    }

    /// A device of any tenant.
    pub(crate) fn device_in(&self, tenant: TenantId, id: DeviceId) -> Person {
        let actor = Actor::Device { id, auth_set: AuthSetId::mint() };
        Person::new(self.rpc.clone(), caller(tenant, actor, vec![Permission::Device]))
    }

    /// Another service.
    pub(crate) fn internal(&self) -> Person {
        let actor = Actor::Service { name: "workflows".to_owned() };
        Person::new(self.rpc.clone(), caller(self.tenant, actor, vec![Permission::Internal]))
    }

    /// A connection past every wall.
    pub(crate) async fn owner(&self) -> PgConnection {
        self.database.owner().await
    }

    /// How many files lie in the blob store, with what is being uploaded.
    pub(crate) fn files(&self) -> usize {
        fn count(dir: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
        }
        count(self.directory.path())
    }

    /// How many rows a table has, of all tenants.
    pub(crate) async fn rows(&self, table: &'static str) -> i64 {
        let query = sqlx::AssertSqlSafe(format!("select count(*) from deployments.{table}"));
        sqlx::query_scalar(query).fetch_one(&mut self.owner().await).await.unwrap()
    }
}

/// What runs beside requests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Running {
    Tasks,
    Nothing,
}

impl Replica {
    fn start(config: Config, deps: Deps, running: Running) -> Self {
        let service = Deployments::new(config, deps);
        let tasks = Tasks::new();
        if running == Running::Tasks {
            service.tasks(&tasks);
        }
        Self { rpc: in_process("deployments", service.routes()), tasks }
    }
}

fn caller(tenant: TenantId, actor: Actor, permissions: Vec<Permission>) -> Caller {
    Caller {
        tenant,
        actor,
        permissions,
        expires: Utc::now() + TimeDelta::hours(1),
        request_id: "test".to_owned(),
        address: None,
    }
}

/// Events that left the service.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<std::sync::Mutex<Vec<Event>>>);

impl Events {
    /// The kinds of events about an entity, in their order.
    pub(crate) fn about(&self, entity: &str) -> Vec<String> {
        let events = self.0.lock().unwrap();
        events.iter().filter(|e| e.entity.id == entity).map(|e| e.kind.clone()).collect()
    }
}

#[async_trait]
impl Publisher for Events {
    async fn publish(&self, event: &Event) -> Result<Receipt, PublishError> {
        self.0.lock().unwrap().push(event.clone());
        Ok(Receipt(None))
    }

    async fn ready(&self) {}

    async fn holds(&self, _: Receipt, _: EventId) -> Result<bool, PublishError> {
        Ok(true)
    }

    fn connections(&self) -> u64 {
        0
    }
}

/// An Artifact for devices of one type, with a file of so many bytes.
pub(crate) fn artifact(name: &str, device_type: &str, size: usize) -> Vec<u8> {
    builder(name, device_type, size).to_vec().unwrap()
}

pub(crate) fn builder(name: &str, device_type: &str, size: usize) -> Builder {
    // Bytes that do not compress, so that sizes differ as asked for.
    let mut state = 1_u32;
    let content: Vec<u8> = (0..size)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    Builder::module_image("single-file", name).device_type(device_type).file_bytes("file", content)
}

/// Waits until `probe` gives something.
pub(crate) async fn eventually<T, F>(what: &str, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let waiting = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    waited.unwrap_or_else(|_| panic!("never: {what}"))
}

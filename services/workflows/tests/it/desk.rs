//! Workflows with a database of its own, runners that can be killed, and a town around it.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use rota_bus::{Bus, Entity, Event, LocalBus, Publisher};
use rota_proto::workflows::v1::{
    GetJobRequest, Job, JobStatus, ListJobsRequest, RetryJobRequest,
    internal_service_client::InternalServiceClient,
};
use rota_runtime::{Failure, Rpc, Service, Tasks, rpc, with_caller};
use rota_testkit::TestDatabase;
use rota_types::{
    Actor, Caller, DeviceId, ErrorCode, EventId, TenantId,
    events::{DeviceDecommissioned, DeviceStatusChanged, EventData},
};
use rota_workflows::{Config, Deps, SCHEMA, Workflows};
use tonic::Request;

use crate::town::Town;

pub(crate) struct Desk {
    pub(crate) database: TestDatabase,
    pub(crate) town: Town,
    bus: LocalBus,
    rpc: Rpc,
}

/// A runner in a runtime of its own, which can be killed as a process is.
pub(crate) struct Runner {
    runtime: Option<tokio::runtime::Runtime>,
    tasks: Tasks,
}

impl Runner {
    /// Ends it where it stands.
    pub(crate) fn kill(mut self) {
        self.drop_runtime();
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(self) -> bool {
        self.tasks.stop_within(Duration::from_secs(30)).await
    }

    fn drop_runtime(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.drop_runtime();
    }
}

/// The service on a bus, as a process has it.
pub(crate) async fn service(database: &TestDatabase, bus: Arc<dyn Bus>, town: &Town) -> Workflows {
    let deps = Deps {
        db: database.connect(&SCHEMA).await,
        bus,
        deviceauth: town.rpc("deviceauth"),
        inventory: town.rpc("inventory"),
        deployments: town.rpc("deployments"),
    };
    Workflows::new(Config::default(), deps).await.unwrap()
}

impl Desk {
    /// A desk that takes in events; nobody works yet.
    pub(crate) async fn open() -> Self {
        let database = TestDatabase::new(&[&SCHEMA]).await;
        let (town, bus) = (Town::default(), LocalBus::new());
        let service = service(&database, Arc::new(bus.clone()), &town).await;
        bus.open();
        let rpc = rpc::in_process("workflows", service.routes());
        Self { database, town, bus, rpc }
    }

    /// A runner, as another process would have it.
    pub(crate) fn runner(&self) -> Runner {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let tasks = Tasks::new();
        let (settings, town, own) = (self.database.settings(), self.town.clone(), tasks.clone());
        runtime.spawn(async move {
            let db = rota_store::Database::connect(&settings, &SCHEMA).await.unwrap();
            let deps = Deps {
                db,
                bus: Arc::new(LocalBus::new()),
                deviceauth: town.rpc("deviceauth"),
                inventory: town.rpc("inventory"),
                deployments: town.rpc("deployments"),
            };
            let service = Workflows::new(Config::default(), deps).await.unwrap();
            service.tasks(&own);
        });
        Runner { runtime: Some(runtime), tasks }
    }

    pub(crate) async fn publish(&self, event: &Event) {
        self.bus.publish(event).await.unwrap();
    }

    /// An event of a device that was accepted.
    pub(crate) async fn accepted(&self, tenant: TenantId) -> DeviceId {
        let device = DeviceId::mint();
        self.publish(&status_changed(tenant, device, "accepted", 1)).await;
        device
    }

    /// An event of a device that is to be removed.
    pub(crate) async fn removed(&self, tenant: TenantId) -> DeviceId {
        let device = DeviceId::mint();
        self.publish(&decommissioned(tenant, device)).await;
        device
    }

    pub(crate) fn client(&self) -> InternalServiceClient<Rpc> {
        InternalServiceClient::new(self.rpc.clone())
    }

    pub(crate) async fn jobs(&self, tenant: TenantId) -> Vec<Job> {
        let all = ListJobsRequest { page: 1, per_page: 500, ..ListJobsRequest::default() };
        self.client().list_jobs(request(tenant, all)).await.unwrap().into_inner().jobs
    }

    pub(crate) async fn job(&self, tenant: TenantId, id: &str) -> Result<Job, ErrorCode> {
        let message = GetJobRequest { id: id.to_owned() };
        let answer = self.client().get_job(request(tenant, message)).await;
        answer.map(tonic::Response::into_inner).map_err(|status| Failure::from(status).code)
    }

    pub(crate) async fn retry(&self, tenant: TenantId, id: &str) -> Result<(), ErrorCode> {
        let message = RetryJobRequest { id: id.to_owned() };
        let answer = self.client().retry_job(request(tenant, message)).await;
        answer.map(|_| ()).map_err(|status| Failure::from(status).code)
    }

    /// Waits until the tenant's only job is as wanted.
    pub(crate) async fn until(&self, tenant: TenantId, wanted: impl Fn(&Job) -> bool) -> Job {
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        loop {
            let jobs = self.jobs(tenant).await;
            assert_eq!(jobs.len(), 1, "{jobs:?}");
            if wanted(&jobs[0]) {
                return jobs[0].clone();
            }
            assert!(tokio::time::Instant::now() < deadline, "after a minute: {jobs:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn until_done(&self, tenant: TenantId) -> Job {
        self.until(tenant, |job| job.status() == JobStatus::Done).await
    }

    /// Lets pauses and holds end, as if their time had come.
    pub(crate) async fn pass_time(&self) {
        self.sql("update workflows.jobs set due_at = now() where status = 'pending'").await;
        self.sql("notify workflows_jobs").await;
    }

    /// Lets pauses end, and nobody's hold: a step that is being carried out stays its runner's.
    pub(crate) async fn pass_pause(&self) {
        let paused = "update workflows.jobs set due_at = now()
                      where status = 'pending' and claim is null";
        self.sql(paused).await;
        self.sql("notify workflows_jobs").await;
    }

    pub(crate) async fn sql(&self, sql: &'static str) {
        sqlx::query(sql).execute(&mut self.database.owner().await).await.unwrap();
    }
}

/// A request of another service.
pub(crate) fn request<T>(tenant: TenantId, message: T) -> Request<T> {
    let caller = Caller::service("test", tenant, Utc::now() + TimeDelta::minutes(5));
    with_caller(Request::new(message), &caller)
}

pub(crate) fn status_changed(
    tenant: TenantId,
    device: DeviceId,
    status: &str,
    revision: i64,
) -> Event {
    let data = DeviceStatusChanged {
        device,
        status: status.to_owned(),
        identity_data: serde_json::Map::from_iter([("mac".to_owned(), "00:01".into())]),
        revision,
        created: DateTime::UNIX_EPOCH,
        check_in: None,
        first_accepted: true,
    };
    event(tenant, device, revision, &data)
}

pub(crate) fn decommissioned(tenant: TenantId, device: DeviceId) -> Event {
    event(tenant, device, 9, &DeviceDecommissioned { device })
}

pub(crate) fn event<T: EventData>(
    tenant: TenantId,
    device: DeviceId,
    revision: i64,
    data: &T,
) -> Event {
    Event {
        id: EventId::mint(),
        tenant,
        entity: Entity { kind: T::ENTITY.to_owned(), id: device.to_string() },
        revision,
        actor: Actor::Anonymous,
        address: None,
        request_id: format!("request-{revision}"),
        traceparent: None,
        time: Utc::now(),
        kind: T::TYPE.to_owned(),
        version: T::VERSION,
        data: serde_json::to_value(data).unwrap(),
    }
}

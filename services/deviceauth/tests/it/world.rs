//! A deviceauth with one or more replicas over a database of its own, and devices that speak
//! to it.

use std::sync::Arc;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::{DateTime, TimeDelta, Utc};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use rota_auth::DeviceClaims;
use rota_bus::LocalBus;
use rota_deviceauth::{Config, Deps, DeviceAuth, SCHEMA};
use rota_proto::{
    accounts::v1::{self as accounts, internal_service_server as accounts_server},
    deviceauth::v1::{
        AuthenticateRequest, Device, GetDeviceRequest, ListDevicesRequest, SetAuthSetStatusRequest,
        Status as DeviceStatus, device_service_client::DeviceServiceClient,
        internal_service_client::InternalServiceClient,
        management_service_client::ManagementServiceClient,
    },
    trust::v1::trust_service_client::TrustServiceClient,
};
use rota_runtime::{Failure, FixedClock, Rpc, Service, Tasks, rpc, with_caller};
use rota_store::Database;
use rota_testkit::TestDatabase;
use rota_types::{Actor, Caller, ErrorCode, Permission, SessionId, TenantId, UserId};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tonic::{Request, Response, Status, service::Routes};

/// One database, one clock, two tenants; the first of them is the default one.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) clock: FixedClock,
    pub(crate) tenant: TenantId,
    pub(crate) other: TenantId,
    pub(crate) config: Config,
}

/// One process of the service.
pub(crate) struct Replica {
    pub(crate) devices: DeviceServiceClient<Rpc>,
    pub(crate) management: ManagementServiceClient<Rpc>,
    pub(crate) internal: InternalServiceClient<Rpc>,
    pub(crate) trust: TrustServiceClient<Rpc>,
    tasks: Tasks,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self {
            database: TestDatabase::new(&[&SCHEMA]).await,
            clock: FixedClock::at(DateTime::from_timestamp(1_800_000_000, 0).unwrap()),
            tenant: TenantId::mint(),
            other: TenantId::mint(),
            config,
        }
    }

    /// A fresh world with its first replica.
    pub(crate) async fn start() -> (Self, Replica) {
        let world = Self::new().await;
        let replica = world.replica().await;
        (world, replica)
    }

    pub(crate) async fn replica(&self) -> Replica {
        self.replica_on(self.database.connect(&SCHEMA).await).await
    }

    /// A replica over a schema that it has connected to already.
    pub(crate) async fn replica_on(&self, db: Database) -> Replica {
        let accounts = Accounts { default: self.tenant, other: self.other };
        let routes = Routes::new(accounts_server::InternalServiceServer::new(accounts));
        let deps = Deps {
            db,
            publisher: Arc::new(LocalBus::new()),
            accounts: rpc::in_process("accounts", routes),
            clock: Arc::new(self.clock.clone()),
        };
        let service = DeviceAuth::new(self.config.clone(), deps).await.unwrap();
        let tasks = Tasks::new();
        service.tasks(&tasks);
        let rpc = rpc::in_process("deviceauth", service.routes());
        Replica {
            devices: DeviceServiceClient::new(rpc.clone()),
            management: ManagementServiceClient::new(rpc.clone()),
            internal: InternalServiceClient::new(rpc.clone()),
            trust: TrustServiceClient::new(rpc),
            tasks,
        }
    }

    /// Looks past every wall.
    pub(crate) async fn owner(&self) -> PgConnection {
        self.database.owner().await
    }

    /// A connection to the same Postgres, but not to this database.
    pub(crate) async fn outside(&self) -> PgConnection {
        let options: PgConnectOptions = self.database.url().expose_secret().parse().unwrap();
        PgConnection::connect_with(&options.database("postgres")).await.unwrap()
    }

    pub(crate) fn manager(&self) -> Caller {
        user(self.tenant, Permission::Manage)
    }

    /// The events in the outbox, the oldest first: entity type and data.
    pub(crate) async fn events(&self) -> Vec<(String, Value)> {
        sqlx::query_as("select kind, data from deviceauth.outbox order by id")
            .fetch_all(&mut self.owner().await)
            .await
            .unwrap()
    }
}

impl Replica {
    /// Sends a device's request; the token, or why there is none.
    pub(crate) async fn authenticate(&self, device: &TestDevice) -> Result<String, Failure> {
        self.send(device.request()).await
    }

    pub(crate) async fn send(&self, request: AuthenticateRequest) -> Result<String, Failure> {
        let request = with_caller(Request::new(request), &anonymous());
        let answer = self.devices.clone().authenticate(request).await;
        Ok(answer.map_err(Failure::from)?.into_inner().token)
    }

    /// All devices that the caller can see.
    pub(crate) async fn list(&self, caller: &Caller) -> Vec<Device> {
        let request = ListDevicesRequest { page: 1, per_page: 500, ..Default::default() };
        let request = with_caller(Request::new(request), caller);
        let answer = self.management.clone().list_devices(request).await.unwrap();
        answer.into_inner().devices
    }

    /// The only device that the caller can see.
    pub(crate) async fn only(&self, caller: &Caller) -> Device {
        let mut devices = self.list(caller).await;
        assert_eq!(devices.len(), 1, "{devices:?}");
        devices.remove(0)
    }

    pub(crate) async fn get(&self, caller: &Caller, id: &str) -> Result<Device, Failure> {
        let request = with_caller(Request::new(GetDeviceRequest { id: id.to_owned() }), caller);
        let answer = self.management.clone().get_device(request).await;
        Ok(answer.map_err(Failure::from)?.into_inner())
    }

    pub(crate) async fn decide(
        &self,
        caller: &Caller,
        device: &str,
        auth_set: &str,
        status: DeviceStatus,
    ) -> Result<(), Failure> {
        let request = SetAuthSetStatusRequest {
            device_id: device.to_owned(),
            auth_set_id: auth_set.to_owned(),
            status: status.into(),
        };
        let request = with_caller(Request::new(request), caller);
        let answer = self.management.clone().set_auth_set_status(request).await;
        answer.map(drop).map_err(Failure::from)
    }

    /// A device's first contact and its acceptance; its id and its auth set's.
    pub(crate) async fn accept(&self, caller: &Caller, device: &TestDevice) -> (String, String) {
        assert_eq!(self.authenticate(device).await.unwrap_err().code, ErrorCode::Unauthenticated);
        let found = self
            .list(caller)
            .await
            .into_iter()
            .find(|found| found.identity_data == device.identity && found.auth_sets.len() == 1);
        let found = found.expect("a first contact makes a device");
        let (id, set) = (found.id, found.auth_sets[0].id.clone());
        self.decide(caller, &id, &set, DeviceStatus::Accepted).await.unwrap();
        (id, set)
    }
}

/// A device with an Ed25519 key.
pub(crate) struct TestDevice {
    pub(crate) identity: String,
    pub(crate) tenant_token: Option<&'static str>,
    pub(crate) key: Ed25519KeyPair,
}

impl TestDevice {
    pub(crate) fn new(mac: &str) -> Self {
        Self { identity: json!({ "mac": mac }).to_string(), tenant_token: None, key: key() }
    }

    /// A device of the second tenant.
    pub(crate) fn of_other(mac: &str) -> Self {
        Self { tenant_token: Some("other"), ..Self::new(mac) }
    }

    /// The same device with a new key.
    pub(crate) fn rekeyed(&self) -> Self {
        Self { identity: self.identity.clone(), tenant_token: self.tenant_token, key: key() }
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = json!({ "id_data": self.identity, "pubkey": self.public_key() });
        if let Some(token) = self.tenant_token {
            body["tenant_token"] = token.into();
        }
        body.to_string().into_bytes()
    }

    pub(crate) fn sign(&self, body: Vec<u8>) -> AuthenticateRequest {
        let signature = STANDARD.encode(self.key.sign(&body));
        AuthenticateRequest { body, signature }
    }

    pub(crate) fn request(&self) -> AuthenticateRequest {
        self.sign(self.body())
    }

    /// PEM (RFC 8410): a fixed head and the raw key.
    pub(crate) fn public_key(&self) -> String {
        let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        let der = [&head, self.key.public_key().as_ref()].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }
}

fn key() -> Ed25519KeyPair {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap()
}

/// A person with one permission.
pub(crate) fn user(tenant: TenantId, permission: Permission) -> Caller {
    let actor = Actor::User {
        id: UserId::mint(),
        session: SessionId::mint(),
        email: "ann@example.com".to_owned(),
    };
    Caller { actor, permissions: vec![permission], ..service(tenant) }
}

pub(crate) fn service(tenant: TenantId) -> Caller {
    Caller::service("test", tenant, Utc::now() + TimeDelta::hours(1))
}

pub(crate) fn anonymous() -> Caller {
    let nobody = service(TenantId(uuid::Uuid::nil()));
    Caller { actor: Actor::Anonymous, permissions: vec![Permission::Public], ..nobody }
}

/// What a token says, its signature unseen.
pub(crate) fn claims(token: &str) -> DeviceClaims {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// The epoch of the second tenant: it was suspended before.
pub(crate) const OTHERS_EPOCH: u64 = 4;

/// An accounts service that knows the tokens `other` and `suspended`, is away for `away`, and
/// has no default tenant for `nobody's`.
struct Accounts {
    default: TenantId,
    other: TenantId,
}

#[tonic::async_trait]
impl accounts_server::InternalService for Accounts {
    async fn resolve_tenant_token(
        &self,
        request: Request<accounts::ResolveTenantTokenRequest>,
    ) -> Result<Response<accounts::ResolveTenantTokenResponse>, Status> {
        assert!(rota_runtime::caller(&request)?.may(Permission::Internal));
        let (tenant, suspended, epoch) = match request.get_ref().tenant_token.as_str() {
            "other" => (self.other, false, OTHERS_EPOCH.cast_signed()),
            "suspended" => (self.other, true, OTHERS_EPOCH.cast_signed()),
            "away" => return Err(Status::unavailable("accounts is away")),
            "nobody's" => return Err(Status::unauthenticated("there is no default tenant")),
            _ => (self.default, false, 0),
        };
        Ok(Response::new(accounts::ResolveTenantTokenResponse {
            tenant_id: tenant.to_string(),
            suspended,
            defaulted: tenant == self.default,
            device_epoch: epoch,
        }))
    }

    async fn bootstrap(
        &self,
        _: Request<accounts::BootstrapRequest>,
    ) -> Result<Response<accounts::BootstrapResponse>, Status> {
        Err(Status::unimplemented("not needed here"))
    }

    async fn create_tenant(
        &self,
        _: Request<accounts::CreateTenantRequest>,
    ) -> Result<Response<accounts::Tenant>, Status> {
        Err(Status::unimplemented("not needed here"))
    }

    async fn create_tenant_user(
        &self,
        _: Request<accounts::CreateTenantUserRequest>,
    ) -> Result<Response<accounts::CreateUserResponse>, Status> {
        Err(Status::unimplemented("not needed here"))
    }

    async fn list_tenants(
        &self,
        _: Request<accounts::ListTenantsRequest>,
    ) -> Result<Response<accounts::ListTenantsResponse>, Status> {
        Err(Status::unimplemented("not needed here"))
    }

    async fn set_tenant_suspended(
        &self,
        _: Request<accounts::SetTenantSuspendedRequest>,
    ) -> Result<Response<accounts::Tenant>, Status> {
        Err(Status::unimplemented("not needed here"))
    }
}

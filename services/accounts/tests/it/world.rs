//! An accounts service with one or more replicas over a database of its own.

use std::{num::NonZeroUsize, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use rota_accounts::{Accounts, Config, Deps, SCHEMA};
use rota_auth::{PasswordCost, UserClaims};
use rota_proto::{
    accounts::v1::{
        BootstrapRequest, CreateTenantRequest, CreateTenantUserRequest, CreateUserRequest,
        GetSelfRequest, LoginRequest, SetTenantSuspendedRequest, Tenant, User,
        internal_service_client::InternalServiceClient,
        management_service_client::ManagementServiceClient,
    },
    trust::v1::trust_service_client::TrustServiceClient,
};
use rota_runtime::{Failure, FixedClock, Rpc, Service, Tasks, rpc, with_caller};
use rota_testkit::TestDatabase;
use rota_types::{Actor, Caller, Permission, TenantId};
use sqlx::PgConnection;
use tonic::Request;
use uuid::Uuid;

pub(crate) const ADMIN: &str = "admin@example.com";
pub(crate) const PASSWORD: &str = "correct horse";

/// One database and one clock.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) clock: FixedClock,
}

/// One process of the service.
pub(crate) struct Replica {
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
        Self {
            database: TestDatabase::new(&[&SCHEMA]).await,
            clock: FixedClock::at(DateTime::from_timestamp(1_800_000_000, 0).unwrap()),
        }
    }

    /// A fresh world with its first replica, the default tenant and its admin.
    pub(crate) async fn start() -> (Self, Replica) {
        let world = Self::new().await;
        let replica = world.replica().await;
        assert!(replica.bootstrap().await.1);
        (world, replica)
    }

    pub(crate) async fn replica(&self) -> Replica {
        // As many at once as the most eager test asks for, whatever the machine.
        let config = Config {
            password_cost: PasswordCost::Minimal,
            password_hashes: NonZeroUsize::new(4),
            ..Config::default()
        };
        let db = self.database.connect(&SCHEMA).await;
        let deps = Deps { db, clock: Arc::new(self.clock.clone()) };
        let service = Accounts::new(config, deps).await.unwrap();
        let tasks = Tasks::new();
        service.tasks(&tasks);
        let rpc = rpc::in_process("accounts", service.routes());
        Replica {
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

    /// What a query counts, past every wall.
    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&mut self.owner().await).await.unwrap()
    }

    /// Whether the sign-in of a token was ended.
    pub(crate) async fn is_revoked(&self, token: &str) -> bool {
        let claims = claims(token);
        let epoch = i64::try_from(claims.epoch).unwrap();
        self.revoked_below(claims.session.uuid()).await.is_some_and(|least| epoch < least)
    }

    /// The least epoch of a subject that is not refused, if any is.
    pub(crate) async fn revoked_below(&self, subject: Uuid) -> Option<i64> {
        sqlx::query_scalar("select epoch from accounts.revocations where subject = $1")
            .bind(subject)
            .fetch_optional(&mut self.owner().await)
            .await
            .unwrap()
    }
}

impl Replica {
    /// Makes the default tenant and its admin; the tenant, and whether it was this call.
    pub(crate) async fn bootstrap(&self) -> (TenantId, bool) {
        let request =
            BootstrapRequest { admin_email: ADMIN.to_owned(), admin_password: PASSWORD.to_owned() };
        let made = self.internal.clone().bootstrap(platform(request)).await.unwrap().into_inner();
        (made.tenant_id.parse().unwrap(), made.created)
    }

    pub(crate) async fn login(&self, email: &str, password: &str) -> Result<String, Failure> {
        self.send(LoginRequest {
            email: email.to_owned(),
            password: password.to_owned(),
            no_expiry: false,
        })
        .await
    }

    pub(crate) async fn send(&self, request: LoginRequest) -> Result<String, Failure> {
        let nobody =
            Caller { actor: Actor::Anonymous, permissions: vec![Permission::Public], ..service() };
        let request = with_caller(Request::new(request), &nobody);
        Ok(self.management.clone().login(request).await?.into_inner().token)
    }

    /// Signs in and becomes that person.
    pub(crate) async fn enter(&self, email: &str) -> Caller {
        caller(&self.login(email, PASSWORD).await.unwrap())
    }

    pub(crate) async fn create_tenant(&self, name: &str) -> Tenant {
        let request = platform(CreateTenantRequest { name: name.to_owned() });
        self.internal.clone().create_tenant(request).await.unwrap().into_inner()
    }

    /// Suspends a tenant, or lets it go on.
    pub(crate) async fn set_suspended(&self, tenant_id: &str, suspended: bool) -> Tenant {
        let tenant_id = tenant_id.to_owned();
        let request = platform(SetTenantSuspendedRequest { tenant_id, suspended });
        self.internal.clone().set_tenant_suspended(request).await.unwrap().into_inner()
    }

    /// Adds a person as the platform's operator.
    pub(crate) async fn settle(&self, tenant: &str, email: &str) -> Result<String, Failure> {
        let user = CreateUserRequest {
            email: email.to_owned(),
            password: PASSWORD.to_owned(),
            roles: Vec::new(),
        };
        let request = CreateTenantUserRequest { tenant_id: tenant.to_owned(), user: Some(user) };
        Ok(self.internal.clone().create_tenant_user(platform(request)).await?.into_inner().id)
    }

    /// Adds a person as `manager`.
    pub(crate) async fn add(
        &self,
        manager: &Caller,
        email: &str,
        roles: &[&str],
    ) -> Result<String, Failure> {
        let request = CreateUserRequest {
            email: email.to_owned(),
            password: PASSWORD.to_owned(),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
        };
        let request = with_caller(Request::new(request), manager);
        Ok(self.management.clone().create_user(request).await?.into_inner().id)
    }

    pub(crate) async fn me(&self, caller: &Caller) -> Result<User, Failure> {
        let request = with_caller(Request::new(GetSelfRequest {}), caller);
        Ok(self.management.clone().get_self(request).await?.into_inner())
    }
}

/// A request of the platform's operator.
pub(crate) fn platform<T>(message: T) -> Request<T> {
    with_caller(Request::new(message), &service())
}

pub(crate) fn service() -> Caller {
    Caller::service("test", TenantId(Uuid::nil()), Utc::now() + TimeDelta::hours(1))
}

/// The caller that the gateway would make of a token.
pub(crate) fn caller(token: &str) -> Caller {
    let claims = claims(token);
    let actor =
        Actor::User { id: claims.user, session: claims.session, email: claims.email.clone() };
    Caller { tenant: claims.tenant, actor, permissions: claims.permissions, ..service() }
}

/// What a token says, its signature unseen.
pub(crate) fn claims(token: &str) -> UserClaims {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

//! Tenants: made once, found by their tokens, walled off from each other.

use rota_proto::accounts::v1::{
    CreateTenantRequest, DeleteUserRequest, GetOwnTenantRequest, GetUserRequest,
    ListTenantsRequest, ListUsersRequest, ResolveTenantTokenRequest, ResolveTenantTokenResponse,
    UpdateUserRequest,
};
use rota_runtime::{Failure, with_caller};
use rota_types::ErrorCode;
use tonic::{Code, Request};

use crate::world::{ADMIN, PASSWORD, Replica, World, claims, platform};

impl Replica {
    async fn resolve(&self, token: &str) -> Result<ResolveTenantTokenResponse, Failure> {
        let request = platform(ResolveTenantTokenRequest { tenant_token: token.to_owned() });
        Ok(self.internal.clone().resolve_tenant_token(request).await?.into_inner())
    }
}

#[tokio::test]
async fn of_replicas_that_bootstrap_at_once_one_does() {
    let world = World::new().await;
    let replicas = futures::future::join_all((0..4).map(|_| world.replica())).await;
    let none = replicas[0].resolve("").await.unwrap_err();
    assert_eq!(none.code, ErrorCode::Unauthenticated);
    let made = futures::future::join_all(replicas.iter().map(Replica::bootstrap)).await;
    assert_eq!(made.iter().filter(|(_, created)| *created).count(), 1);
    assert!(made.iter().all(|(tenant, _)| *tenant == made[0].0));
    assert_eq!(replicas[0].bootstrap().await, (made[0].0, false));
    replicas[0].login(ADMIN, PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_token_names_its_tenant_and_anything_else_the_default_one() {
    let (_world, replica) = World::start().await;
    let (default, _) = replica.bootstrap().await;
    let other = replica.create_tenant("Acme").await;
    let found = replica.resolve(&other.tenant_token).await.unwrap();
    assert_eq!((found.tenant_id, found.defaulted), (other.id.clone(), false));
    let mut forged = other.tenant_token.clone();
    forged.pop();
    for token in ["", "nonsense", &forged] {
        let found = replica.resolve(token).await.unwrap();
        assert_eq!((found.tenant_id, found.defaulted), (default.to_string(), true));
    }
    let admin = replica.enter(ADMIN).await;
    let request = with_caller(Request::new(GetOwnTenantRequest {}), &admin);
    let own = replica.management.clone().get_own_tenant(request).await.unwrap().into_inner();
    let found = replica.resolve(&own.tenant_token).await.unwrap();
    assert_eq!((found.tenant_id, found.defaulted), (default.to_string(), false));
}

#[tokio::test]
async fn each_suspension_ends_the_tokens_of_the_tenants_devices() {
    let (world, replica) = World::start().await;
    let tenant = replica.create_tenant("Acme").await;
    let id: uuid::Uuid = tenant.id.parse().unwrap();
    // What new tokens carry, and below what the gateways refuse them.
    let epochs = async || {
        let resolved = replica.resolve(&tenant.tenant_token).await.unwrap();
        (resolved.suspended, resolved.device_epoch, world.revoked_below(id).await)
    };
    assert_eq!(epochs().await, (false, 0, None));
    replica.set_suspended(&tenant.id, true).await;
    assert_eq!(epochs().await, (true, 1, Some(1)));
    replica.set_suspended(&tenant.id, false).await;
    assert_eq!(epochs().await, (false, 1, Some(1)));
    replica.set_suspended(&tenant.id, true).await;
    assert_eq!(epochs().await, (true, 2, Some(2)));
    // However long tokens of devices live: this service does not know.
    let for_good: bool = sqlx::query_scalar(
        "select expires_at > timestamptz '9000-01-01' from accounts.revocations where subject = $1",
    )
    .bind(id)
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap();
    assert!(for_good);
}

#[tokio::test]
async fn tenants_are_made_and_listed_by_the_operator_alone() {
    let (_world, replica) = World::start().await;
    let tenant = replica.create_tenant("Acme").await;
    let request = ListTenantsRequest { page: 1, per_page: 20 };
    let all = replica.internal.clone().list_tenants(platform(request)).await.unwrap();
    let names: Vec<_> = all.into_inner().tenants.into_iter().map(|tenant| tenant.name).collect();
    assert_eq!(names, ["default", "Acme"]);

    let unnamed = platform(CreateTenantRequest { name: " ".to_owned() });
    let refused = replica.internal.clone().create_tenant(unnamed).await.unwrap_err();
    assert_eq!(Failure::from(refused).code, ErrorCode::Invalid);
    let unknown = uuid::Uuid::new_v4().to_string();
    let refused = replica.settle(&unknown, "x@example.com").await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::NotFound);
    replica.settle(&tenant.id, "ann@acme.example").await.unwrap();
    let token = replica.login("ann@acme.example", PASSWORD).await.unwrap();
    assert_eq!(claims(&token).tenant.to_string(), tenant.id);

    let admin = replica.enter(ADMIN).await;
    let request = with_caller(Request::new(request), &admin);
    let refused = replica.internal.clone().list_tenants(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_tenant_neither_sees_nor_touches_the_people_of_another() {
    let (world, replica) = World::start().await;
    let tenant = replica.create_tenant("Acme").await;
    replica.settle(&tenant.id, "ann@acme.example").await.unwrap();
    let stranger = replica.enter("ann@acme.example").await;
    let token = replica.login(ADMIN, PASSWORD).await.unwrap();
    let id = claims(&token).user.to_string();
    let mut management = replica.management.clone();

    let request = with_caller(Request::new(ListUsersRequest::default()), &stranger);
    let seen = management.list_users(request).await.unwrap().into_inner().users;
    assert_eq!(seen.len(), 1);
    let request = with_caller(Request::new(GetUserRequest { id: id.clone() }), &stranger);
    assert_eq!(management.get_user(request).await.unwrap_err().code(), Code::NotFound);
    let edit = UpdateUserRequest {
        id: id.clone(),
        email: Some("mine@acme.example".to_owned()),
        ..Default::default()
    };
    let request = with_caller(Request::new(edit), &stranger);
    assert_eq!(management.update_user(request).await.unwrap_err().code(), Code::NotFound);
    let request = with_caller(Request::new(DeleteUserRequest { id }), &stranger);
    management.delete_user(request).await.unwrap();
    assert!(!world.is_revoked(&token).await);
    replica.login(ADMIN, PASSWORD).await.unwrap();

    // An address is one person's over all tenants.
    let taken = replica.add(&stranger, ADMIN, &[]).await.unwrap_err();
    assert_eq!(taken.code, ErrorCode::Unprocessable);
}

//! What one tenant has is nothing to another, and nobody does what they may not.

use rota_proto::deviceauth::v1::{
    CountDevicesRequest, DecommissionRequest, DeleteDeviceRequest, DismissAuthSetRequest,
    GetAuthSetStatusRequest, GetDeviceLimitRequest, RevokeTokenRequest, Status as DeviceStatus,
};
use rota_runtime::{Failure, with_caller};
use rota_types::{Actor, AuthSetId, Caller, DeviceId, ErrorCode, Permission};
use tonic::{Code, Request};

use crate::world::{TestDevice, World, anonymous, claims, service, user};

#[tokio::test]
async fn a_tenant_neither_sees_nor_touches_the_devices_of_another() {
    let (world, replica) = World::start().await;
    let owner = world.manager();
    let stranger = user(world.other, Permission::Manage);
    let device = TestDevice::new("a");
    let (id, set) = replica.accept(&owner, &device).await;
    let before = replica.only(&owner).await;

    assert!(replica.list(&stranger).await.is_empty());
    assert_eq!(replica.get(&stranger, &id).await.unwrap_err().code, ErrorCode::NotFound);
    let decided = replica.decide(&stranger, &id, &set, DeviceStatus::Rejected).await;
    assert_eq!(decided.unwrap_err().code, ErrorCode::NotFound);
    let mut management = replica.management.clone();
    let ask = |caller: &Caller| with_caller(Request::new(CountDevicesRequest::default()), caller);
    assert_eq!(management.count_devices(ask(&stranger)).await.unwrap().into_inner().count, 0);
    let (device_id, auth_set_id) = (id.clone(), set.clone());
    let request = GetAuthSetStatusRequest { device_id, auth_set_id };
    let answer = management.get_auth_set_status(with_caller(Request::new(request), &stranger));
    assert_eq!(answer.await.unwrap_err().code(), Code::NotFound);
    let (device_id, auth_set_id) = (id.clone(), set.clone());
    let request = DismissAuthSetRequest { device_id, auth_set_id };
    let answer = management.dismiss_auth_set(with_caller(Request::new(request), &stranger));
    assert_eq!(answer.await.unwrap_err().code(), Code::NotFound);
    let request = DecommissionRequest { device_id: id.clone() };
    let answer = management.decommission(with_caller(Request::new(request), &stranger)).await;
    assert_eq!(answer.unwrap_err().code(), Code::NotFound);
    let request = RevokeTokenRequest { token_id: set.clone() };
    let answer = management.revoke_token(with_caller(Request::new(request), &stranger)).await;
    assert_eq!(answer.unwrap_err().code(), Code::NotFound);
    let request = DeleteDeviceRequest { device_id: id.clone() };
    let request = with_caller(Request::new(request), &service(world.other));
    replica.internal.clone().delete_device(request).await.unwrap();

    assert_eq!(replica.only(&owner).await, before);
}

#[tokio::test]
async fn one_identity_and_key_are_two_devices_in_two_tenants() {
    let (world, replica) = World::start().await;
    let device = TestDevice::new("a");
    let (id, _) = replica.accept(&world.manager(), &device).await;
    let moved = TestDevice { tenant_token: Some("other"), ..device };
    // The hot read names the tenant: the acceptance next door opens nothing here.
    let refused = replica.authenticate(&moved).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unauthenticated);
    let there = replica.only(&user(world.other, Permission::Read)).await;
    assert_ne!(there.id, id);
    assert_eq!(there.status(), DeviceStatus::Pending);
    let at_home = TestDevice { tenant_token: None, ..moved };
    let token = replica.authenticate(&at_home).await.unwrap();
    assert_eq!(claims(&token).tenant, world.tenant);
}

#[tokio::test]
async fn callers_do_what_their_permissions_allow() {
    let (world, replica) = World::start().await;
    let (id, set) = replica.accept(&world.manager(), &TestDevice::new("a")).await;
    let reader = user(world.tenant, Permission::Read);
    assert_eq!(replica.list(&reader).await.len(), 1);
    let decided = replica.decide(&reader, &id, &set, DeviceStatus::Rejected).await;
    assert_eq!(decided.unwrap_err().code, ErrorCode::Forbidden);

    let actor = Actor::Device { id: DeviceId::mint(), auth_set: AuthSetId::mint() };
    let device = Caller { actor, ..user(world.tenant, Permission::Device) };
    for caller in [&device, &anonymous()] {
        assert_eq!(replica.get(caller, &id).await.unwrap_err().code, ErrorCode::Forbidden);
        let request = with_caller(Request::new(GetDeviceLimitRequest {}), caller);
        let refused = replica.management.clone().get_device_limit(request).await.unwrap_err();
        assert_eq!(Failure::from(refused).code, ErrorCode::Forbidden);
    }
    let request = DeleteDeviceRequest { device_id: id };
    let request = with_caller(Request::new(request), &world.manager());
    let refused = replica.internal.clone().delete_device(request).await.unwrap_err();
    assert_eq!(Failure::from(refused).code, ErrorCode::Forbidden);
    let unstated = replica.management.clone().get_device_limit(GetDeviceLimitRequest {}).await;
    assert_eq!(unstated.unwrap_err().code(), Code::Unauthenticated);
}

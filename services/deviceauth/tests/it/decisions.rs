//! What people decide about devices, and what follows.

use rota_proto::deviceauth::v1::{
    DecommissionRequest, DeleteDeviceRequest, DismissAuthSetRequest, GetAuthSetStatusRequest,
    GetDeviceLimitRequest, PreauthorizeRequest, RevokeTokenRequest, SetDeviceLimitRequest,
    Status as DeviceStatus,
};
use rota_runtime::{Failure, with_caller};
use rota_types::{Caller, ErrorCode};
use serde_json::json;
use tonic::Request;

use crate::world::{Replica, TestDevice, World, claims, service};

impl Replica {
    async fn preauthorize(
        &self,
        caller: &Caller,
        device: &TestDevice,
        force: bool,
    ) -> Result<String, Failure> {
        let request = PreauthorizeRequest {
            identity_data: device.identity.clone(),
            public_key: device.public_key(),
            force,
        };
        let request = with_caller(Request::new(request), caller);
        let answer = self.management.clone().preauthorize(request).await;
        Ok(answer.map_err(Failure::from)?.into_inner().device_id)
    }

    async fn dismiss(&self, caller: &Caller, device: &str, set: &str) -> Result<(), Failure> {
        let request =
            DismissAuthSetRequest { device_id: device.to_owned(), auth_set_id: set.to_owned() };
        let request = with_caller(Request::new(request), caller);
        Ok(self.management.clone().dismiss_auth_set(request).await.map(drop)?)
    }

    async fn decommission(&self, caller: &Caller, device: &str) -> Result<(), Failure> {
        let request = DecommissionRequest { device_id: device.to_owned() };
        let request = with_caller(Request::new(request), caller);
        Ok(self.management.clone().decommission(request).await.map(drop)?)
    }

    async fn delete(&self, caller: &Caller, device: &str) -> Result<(), Failure> {
        let request = DeleteDeviceRequest { device_id: device.to_owned() };
        let request = with_caller(Request::new(request), caller);
        Ok(self.internal.clone().delete_device(request).await.map(drop)?)
    }

    async fn revoke(&self, caller: &Caller, token: &str) -> Result<(), Failure> {
        let request = RevokeTokenRequest { token_id: token.to_owned() };
        let request = with_caller(Request::new(request), caller);
        Ok(self.management.clone().revoke_token(request).await.map(drop)?)
    }

    async fn set_limit(&self, caller: &Caller, limit: i64) -> Result<(), Failure> {
        let request = with_caller(Request::new(SetDeviceLimitRequest { limit }), caller);
        Ok(self.internal.clone().set_device_limit(request).await.map(drop)?)
    }

    async fn limit(&self, caller: &Caller) -> i64 {
        let request = with_caller(Request::new(GetDeviceLimitRequest {}), caller);
        self.management.clone().get_device_limit(request).await.unwrap().into_inner().limit
    }
}

/// The epoch below which tokens of an auth set are refused, if any are.
async fn revoked(world: &World, auth_set: &str) -> Option<i64> {
    sqlx::query_scalar("select epoch from deviceauth.revocations where subject = $1::uuid")
        .bind(auth_set)
        .fetch_optional(&mut world.owner().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn auth_sets_move_as_the_table_says() {
    let (world, replica) = World::start().await;
    let manager = world.manager();
    let device = TestDevice::new("a");
    let (id, set) = replica.accept(&manager, &device).await;
    let decide = async |status| replica.decide(&manager, &id, &set, status).await;
    replica.authenticate(&device).await.unwrap();

    decide(DeviceStatus::Accepted).await.unwrap();
    assert_eq!(revoked(&world, &set).await, None);
    decide(DeviceStatus::Rejected).await.unwrap();
    assert_eq!(revoked(&world, &set).await, Some(2));
    decide(DeviceStatus::Pending).await.unwrap();
    assert_eq!(decide(DeviceStatus::Preauthorized).await.unwrap_err().code, ErrorCode::Invalid);
    assert_eq!(decide(DeviceStatus::Noauth).await.unwrap_err().code, ErrorCode::Invalid);
    assert_eq!(decide(DeviceStatus::Unspecified).await.unwrap_err().code, ErrorCode::Invalid);
    decide(DeviceStatus::Accepted).await.unwrap();
    assert_eq!(claims(&replica.authenticate(&device).await.unwrap()).epoch, 2);
    decide(DeviceStatus::Pending).await.unwrap();
    assert_eq!(revoked(&world, &set).await, Some(3));
    assert_eq!(replica.only(&manager).await.status(), DeviceStatus::Pending);
}

#[tokio::test]
async fn auth_sets_that_are_not_there_are_told_from_those_of_others() {
    let (world, replica) = World::start().await;
    let manager = world.manager();
    let (first, first_set) = replica.accept(&manager, &TestDevice::new("a")).await;
    let (second, _) = replica.accept(&manager, &TestDevice::new("b")).await;
    let unknown = uuid::Uuid::new_v4().to_string();
    let code = async |device: &str, set: &str| {
        replica.decide(&manager, device, set, DeviceStatus::Rejected).await.unwrap_err().code
    };
    assert_eq!(code(&first, &unknown).await, ErrorCode::NotFound);
    assert_eq!(code(&first, "foo").await, ErrorCode::NotFound);
    assert_eq!(code(&unknown, &first_set).await, ErrorCode::NotFound);
    assert_eq!(code("foo", &first_set).await, ErrorCode::NotFound);
    assert_eq!(code(&second, &first_set).await, ErrorCode::Invalid);

    let status = async |device: &str, set: &str| {
        let request =
            GetAuthSetStatusRequest { device_id: device.to_owned(), auth_set_id: set.to_owned() };
        let request = with_caller(Request::new(request), &manager);
        let answer = replica.management.clone().get_auth_set_status(request).await;
        answer.map(|answer| answer.into_inner().status()).map_err(|it| Failure::from(it).code)
    };
    assert_eq!(status(&first, &first_set).await, Ok(DeviceStatus::Accepted));
    assert_eq!(status(&second, &first_set).await, Err(ErrorCode::NotFound));
    assert_eq!(
        replica.dismiss(&manager, &second, &first_set).await.unwrap_err().code,
        ErrorCode::NotFound
    );
}

#[tokio::test]
async fn a_new_key_takes_over_and_the_old_tokens_die() {
    let (world, replica) = World::start().await;
    let manager = world.manager();
    let device = TestDevice::new("a");
    let (id, old) = replica.accept(&manager, &device).await;
    let rekeyed = device.rekeyed();
    replica.authenticate(&rekeyed).await.unwrap_err();
    replica.authenticate(&device).await.expect("the accepted key keeps working");

    let sets = replica.only(&manager).await.auth_sets;
    let new = sets.iter().find(|set| set.id != old).unwrap();
    replica.decide(&manager, &id, &new.id, DeviceStatus::Accepted).await.unwrap();
    assert_eq!(revoked(&world, &old).await, Some(2));
    assert_eq!(replica.authenticate(&device).await.unwrap_err().code, ErrorCode::Unauthenticated);
    replica.authenticate(&rekeyed).await.unwrap();
    let statuses: Vec<_> = replica
        .only(&manager)
        .await
        .auth_sets
        .iter()
        .map(|set| (set.id == old, set.status()))
        .collect();
    assert_eq!(statuses, [(true, DeviceStatus::Rejected), (false, DeviceStatus::Accepted)]);
}

#[tokio::test]
async fn an_announced_device_is_accepted_when_it_comes() {
    let (world, replica) = World::start().await;
    let manager = world.manager();
    let device = TestDevice::new("a");
    let id = replica.preauthorize(&manager, &device, false).await.unwrap();
    let announced = replica.only(&manager).await;
    assert_eq!((announced.id.as_str(), announced.status()), (&*id, DeviceStatus::Preauthorized));
    let set = &announced.auth_sets[0].id;
    let by_hand = replica.decide(&manager, &id, set, DeviceStatus::Accepted).await;
    assert_eq!(by_hand.unwrap_err().code, ErrorCode::Invalid);

    let known = replica.preauthorize(&manager, &device, false).await.unwrap_err();
    assert_eq!(
        (known.code, known.metadata.get("device_id")),
        (ErrorCode::AlreadyExists, Some(&id))
    );

    assert_eq!(claims(&replica.authenticate(&device).await.unwrap()).device.to_string(), id);
    assert_eq!(replica.only(&manager).await.status(), DeviceStatus::Accepted);

    // A forced announcement of a new key leaves the device accepted until the key comes.
    let rekeyed = device.rekeyed();
    assert_eq!(replica.preauthorize(&manager, &rekeyed, true).await.unwrap(), id);
    replica.authenticate(&device).await.unwrap();
    replica.authenticate(&rekeyed).await.unwrap();
    assert_eq!(revoked(&world, set).await, Some(2));
    assert_eq!(replica.authenticate(&device).await.unwrap_err().code, ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn what_cannot_be_announced_is_refused() {
    let (world, replica) = World::start().await;
    let manager = world.manager();
    for identity in ["", "mac", "[1]", "\"x\""] {
        let device = TestDevice { identity: identity.to_owned(), ..TestDevice::new("a") };
        let refused = replica.preauthorize(&manager, &device, false).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Invalid, "{identity}");
    }
    let request = PreauthorizeRequest {
        identity_data: json!({ "mac": "a" }).to_string(),
        public_key: "not a key".to_owned(),
        force: false,
    };
    let request = with_caller(Request::new(request), &manager);
    let refused = replica.management.clone().preauthorize(request).await.unwrap_err();
    assert_eq!(Failure::from(refused).code, ErrorCode::Invalid);
}

#[tokio::test]
async fn dismissed_keys_are_forgotten() {
    let (world, replica) = World::start().await;
    let manager = world.manager();
    let device = TestDevice::new("a");
    let (id, set) = replica.accept(&manager, &device).await;
    replica.dismiss(&manager, &id, &set).await.unwrap();
    assert_eq!(revoked(&world, &set).await, Some(2));
    assert_eq!(replica.only(&manager).await.status(), DeviceStatus::Noauth);
    replica.authenticate(&device).await.unwrap_err();
    let again = replica.only(&manager).await;
    assert_eq!((again.id.as_str(), again.status()), (&*id, DeviceStatus::Pending));
    assert_ne!(again.auth_sets[0].id, set);

    // A device that was only ever announced vanishes with its key.
    let announced = TestDevice::new("b");
    let id = replica.preauthorize(&manager, &announced, false).await.unwrap();
    let set = replica.get(&manager, &id).await.unwrap().auth_sets[0].id.clone();
    replica.dismiss(&manager, &id, &set).await.unwrap();
    assert_eq!(replica.get(&manager, &id).await.unwrap_err().code, ErrorCode::NotFound);
    let (kind, data) = world.events().await.pop().unwrap();
    assert_eq!((kind.as_str(), data), ("decommissioned", json!({ "device": id })));
}

#[tokio::test]
async fn a_decommissioned_device_is_shut_out_and_may_come_back_as_new() {
    let (world, replica) = World::start().await;
    let manager = world.manager();
    let internal = service(world.tenant);
    let device = TestDevice::new("a");
    let (id, set) = replica.accept(&manager, &device).await;
    replica.authenticate(&device).await.unwrap();
    let early = replica.delete(&internal, &id).await.unwrap_err();
    assert_eq!(early.code, ErrorCode::Conflict);

    replica.decommission(&manager, &id).await.unwrap();
    replica.decommission(&manager, &id).await.unwrap();
    assert_eq!(revoked(&world, &set).await, Some(2));
    assert!(replica.only(&manager).await.decommissioning);
    assert_eq!(replica.authenticate(&device).await.unwrap_err().code, ErrorCode::Unauthenticated);
    let rekeyed = replica.authenticate(&device.rekeyed()).await.unwrap_err();
    assert_eq!(rekeyed.code, ErrorCode::Unauthenticated);
    let decided = replica.decide(&manager, &id, &set, DeviceStatus::Rejected).await;
    assert_eq!(decided.unwrap_err().code, ErrorCode::Invalid);
    let told = world.events().await.into_iter().filter(|(kind, _)| kind == "decommissioned");
    assert_eq!(told.count(), 1);

    replica.delete(&internal, &id).await.unwrap();
    replica.delete(&internal, &id).await.unwrap();
    assert_eq!(replica.get(&manager, &id).await.unwrap_err().code, ErrorCode::NotFound);
    replica.authenticate(&device).await.unwrap_err();
    let back = replica.only(&manager).await;
    assert_ne!(back.id, id);
    assert_eq!(back.status(), DeviceStatus::Pending);

    for unknown in ["foo", &id] {
        let refused = replica.decommission(&manager, unknown).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::NotFound);
    }
}

#[tokio::test]
async fn a_revoked_token_is_replaced_by_one_of_a_new_epoch() {
    let (world, replica) = World::start().await;
    let manager = world.manager();
    let device = TestDevice::new("a");
    let (id, set) = replica.accept(&manager, &device).await;
    let before = claims(&replica.authenticate(&device).await.unwrap());
    let events = world.events().await.len();
    replica.revoke(&manager, &set).await.unwrap();
    assert_eq!(revoked(&world, &set).await, Some(2));
    let after = claims(&replica.authenticate(&device).await.unwrap());
    assert_eq!((before.epoch, after.epoch), (1, 2));
    assert_eq!(world.events().await.len(), events);

    replica.decide(&manager, &id, &set, DeviceStatus::Rejected).await.unwrap();
    for unknown in [&set, "foo", &uuid::Uuid::new_v4().to_string()] {
        let refused = replica.revoke(&manager, unknown).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::NotFound);
    }
}

#[tokio::test]
async fn the_limit_counts_accepted_devices() {
    let (world, replica) = World::start().await;
    let (manager, internal) = (world.manager(), service(world.tenant));
    assert_eq!(replica.limit(&manager).await, -1);
    let device = TestDevice::new("a");
    let (id, _) = replica.accept(&manager, &device).await;
    replica.set_limit(&internal, 1).await.unwrap();
    assert_eq!(replica.limit(&manager).await, 1);

    let second = TestDevice::new("b");
    replica.authenticate(&second).await.unwrap_err();
    let waiting = replica.list(&manager).await.into_iter().find(|found| found.id != id).unwrap();
    let set = &waiting.auth_sets[0].id;
    let full = replica.decide(&manager, &waiting.id, set, DeviceStatus::Accepted).await;
    assert_eq!(full.unwrap_err().code, ErrorCode::Unprocessable);
    let announced = TestDevice::new("c");
    replica.preauthorize(&manager, &announced, false).await.unwrap();
    let full = replica.authenticate(&announced).await.unwrap_err();
    assert_eq!(full.code, ErrorCode::Unauthenticated);

    // A new key of a device that has its place takes no other.
    let rekeyed = device.rekeyed();
    replica.preauthorize(&manager, &rekeyed, true).await.unwrap();
    replica.authenticate(&rekeyed).await.unwrap();

    replica.decommission(&manager, &id).await.unwrap();
    replica.authenticate(&announced).await.expect("a place has become free");
    replica.set_limit(&internal, -1).await.unwrap();
    replica.decide(&manager, &waiting.id, set, DeviceStatus::Accepted).await.unwrap();
    assert_eq!(replica.limit(&manager).await, -1);
    assert_eq!(replica.set_limit(&internal, -2).await.unwrap_err().code, ErrorCode::Invalid);
    assert_eq!(replica.set_limit(&manager, 5).await.unwrap_err().code, ErrorCode::Forbidden);
}

#[tokio::test]
async fn acceptances_at_once_never_exceed_the_limit() {
    let world = World::new().await;
    let replicas = [world.replica().await, world.replica().await];
    let manager = world.manager();
    for number in 0..12 {
        replicas[0].authenticate(&TestDevice::new(&number.to_string())).await.unwrap_err();
    }
    replicas[0].set_limit(&service(world.tenant), 5).await.unwrap();
    let waiting = replicas[0].list(&manager).await;
    let decisions = waiting.iter().enumerate().map(|(turn, device)| {
        let set = &device.auth_sets[0].id;
        replicas[turn % 2].decide(&manager, &device.id, set, DeviceStatus::Accepted)
    });
    let decided = futures::future::join_all(decisions).await;
    assert_eq!(decided.iter().filter(|decided| decided.is_ok()).count(), 5);
    let refused = decided.into_iter().filter_map(Result::err);
    assert!(refused.map(|failure| failure.code).all(|code| code == ErrorCode::Unprocessable));
    let accepted = replicas[0].list(&manager).await;
    let accepted = accepted.iter().filter(|device| device.status() == DeviceStatus::Accepted);
    assert_eq!(accepted.count(), 5);
}

#[tokio::test]
async fn every_change_is_told_once_in_its_order() {
    let (world, replica) = World::start().await;
    let manager = world.manager();
    let (id, set) = replica.accept(&manager, &TestDevice::new("a")).await;
    for status in [DeviceStatus::Rejected, DeviceStatus::Accepted, DeviceStatus::Accepted] {
        replica.decide(&manager, &id, &set, status).await.unwrap();
    }
    let events = world.events().await;
    let told: Vec<_> = events
        .iter()
        .map(|(kind, data)| {
            assert_eq!((kind.as_str(), data["device"].as_str()), ("status_changed", Some(&*id)));
            assert_eq!(data["identity_data"], json!({ "mac": "a" }));
            let status = data["status"].as_str().unwrap();
            (status, data["revision"].as_i64().unwrap(), data["first_accepted"].as_bool().unwrap())
        })
        .collect();
    let expected = [
        ("pending", 1, false),
        ("accepted", 2, true),
        ("rejected", 3, false),
        ("accepted", 4, false),
    ];
    assert_eq!(told, expected);
}

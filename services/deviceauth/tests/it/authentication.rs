//! Devices ask for tokens.

use chrono::TimeDelta;
use rota_deviceauth::Config;
use rota_proto::deviceauth::v1::{AuthenticateRequest, Status as DeviceStatus};
use rota_types::{ErrorCode, Permission};
use serde_json::json;

use crate::world::{OTHERS_EPOCH, TestDevice, World, claims, service, user};

#[tokio::test]
async fn a_first_contact_waits_and_an_accepted_device_gets_a_token() {
    let (world, replica) = World::start().await;
    let manager = world.manager();
    let device = TestDevice::new("a");
    let refused = replica.authenticate(&device).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unauthenticated);

    let pending = replica.only(&manager).await;
    assert_eq!(pending.status(), DeviceStatus::Pending);
    assert_eq!(pending.identity_data, r#"{"mac":"a"}"#);
    assert_eq!(pending.auth_sets.len(), 1);
    let set = &pending.auth_sets[0];
    assert_eq!(
        (set.status(), set.device_id.as_str()),
        (DeviceStatus::Pending, pending.id.as_str())
    );
    assert_eq!(pending.check_in, None);

    replica.decide(&manager, &pending.id, &set.id, DeviceStatus::Accepted).await.unwrap();
    let token = replica.authenticate(&device).await.unwrap();
    let claims = claims(&token);
    assert_eq!(claims.device.to_string(), pending.id);
    assert_eq!(claims.auth_set.to_string(), set.id);
    assert_eq!((claims.tenant, claims.iss.as_str()), (world.tenant, "Mender"));
    assert_eq!(claims.exp - claims.iat, 86_400);
    assert!(replica.only(&manager).await.check_in.is_some());
}

#[tokio::test]
async fn what_is_malformed_unsigned_or_forged_changes_nothing() {
    let (world, replica) = World::start().await;
    let device = TestDevice::new("a");
    let code = async |request| replica.send(request).await.unwrap_err().code;

    for body in ["", "nonsense", "[]", "{}", r#"{"id_data":"mac=a","pubkey":"x"}"#] {
        assert_eq!(code(device.sign(body.into())).await, ErrorCode::Invalid, "{body}");
    }
    let bad_key = json!({ "id_data": device.identity, "pubkey": "no PEM" }).to_string();
    assert_eq!(code(device.sign(bad_key.into())).await, ErrorCode::Invalid);
    let nul = json!({ "id_data": "{\"a\":\"\\u0000\"}", "pubkey": device.public_key() });
    assert_eq!(code(device.sign(nul.to_string().into())).await, ErrorCode::Invalid);
    let long = AuthenticateRequest { body: vec![b' '; 100_000], signature: "x".to_owned() };
    assert_eq!(code(long).await, ErrorCode::TooLarge);

    let unsigned = AuthenticateRequest { signature: String::new(), ..device.request() };
    assert_eq!(code(unsigned).await, ErrorCode::Invalid);
    for signature in ["!!!", "AAAA"] {
        let forged = AuthenticateRequest { signature: signature.to_owned(), ..device.request() };
        assert_eq!(code(forged).await, ErrorCode::Unauthenticated);
    }
    let of_another = TestDevice::new("b").sign(device.body());
    assert_eq!(code(of_another).await, ErrorCode::Unauthenticated);
    assert!(replica.list(&world.manager()).await.is_empty());
}

#[tokio::test]
async fn a_body_is_read_as_leniently_as_mender_reads_it() {
    let (world, replica) = World::start().await;
    let device = TestDevice::new("a");
    let body = json!({
        "ID_DATA": "{ \"mac\" : \"a\" }",
        "PubKey": device.public_key(),
        "tier": "micro",
        "unknown": [1],
        "tenant_token": null,
    });
    let refused = replica.send(device.sign(body.to_string().into())).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unauthenticated);
    // The same identity and key in other words are the same auth set.
    replica.authenticate(&device).await.unwrap_err();
    assert_eq!(replica.only(&world.manager()).await.auth_sets.len(), 1);
}

#[tokio::test]
async fn a_device_belongs_to_the_tenant_that_its_token_names() {
    let (world, replica) = World::start().await;
    replica.authenticate(&TestDevice::new("a")).await.unwrap_err();
    replica.authenticate(&TestDevice::of_other("a")).await.unwrap_err();
    let foreign = TestDevice { tenant_token: Some("foreign"), ..TestDevice::new("b") };
    replica.authenticate(&foreign).await.unwrap_err();
    assert_eq!(replica.list(&service(world.tenant)).await.len(), 2);
    assert_eq!(replica.list(&service(world.other)).await.len(), 1);

    let suspended = TestDevice { tenant_token: Some("suspended"), ..TestDevice::new("c") };
    let refused = replica.authenticate(&suspended).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unauthenticated);
    assert_eq!(refused.message, "Account suspended");
    let unlucky = TestDevice { tenant_token: Some("away"), ..TestDevice::new("d") };
    let busy = replica.authenticate(&unlucky).await.unwrap_err();
    assert_eq!(busy.code, ErrorCode::Unavailable);
    assert!(busy.retry_after_seconds().is_some());
    let stray = TestDevice { tenant_token: Some("nobody's"), ..TestDevice::new("e") };
    let refused = replica.authenticate(&stray).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unauthenticated);
    assert_eq!(replica.list(&service(world.other)).await.len(), 1);
}

#[tokio::test]
async fn a_token_carries_the_epoch_of_its_tenant() {
    let (world, replica) = World::start().await;
    let manager = user(world.other, Permission::Manage);
    for (manager, device, epoch) in [
        (world.manager(), TestDevice::new("a"), 0),
        (manager, TestDevice::of_other("a"), OTHERS_EPOCH),
    ] {
        replica.accept(&manager, &device).await;
        let token = replica.authenticate(&device).await.unwrap();
        assert_eq!((claims(&token).tenant, claims(&token).tenant_epoch), (manager.tenant, epoch));
    }
}

#[tokio::test]
async fn a_device_that_waits_or_was_rejected_costs_no_write() {
    let (world, replica) = World::start().await;
    let manager = world.manager();
    let device = TestDevice::new("a");
    replica.authenticate(&device).await.unwrap_err();
    let written = async || -> (i64, i64, i64) {
        sqlx::query_as(
            "select (select sum(xmin::text::bigint)::bigint from deviceauth.devices),
                    (select sum(xmin::text::bigint)::bigint from deviceauth.auth_sets),
                    (select count(*) from deviceauth.outbox)",
        )
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap()
    };
    let before = written().await;
    replica.authenticate(&device).await.unwrap_err();
    assert_eq!(written().await, before);

    let waiting = replica.only(&manager).await;
    let set = &waiting.auth_sets[0].id;
    replica.decide(&manager, &waiting.id, set, DeviceStatus::Rejected).await.unwrap();
    let before = written().await;
    let refused = replica.authenticate(&device).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unauthenticated);
    assert_eq!(written().await, before);
    assert_eq!(replica.only(&manager).await.status(), DeviceStatus::Rejected);
}

#[tokio::test]
async fn a_check_in_is_noted_once_an_hour_and_makes_no_event() {
    let (world, replica) = World::start().await;
    let manager = world.manager();
    let device = TestDevice::new("a");
    replica.accept(&manager, &device).await;
    let events = world.events().await.len();
    let check_in = async || replica.only(&manager).await.check_in.unwrap().seconds;

    replica.authenticate(&device).await.unwrap();
    let first = check_in().await;
    world.clock.advance(TimeDelta::minutes(59));
    replica.authenticate(&device).await.unwrap();
    assert_eq!(check_in().await, first);
    world.clock.advance(TimeDelta::minutes(1));
    replica.authenticate(&device).await.unwrap();
    assert_eq!(check_in().await, first + 3600);
    assert_eq!(world.events().await.len(), events);
}

#[tokio::test]
async fn of_many_first_contacts_at_once_there_comes_one_device() {
    let world = World::new().await;
    let replicas = [world.replica().await, world.replica().await];
    let device = TestDevice::new("a");
    let contacts = (0..16).map(|turn| replicas[turn % 2].authenticate(&device));
    for answer in futures::future::join_all(contacts).await {
        assert_eq!(answer.unwrap_err().code, ErrorCode::Unauthenticated);
    }
    let found = replicas[0].only(&world.manager()).await;
    assert_eq!(found.auth_sets.len(), 1);
    assert_eq!(world.events().await.len(), 1);
}

#[tokio::test]
async fn several_new_keys_at_once_wait_side_by_side() {
    let (world, replica) = World::start().await;
    let device = TestDevice::new("a");
    let keys: Vec<_> = (0..8).map(|_| device.rekeyed()).collect();
    let contacts = keys.iter().map(|device| replica.authenticate(device));
    for answer in futures::future::join_all(contacts).await {
        assert_eq!(answer.unwrap_err().code, ErrorCode::Unauthenticated);
    }
    assert_eq!(replica.only(&world.manager()).await.auth_sets.len(), 8);
}

#[tokio::test]
async fn a_tenant_that_is_full_of_waiting_devices_sends_new_ones_away() {
    let world = World::with(Config { max_pending_devices: 2, ..Config::default() }).await;
    let replica = world.replica().await;
    let first = TestDevice::new("a");
    for device in [&first, &TestDevice::new("b")] {
        let refused = replica.authenticate(device).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Unauthenticated);
    }
    let busy = replica.authenticate(&TestDevice::new("c")).await.unwrap_err();
    assert_eq!(busy.code, ErrorCode::TooMany);
    assert!(busy.retry_after_seconds().is_some());
    // Who waits already is not sent away, nor is another tenant's device.
    assert_eq!(replica.authenticate(&first).await.unwrap_err().code, ErrorCode::Unauthenticated);
    let other = replica.authenticate(&TestDevice::of_other("c")).await.unwrap_err();
    assert_eq!(other.code, ErrorCode::Unauthenticated);
    assert_eq!(replica.list(&world.manager()).await.len(), 2);
}

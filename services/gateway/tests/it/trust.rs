//! Tokens that are withdrawn, and what is said when nobody knows.

use axum::http::{Request, StatusCode, request::Builder};
use rota_auth::DeviceClaims;
use rota_proto::deployments::v1::NextResponse;
use rota_types::{Actor, Permission};

use crate::door::{Door, Sent, bearing, device, person, until};

const NEXT: &str = "rota.deployments.v1.DeviceService/Next";

fn poll() -> Builder {
    Request::get(
        "/api/devices/v1/deployments/device/deployments/next?device_type=t&artifact_name=a",
    )
}

async fn status(door: &Door, token: &str) -> StatusCode {
    door.send(bearing(poll(), token, Sent::Nothing)).await.status
}

#[tokio::test]
async fn the_services_are_told_who_calls() {
    let door = Door::open().await;
    door.deployments.answers(NEXT, NextResponse::default());
    let claims = device();
    let request = poll().header("X-MEN-RequestID", "abc");
    let token = door.devices.device(&claims);
    door.send(bearing(request, &token, Sent::Nothing)).await.expect(204);
    let caller = door.deployments.last(NEXT).caller;
    assert_eq!(caller.tenant, claims.tenant);
    assert_eq!(caller.actor, Actor::Device { id: claims.device, auth_set: claims.auth_set });
    assert_eq!(caller.permissions, [Permission::Device]);
    assert_eq!(caller.request_id, "abc");
    assert_eq!(caller.address.as_deref(), Some("192.0.2.1"));
}

#[tokio::test]
async fn a_revoked_token_is_refused_and_a_later_one_is_not() {
    let door = Door::open().await;
    door.deployments.answers(NEXT, NextResponse::default());
    let mut claims = device();
    let token = door.devices.device(&claims);
    assert_eq!(status(&door, &token).await, StatusCode::NO_CONTENT);
    door.devices.revoke(claims.auth_set.uuid(), 2);
    until(async || status(&door, &token).await == StatusCode::UNAUTHORIZED).await;
    claims.epoch = 2;
    let renewed = door.devices.device(&claims);
    assert_eq!(status(&door, &renewed).await, StatusCode::NO_CONTENT);
    let other = door.devices.device(&device());
    assert_eq!(status(&door, &other).await, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_suspension_refuses_the_tokens_of_every_device_of_the_tenant() {
    let door = Door::open().await;
    door.deployments.answers(NEXT, NextResponse::default());
    let mut first = device();
    let second = DeviceClaims { tenant: first.tenant, ..device() };
    let tokens = [&first, &second].map(|claims| door.devices.device(claims));
    let other = door.devices.device(&device());
    for token in [&tokens[0], &tokens[1], &other] {
        assert_eq!(status(&door, token).await, StatusCode::NO_CONTENT);
    }
    door.people.revoke(first.tenant.uuid(), 1);
    for token in &tokens {
        until(async || status(&door, token).await == StatusCode::UNAUTHORIZED).await;
    }
    assert_eq!(status(&door, &other).await, StatusCode::NO_CONTENT);
    // Those that the tenant's devices get when it goes on.
    first.tenant_epoch = 1;
    let renewed = door.devices.device(&first);
    assert_eq!(status(&door, &renewed).await, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn whether_a_tenant_is_suspended_is_not_guessed() {
    let door = Door::open().await;
    door.deployments.answers(NEXT, NextResponse::default());
    let token = door.devices.device(&device());
    door.people.fall_silent();
    until(async || status(&door, &token).await == StatusCode::SERVICE_UNAVAILABLE).await;
    door.people.speak();
    until(async || status(&door, &token).await == StatusCode::NO_CONTENT).await;
}

#[tokio::test]
async fn silence_is_503_with_retry_after_and_never_401() {
    let door = Door::open().await;
    door.deployments.answers(NEXT, NextResponse::default());
    let token = door.devices.device(&device());
    door.devices.fall_silent();
    until(async || match status(&door, &token).await {
        StatusCode::NO_CONTENT => false,
        status => {
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            true
        }
    })
    .await;
    let answer = door.send(bearing(poll(), &token, Sent::Nothing)).await.expect(503);
    assert_eq!(answer.header("retry-after"), "1");
    // What is no token at all is known to be none; and people are another issuer's business.
    assert_eq!(status(&door, "nonsense").await, StatusCode::UNAUTHORIZED);
    let me = Request::get("/api/management/v1/useradm/users/me");
    let token_of_person = door.people.person(&person(Permission::Read));
    let answer = door.send(bearing(me, &token_of_person, Sent::Nothing)).await;
    assert_ne!(answer.status, StatusCode::SERVICE_UNAVAILABLE);

    door.devices.speak();
    until(async || status(&door, &token).await == StatusCode::NO_CONTENT).await;
}

#[tokio::test]
async fn before_anything_was_heard_nobody_knows() {
    let door = Door::build(&[]);
    let token = door.devices.device(&device());
    let answer = door.send(bearing(poll(), &token, Sent::Nothing)).await.expect(503);
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn news_that_are_a_little_late_are_waited_for() {
    let door = Door::build(&[]);
    door.deployments.answers(NEXT, NextResponse::default());
    let token = door.devices.device(&device());
    let (status, ()) =
        tokio::join!(status(&door, &token), async { door.gateway.tasks(&door.tasks) });
    assert_eq!(status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn what_was_revoked_in_the_silence_is_refused_after_it() {
    let door = Door::open().await;
    door.deployments.answers(NEXT, NextResponse::default());
    let claims = device();
    let token = door.devices.device(&claims);
    door.devices.fall_silent();
    until(async || status(&door, &token).await == StatusCode::SERVICE_UNAVAILABLE).await;
    door.devices.revoke(claims.auth_set.uuid(), 2);
    door.devices.speak();
    until(async || {
        let status = status(&door, &token).await;
        assert_ne!(status, StatusCode::NO_CONTENT);
        status == StatusCode::UNAUTHORIZED
    })
    .await;
}

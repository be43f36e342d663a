//! Every route of the description, with no token and with wrong ones.

use axum::{
    body::Body,
    http::{Method, Request},
};
use chrono::{TimeDelta, Utc};
use rota_types::Permission;
use serde_json::Value;

use crate::door::{Door, Sent, bearing, device, person, with_body};

/// One operation of the description.
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) scheme: Option<String>,
}

impl Operation {
    fn request(&self) -> axum::http::request::Builder {
        Request::builder().method(self.method.clone()).uri(&self.path)
    }
}

pub(crate) fn operations(door: &Door) -> Vec<Operation> {
    let description: Value =
        serde_json::from_str(&door.gateway.description().to_json().unwrap()).unwrap();
    let mut operations = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let requirement = operation["security"][0].as_object();
            operations.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path
                    .replace("{id}", "0190b6a5-0000-7000-8000-000000000001")
                    .replace(['{', '}'], ""),
                scheme: requirement.and_then(|it| it.keys().next()).cloned(),
            });
        }
    }
    operations
}

/// Routes that need no token are few, and named here one by one.
#[tokio::test]
async fn the_routes_without_a_token_are_these() {
    let door = Door::open().await;
    let mut open: Vec<_> = operations(&door)
        .into_iter()
        .filter(|operation| operation.scheme.is_none())
        .map(|operation| format!("{} {}", operation.method, operation.path))
        .collect();
    open.sort();
    assert_eq!(
        open,
        [
            "GET /api/devices/v1/deployments/download/artifacts/0190b6a5-0000-7000-8000-000000000001",
            "POST /api/devices/v1/authentication/auth_requests",
            "POST /api/management/v1/useradm/auth/login",
        ]
    );
}

#[tokio::test]
async fn no_route_opens_to_nobody_or_to_a_wrong_token() {
    let door = Door::open().await;
    let stranger = Door::open().await;
    let own_device = door.devices.device(&device());
    let own_person = door.people.person(&person(Permission::Manage));
    let mut expired = device();
    expired.exp = (Utc::now() - TimeDelta::seconds(1)).timestamp();
    let guarded = operations(&door).into_iter().filter(|operation| operation.scheme.is_some());
    let mut tried = 0;
    for operation in guarded {
        let is_device = operation.scheme.as_deref() == Some("DeviceJWT");
        let foreign = if is_device {
            stranger.devices.device(&device())
        } else {
            stranger.people.person(&person(Permission::Manage))
        };
        let wrong_kind = if is_device { &own_person } else { &own_device };
        let expired = door.devices.device(&expired);
        let mut requests = vec![with_body(operation.request(), Sent::Nothing)];
        for token in ["", "nonsense", "a.b.c", &foreign, wrong_kind, &expired] {
            requests.push(bearing(operation.request(), token, Sent::Nothing));
        }
        for request in requests {
            let answer = door.send(request).await;
            let asked = format!("{} {}", operation.method, operation.path);
            assert_eq!(answer.status.as_u16(), 401, "{asked}");
            assert!(answer.header("www-authenticate").starts_with("Bearer "), "{asked}");
            assert!(!answer.error().is_empty(), "{asked}");
        }
        tried += 1;
    }
    assert!(tried > 60, "{tried}");
    let services = [&door.deviceauth, &door.inventory, &door.deployments, &door.accounts];
    assert!(services.iter().all(|service| service.calls() == 0));
}

/// With the right token nothing is refused for the token's sake.
#[tokio::test]
async fn every_route_opens_to_its_own_token() {
    let door = Door::open().await;
    for operation in operations(&door) {
        let token = match operation.scheme.as_deref() {
            Some("DeviceJWT") => door.devices.device(&device()),
            Some(_) => door.people.person(&person(Permission::Manage)),
            None => continue,
        };
        let answer = door.send(bearing(operation.request(), &token, Sent::Nothing)).await;
        let status = answer.status.as_u16();
        assert!(
            ![401, 403, 404, 405].contains(&status),
            "{} {}: {status}",
            operation.method,
            operation.path
        );
    }
}

/// Somebody who may only look changes nothing, whatever the method.
#[tokio::test]
async fn an_observer_changes_nothing_but_himself() {
    let door = Door::open().await;
    let token = door.people.person(&person(Permission::Read));
    let mut refused = 0;
    for operation in operations(&door) {
        if operation.scheme.as_deref() != Some("ManagementJWT") {
            continue;
        }
        let answer = door.send(bearing(operation.request(), &token, Sent::Nothing)).await;
        let harmless = operation.method == Method::GET
            || operation.path.ends_with("/search")
            || operation.path.ends_with("/statistics/list")
            || operation.path.ends_with("/auth/logout")
            || operation.path.ends_with("/users/me");
        assert_eq!(
            answer.status.as_u16() != 403,
            harmless,
            "{} {}",
            operation.method,
            operation.path
        );
        refused += usize::from(!harmless);
    }
    assert!(refused > 20, "{refused}");
}

/// A token with a permission that people do not have opens nothing.
#[tokio::test]
async fn the_permissions_of_services_are_no_ones_to_carry() {
    let door = Door::open().await;
    let token = door.people.person(&person(Permission::Internal));
    let request = Request::get("/api/management/v1/useradm/users/me");
    door.send(bearing(request, &token, Sent::Nothing)).await.expect(403);
}

#[tokio::test]
async fn a_cookie_may_look_and_nothing_else() {
    let door = Door::open().await;
    door.deviceauth.answers(
        "rota.deviceauth.v1.ManagementService/CountDevices",
        rota_proto::deviceauth::v1::CountDevicesResponse { count: 3 },
    );
    let token = door.people.person(&person(Permission::Manage));
    let cookie = format!("a=b; JWT={token}");
    let with_cookie = |method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path).header("cookie", &cookie);
        request.body(Body::empty()).unwrap()
    };
    let devices = "/api/management/v2/devauth/devices";
    let answer = door.send(with_cookie(Method::GET, &format!("{devices}/count"))).await.expect(200);
    assert_eq!(answer.json()["count"], 3);
    door.send(with_cookie(Method::DELETE, &format!("{devices}/x"))).await.expect(401);
    let next = "/api/devices/v1/deployments/device/deployments/next";
    door.send(with_cookie(Method::GET, next)).await.expect(401);
}

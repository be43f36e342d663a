//! What devices send, and what they get.

use axum::http::Request;
use rota_proto::{
    deployments::v1::{
        ControlAction, ControlMap, ControlRule, GetControlMapRequest, GetControlMapResponse,
        Instructions, Link, NextRequest, NextResponse, ReportStatusRequest, ReportStatusResponse,
        StoreLogRequest, StoreLogResponse,
    },
    deviceauth::v1::{AuthenticateRequest, AuthenticateResponse},
    inventory::v1::{DeviceAttributesRequest, DeviceAttributesResponse, Scope, Value, value::Kind},
};
use rota_types::{Actor, ErrorCode, Permission};
use serde_json::json;

use crate::door::{Door, Sent, bearing, device, with_body};

const AUTHENTICATE: &str = "rota.deviceauth.v1.DeviceService/Authenticate";
const REPLACE: &str = "rota.inventory.v1.DeviceService/ReplaceAttributes";
const MERGE: &str = "rota.inventory.v1.DeviceService/MergeAttributes";
const NEXT: &str = "rota.deployments.v1.DeviceService/Next";
const REPORT: &str = "rota.deployments.v1.DeviceService/ReportStatus";
const CONTROL_MAP: &str = "rota.deployments.v1.DeviceService/GetControlMap";
const LOG: &str = "rota.deployments.v1.DeviceService/StoreLog";
const ID: &str = "0190b6a5-0000-7000-8000-000000000001";
const V1: &str = "/api/devices/v1/deployments/device/deployments";
const V2: &str = "/api/devices/v2/deployments/device/deployments";

#[tokio::test]
async fn an_authentication_request_is_handed_on_byte_for_byte() {
    let door = Door::open().await;
    door.deviceauth.answers(AUTHENTICATE, AuthenticateResponse { token: "a.b.c".into() });
    let body = "{ \"id_data\":\"{}\",  \"pubkey\":\"é\" }\n";
    let request = Request::post("/api/devices/v1/authentication/auth_requests")
        .header("X-MEN-Signature", "c2ln");
    let answer = door.send(with_body(request, body.into())).await.expect(200);
    assert_eq!(answer.text(), "a.b.c");
    assert_eq!(answer.header("content-type"), "application/jwt");
    let asked = door.deviceauth.last(AUTHENTICATE);
    let request: AuthenticateRequest = asked.one();
    assert_eq!(request.body, body.as_bytes());
    assert_eq!(request.signature, "c2ln");
    assert_eq!(asked.caller.actor, Actor::Anonymous);
    assert_eq!(asked.caller.permissions, [Permission::Public]);
}

#[tokio::test]
async fn a_device_that_is_not_accepted_gets_401_with_a_reason() {
    let door = Door::open().await;
    door.deviceauth.fails(AUTHENTICATE, ErrorCode::Unauthenticated, "dev auth: unauthorized");
    let request = Request::post("/api/devices/v1/authentication/auth_requests");
    let answer = door.send(with_body(request, "{}".into())).await.expect(401);
    assert_eq!(answer.error(), "dev auth: unauthorized");
}

#[tokio::test]
async fn attributes_are_replaced_and_merged_under_both_addresses() {
    let door = Door::open().await;
    door.inventory.answers(REPLACE, DeviceAttributesResponse {});
    door.inventory.answers(MERGE, DeviceAttributesResponse {});
    let body = json!([
        {"name": "mac", "value": "00:01", "scope": "tags", "timestamp": "nonsense"},
        {"Name": "cpus", "Value": [1, 2.5], "Description": "how many"},
        {"name": "empty", "value": ""},
    ]);
    for path in ["/api/devices/v1/inventory/device/attributes", "/api/0.1.0/attributes"] {
        for (request, method) in [(Request::put(path), REPLACE), (Request::patch(path), MERGE)] {
            let answer = door.as_device(request, body.clone()).await.expect(200);
            assert!(answer.body.is_empty());
            let asked: DeviceAttributesRequest = door.inventory.last(method).one();
            let names: Vec<_> = asked.attributes.iter().map(|it| it.name.as_str()).collect();
            assert_eq!(names, ["mac", "cpus", "empty"]);
            // A device speaks for itself and in no other scope.
            assert!(asked.attributes.iter().all(|it| it.scope == i32::from(Scope::Inventory)));
            assert_eq!(
                asked.attributes[2].value,
                Some(Value { kind: Some(Kind::Text(String::new())) })
            );
        }
    }
}

#[tokio::test]
async fn attributes_without_a_name_or_a_value_are_400() {
    let door = Door::open().await;
    for body in [
        json!([{"name": "a"}]),
        json!([{"name": "a", "value": null}]),
        json!([{"value": "a"}]),
        json!([{"name": "", "value": "a"}]),
        json!([{"name": "a", "value": {"b": 1}}]),
        json!([{"name": "a", "value": ["b", 1]}]),
        json!([{"name": 1, "value": "a"}]),
        json!({"name": "a", "value": "b"}),
        json!("a"),
    ] {
        let path = "/api/devices/v1/inventory/device/attributes";
        door.as_device(Request::put(path), body).await.expect(400);
    }
    assert_eq!(door.inventory.calls(), 0);
}

#[tokio::test]
async fn every_form_of_a_poll_asks_the_same() {
    let door = Door::open().await;
    door.deployments.answers(NEXT, NextResponse::default());
    let provides = json!({"device_type": "t", "artifact_name": "a", "Rootfs.Version": "1"});
    let query = format!("{V1}/next?device_type=t&artifact_name=a");
    let more = json!({"device_provides": provides, "update_control_map": true, "x": 1});
    for (request, body, count, is_v2) in [
        (Request::get(query), Sent::Nothing, 2, false),
        (Request::post(format!("{V1}/next")), Sent::Json(provides.clone()), 3, false),
        (Request::post(format!("{V2}/next")), Sent::Json(more), 3, true),
    ] {
        let answer = door.as_device(request, body).await.expect(204);
        assert!(answer.body.is_empty());
        let asked: NextRequest = door.deployments.last(NEXT).one();
        assert_eq!((asked.device_type.as_str(), asked.artifact_name.as_str()), ("t", "a"));
        assert_eq!(asked.provides.len(), count);
        assert_eq!(asked.provides.contains_key("Rootfs.Version"), count == 3);
        assert_eq!(asked.understands_control_maps, is_v2);
    }
}

#[tokio::test]
async fn a_poll_that_lacks_something_is_400() {
    let door = Door::open().await;
    for request in [
        Request::get(format!("{V1}/next")),
        Request::get(format!("{V1}/next?device_type=t")),
        Request::get(format!("{V1}/next?artifact_name=a&device_type=")),
    ] {
        door.as_device(request, ()).await.expect(400);
    }
    for (path, body) in [
        (V1, json!({"device_type": "t"})),
        (V1, json!({"device_type": "t", "artifact_name": "a", "n": 1})),
        (V2, json!({})),
        (V2, json!({"device_provides": {"device_type": "t"}})),
        (V2, json!({"device_provides": []})),
    ] {
        door.as_device(Request::post(format!("{path}/next")), body).await.expect(400);
    }
    assert_eq!(door.deployments.calls(), 0);
}

fn instructions(uri: &str) -> NextResponse {
    let expires = prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 };
    NextResponse {
        instructions: Some(Instructions {
            deployment_id: ID.into(),
            artifact_id: "b".into(),
            artifact_name: "release-2".into(),
            device_types: vec!["t".into()],
            source: Some(Link { uri: uri.into(), expires: Some(expires) }),
            control_map: None,
        }),
    }
}

fn poll() -> axum::http::request::Builder {
    Request::get(format!("{V1}/next?device_type=t&artifact_name=a"))
}

#[tokio::test]
async fn instructions_say_what_to_install_and_where_it_is() {
    let door = Door::open().await;
    door.deployments.answers(NEXT, instructions("https://store.example.com/x?sig=1"));
    let answer = door.as_device(poll(), ()).await.expect(200);
    assert_eq!(
        answer.json(),
        json!({
            "id": ID,
            "artifact": {
                "id": "b",
                "artifact_name": "release-2",
                "source": {
                    "uri": "https://store.example.com/x?sig=1",
                    "expire": "2027-01-15T08:00:00Z",
                },
                "device_types_compatible": ["t"],
            },
        })
    );
}

/// A map that pauses every installation.
fn pausing() -> ControlMap {
    let rule = ControlRule { action: ControlAction::Pause.into(), ..ControlRule::default() };
    ControlMap { priority: 2, states: [("ArtifactInstall_Enter".to_owned(), rule)].into() }
}

fn told() -> serde_json::Value {
    let states = json!({"ArtifactInstall_Enter": {"action": "pause"}});
    json!({"id": ID, "priority": 2, "states": states})
}

#[tokio::test]
async fn what_may_hold_an_update_comes_with_it_and_can_be_asked_for_again() {
    let door = Door::open().await;
    let mut answer = instructions("https://store.example.com/x?sig=1");
    answer.instructions.as_mut().unwrap().control_map = Some(pausing());
    door.deployments.answers(NEXT, answer);
    let answer = door.as_device(poll(), ()).await.expect(200);
    assert_eq!((&answer.json()["update_control_map"], &answer.json()["id"]), (&told(), &json!(ID)));

    let path = format!("{V2}/{ID}/update_control_map");
    let held = GetControlMapResponse { control_map: Some(pausing()) };
    door.deployments.answers(CONTROL_MAP, held);
    let answer = door.as_device(Request::get(&path), ()).await.expect(200);
    assert_eq!(answer.json(), json!({"update_control_map": told()}));
    let asked: GetControlMapRequest = door.deployments.last(CONTROL_MAP).one();
    assert_eq!(asked.deployment_id, ID);

    door.deployments.answers(CONTROL_MAP, GetControlMapResponse::default());
    assert!(door.as_device(Request::get(&path), ()).await.expect(204).body.is_empty());
    door.deployments.fails(CONTROL_MAP, ErrorCode::NotFound, "over");
    door.as_device(Request::get(&path), ()).await.expect(404);
    door.as_device(Request::get(format!("{V2}/x/update_control_map")), ()).await.expect(400);
}

#[tokio::test]
async fn a_link_of_ours_begins_where_the_device_reached_us_or_at_the_public_url() {
    let uri = |answer: crate::door::Answer| {
        answer.json()["artifact"]["source"]["uri"].as_str().unwrap().to_owned()
    };
    let door = Door::open().await;
    door.deployments.answers(NEXT, instructions("/download?x=1"));
    let request = poll().header("host", "rota.local:8443");
    let answer = door.as_device(request, ()).await.expect(200);
    assert_eq!(uri(answer), "https://rota.local:8443/download?x=1");
    door.as_device(poll(), ()).await.expect(400);

    let flags = ["--public-url", "https://updates.example.com/", "--trusted-proxies", "::1"];
    let door = Door::open_with(&flags).await;
    door.deployments.answers(NEXT, instructions("/download?x=1"));
    let answer = door.as_device(poll().header("host", "rota.local"), ()).await.expect(200);
    assert_eq!(uri(answer), "https://updates.example.com/download?x=1");
}

#[tokio::test]
async fn a_trusted_proxy_says_which_scheme_the_device_used() {
    let door = Door::open_with(&["--trusted-proxies", "10.0.0.0/8"]).await;
    door.deployments.answers(NEXT, instructions("/download"));
    for (peer, scheme) in [("10.0.0.1:1", "http"), ("192.0.2.1:1", "https")] {
        let request = poll().header("host", "a.b").header("x-forwarded-proto", "http");
        let token = door.devices.device(&device());
        let answer = door.send_from(peer, bearing(request, &token, Sent::Nothing)).await;
        let expected = format!("{scheme}://a.b/download");
        assert_eq!(answer.json()["artifact"]["source"]["uri"], expected);
    }
}

#[tokio::test]
async fn a_request_that_changed_during_a_deployment_is_409() {
    let door = Door::open().await;
    door.deployments.fails(NEXT, ErrorCode::Conflict, "the request changed");
    door.as_device(poll(), ()).await.expect(409);
}

#[tokio::test]
async fn reports_are_handed_on_and_answered_204() {
    let door = Door::open().await;
    door.deployments.answers(REPORT, ReportStatusResponse {});
    let path = format!("{V1}/{ID}/status");
    let body = json!({"Status": "installing", "SubState": "x", "other": 1});
    let answer = door.as_device(Request::put(&path), body).await.expect(204);
    assert!(answer.body.is_empty());
    let asked: ReportStatusRequest = door.deployments.last(REPORT).one();
    assert_eq!((asked.status.as_str(), asked.substate.as_str()), ("installing", "x"));
    assert_eq!(asked.deployment_id, ID);

    for body in [json!({}), json!({"status": ""}), json!({"status": null}), json!({"status": 1})] {
        door.as_device(Request::put(&path), body).await.expect(400);
    }
    for (code, status) in
        [(ErrorCode::Invalid, 400), (ErrorCode::NotFound, 404), (ErrorCode::Conflict, 409)]
    {
        door.deployments.fails(REPORT, code, "no");
        door.as_device(Request::put(&path), json!({"status": "success"})).await.expect(status);
    }
    let path = format!("{V1}/nonsense/status");
    door.as_device(Request::put(path), json!({"status": "success"})).await.expect(400);
}

#[tokio::test]
async fn a_log_needs_lines_and_each_line_all_its_parts() {
    let door = Door::open().await;
    door.deployments.answers(LOG, StoreLogResponse {});
    let path = format!("{V1}/{ID}/log");
    let line = json!({"timestamp": "2026-01-02T03:04:05.25Z", "level": "info", "message": "m"});
    let body = json!({"messages": [line, line]});
    door.as_device(Request::put(&path), body).await.expect(204);
    let asked: StoreLogRequest = door.deployments.last(LOG).one();
    assert_eq!(asked.lines.len(), 2);
    assert_eq!(asked.lines[0].time.unwrap().nanos, 250_000_000);

    let mut bodies = vec![json!({}), json!({"messages": []}), json!({"messages": [{}]})];
    for part in ["timestamp", "level", "message"] {
        let mut line = line.clone();
        line.as_object_mut().unwrap().remove(part);
        bodies.push(json!({"messages": [line]}));
    }
    for body in bodies {
        door.as_device(Request::put(&path), body).await.expect(400);
    }
    let long = json!({"messages": [{"message": "x".repeat(1 << 20)}]});
    door.as_device(Request::put(&path), long).await.expect(413);
}

//! Devices, auth sets, limits.

use axum::http::Request;
use prost_types::Timestamp;
use rota_proto::deviceauth::v1 as wire;
use rota_types::ErrorCode;
use serde_json::{Value, json};
use tonic::Status;

use crate::door::Door;

const DEVICES: &str = "/api/management/v2/devauth/devices";

fn method(name: &str) -> String {
    format!("rota.deviceauth.v1.ManagementService/{name}")
}

fn time() -> Timestamp {
    Timestamp { seconds: 1_800_000_000, nanos: 5_000_000 }
}

fn device(id: &str) -> wire::Device {
    wire::Device {
        id: id.into(),
        identity_data: r#"{"mac":"00:01","N":7}"#.into(),
        status: wire::Status::Accepted.into(),
        created: Some(time()),
        updated: Some(time()),
        check_in: None,
        auth_sets: vec![wire::AuthSet {
            id: "s".into(),
            device_id: id.into(),
            identity_data: r#"{"mac":"00:01"}"#.into(),
            public_key: "PEM".into(),
            status: wire::Status::Accepted.into(),
            created: Some(time()),
        }],
        decommissioning: false,
    }
}

#[tokio::test]
async fn a_device_is_shown_with_its_auth_sets() {
    let door = Door::open().await;
    door.deviceauth.answers(&method("GetDevice"), device("d"));
    let answer = door.as_person(Request::get(format!("{DEVICES}/d")), ()).await.expect(200);
    assert_eq!(
        answer.json(),
        json!({
            "id": "d",
            "identity_data": {"mac": "00:01", "N": 7},
            "status": "accepted",
            "created_ts": "2027-01-15T08:00:00.005Z",
            "updated_ts": "2027-01-15T08:00:00.005Z",
            "auth_sets": [{
                "id": "s",
                "device_id": "d",
                "identity_data": {"mac": "00:01"},
                "pubkey": "PEM",
                "status": "accepted",
                "ts": "2027-01-15T08:00:00.005Z",
            }],
            "decommissioning": false,
        })
    );
    door.deviceauth.fails(&method("GetDevice"), ErrorCode::NotFound, "device not found");
    door.as_person(Request::get(format!("{DEVICES}/foo")), ()).await.expect(404);
}

#[tokio::test]
async fn lists_are_filtered_by_query_and_by_body_and_have_no_total() {
    let door = Door::open().await;
    let answer = wire::ListDevicesResponse { devices: vec![device("d")], more: true };
    door.deviceauth.answers(&method("ListDevices"), answer);
    let query = "status=pending&status=accepted&id=a&id=b&page=2&per_page=5";
    let listed = Request::get(format!("{DEVICES}?{query}"));
    let search = Request::post(format!("{DEVICES}/search?page=2&per_page=5"));
    let body = json!({"status": ["pending", "accepted"], "id": ["a", "b"]});
    for (request, body) in [(listed, Value::Null), (search, body)] {
        let answer = match body {
            Value::Null => door.as_person(request, ()).await,
            body => door.as_person(request, body).await,
        };
        let answer = answer.expect(200);
        assert_eq!(answer.json()[0]["id"], "d");
        assert_eq!(answer.header("x-total-count"), "");
        let links = answer.all("link").join(" ");
        assert!(links.contains("rel=\"next\"") && links.contains("rel=\"prev\""), "{links}");
        assert!(!links.contains("rel=\"last\""), "{links}");
        let asked: wire::ListDevicesRequest = door.deviceauth.last(&method("ListDevices")).one();
        let statuses = [wire::Status::Pending, wire::Status::Accepted].map(i32::from);
        assert_eq!(asked.statuses, statuses);
        assert_eq!(asked.ids, ["a", "b"]);
        assert_eq!((asked.page, asked.per_page), (2, 5));
    }
    let one = json!({"status": "noauth", "id": "a"});
    door.as_person(Request::post(format!("{DEVICES}/search")), one).await.expect(200);
    let asked: wire::ListDevicesRequest = door.deviceauth.last(&method("ListDevices")).one();
    assert_eq!(asked.statuses, [i32::from(wire::Status::Noauth)]);
    assert_eq!(asked.ids, ["a"]);
    for path in [format!("{DEVICES}?status=x"), format!("{DEVICES}/count?status=x")] {
        door.as_person(Request::get(path), ()).await.expect(400);
    }
}

#[tokio::test]
async fn a_preauthorised_device_has_an_address() {
    let door = Door::open().await;
    let made = wire::PreauthorizeResponse { device_id: "d".into() };
    door.deviceauth.answers(&method("Preauthorize"), made);
    let body = json!({"identity_data": {"b": 1, "A": [2]}, "pubkey": "PEM", "force": true});
    let answer = door.as_person(Request::post(DEVICES), body).await.expect(201);
    assert_eq!(answer.header("location"), "/api/management/v2/devauth/devices/d");
    assert!(answer.body.is_empty());
    let asked: wire::PreauthorizeRequest = door.deviceauth.last(&method("Preauthorize")).one();
    let identity: Value = serde_json::from_str(&asked.identity_data).unwrap();
    assert_eq!(identity, json!({"b": 1, "A": [2]}));
    assert!(asked.force);
}

#[tokio::test]
async fn a_preauthorisation_that_cannot_be_is_400_or_shows_the_device_that_exists() {
    let door = Door::open().await;
    for body in [
        json!({}),
        json!({"identity_data": "{\"mac\":1}", "pubkey": "PEM"}),
        json!({"identity_data": {}, "pubkey": "PEM"}),
        json!({"identity_data": {"mac": 1}}),
        json!({"identity_data": {"mac": 1}, "pubkey": "PEM", "force": "yes"}),
    ] {
        door.as_person(Request::post(DEVICES), body).await.expect(400);
    }
    let metadata = vec![("device_id", "old".to_owned())];
    door.deviceauth.fails_with(
        &method("Preauthorize"),
        ErrorCode::AlreadyExists,
        "device exists",
        metadata,
    );
    door.deviceauth.computes(&method("GetDevice"), |request: wire::GetDeviceRequest| {
        Ok::<_, Status>(device(&request.id))
    });
    let body = json!({"identity_data": {"mac": 1}, "pubkey": "PEM"});
    let answer = door.as_person(Request::post(DEVICES), body).await.expect(409);
    assert_eq!(answer.json()["id"], "old");
    assert_eq!(answer.json()["auth_sets"][0]["pubkey"], "PEM");
}

#[tokio::test]
async fn auth_sets_change_their_status() {
    let door = Door::open().await;
    let path = format!("{DEVICES}/d/auth/s/status");
    let status = wire::Status::Rejected.into();
    door.deviceauth.answers(&method("GetAuthSetStatus"), wire::GetAuthSetStatusResponse { status });
    let answer = door.as_person(Request::get(&path), ()).await.expect(200);
    assert_eq!(answer.json(), json!({"status": "rejected"}));

    door.deviceauth.answers(&method("SetAuthSetStatus"), wire::SetAuthSetStatusResponse {});
    door.as_person(Request::put(&path), json!({"status": "accepted"})).await.expect(204);
    let asked: wire::SetAuthSetStatusRequest =
        door.deviceauth.last(&method("SetAuthSetStatus")).one();
    assert_eq!((asked.device_id.as_str(), asked.auth_set_id.as_str()), ("d", "s"));
    assert_eq!(asked.status, i32::from(wire::Status::Accepted));
    for body in [json!({}), json!({"status": "invalid"}), json!({"status": "noauth"})] {
        door.as_person(Request::put(&path), body).await.expect(400);
    }
    door.deviceauth.fails(&method("SetAuthSetStatus"), ErrorCode::Unprocessable, "limit reached");
    door.as_person(Request::put(&path), json!({"status": "accepted"})).await.expect(422);
}

#[tokio::test]
async fn devices_auth_sets_and_tokens_are_removed() {
    let door = Door::open().await;
    door.deviceauth.answers(&method("Decommission"), wire::DecommissionResponse {});
    door.deviceauth.answers(&method("DismissAuthSet"), wire::DismissAuthSetResponse {});
    door.deviceauth.answers(&method("RevokeToken"), wire::RevokeTokenResponse {});
    let token = "/api/management/v2/devauth/tokens/t";
    for path in [&format!("{DEVICES}/d"), &format!("{DEVICES}/d/auth/s"), token] {
        let answer = door.as_person(Request::delete(path), ()).await.expect(204);
        assert!(answer.body.is_empty());
    }
    let asked: wire::RevokeTokenRequest = door.deviceauth.last(&method("RevokeToken")).one();
    assert_eq!(asked.token_id, "t");
}

#[tokio::test]
async fn there_is_one_limit() {
    let door = Door::open().await;
    door.deviceauth.answers(&method("GetDeviceLimit"), wire::GetDeviceLimitResponse { limit: -1 });
    let limits = "/api/management/v2/devauth/limits";
    let answer = door.as_person(Request::get(format!("{limits}/max_devices")), ()).await;
    assert_eq!(answer.expect(200).json(), json!({"limit": -1}));
    let answer = door.as_person(Request::get(format!("{limits}/other")), ()).await.expect(400);
    assert_eq!(answer.error(), "unsupported limit other");
}

/// What a service must never answer is our fault, and nothing is shown of it.
#[tokio::test]
async fn an_answer_that_cannot_be_read_is_500() {
    let door = Door::open().await;
    let broken = wire::Device { identity_data: "{".into(), ..device("d") };
    door.deviceauth.answers(&method("GetDevice"), broken);
    let answer = door.as_person(Request::get(format!("{DEVICES}/d")), ()).await.expect(500);
    assert_eq!(answer.error(), "internal error");
}

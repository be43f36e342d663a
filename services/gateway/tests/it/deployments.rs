//! Deployments and what became of them.

use axum::http::Request;
use prost_types::Timestamp;
use rota_proto::{
    deployments::v1::{self as wire, create_deployment_request::Target},
    inventory::v1 as inventory,
};
use rota_types::ErrorCode;
use serde_json::{Value, json};

use crate::{artifacts::artifact, door::Door};

const V1: &str = "/api/management/v1/deployments/deployments";
const V2: &str = "/api/management/v2/deployments/deployments";
const ID: &str = "0190b6a5-0000-7000-8000-000000000001";

fn method(name: &str) -> String {
    format!("rota.deployments.v1.ManagementService/{name}")
}

fn time() -> Timestamp {
    Timestamp { seconds: 1_800_000_000, nanos: 0 }
}

fn deployment() -> wire::Deployment {
    wire::Deployment {
        id: ID.into(),
        name: "n".into(),
        artifact_name: "release-1".into(),
        created: Some(time()),
        status: wire::DeploymentStatus::InProgress.into(),
        device_count: 1,
        max_devices: 2,
        initial_device_count: 2,
        statistics: [("pending".to_owned(), 2)].into(),
        total_size: 7,
        ..wire::Deployment::default()
    }
}

fn device_deployment() -> wire::DeviceDeployment {
    wire::DeviceDeployment {
        id: "dd".into(),
        device_id: "d".into(),
        deployment_id: ID.into(),
        status: "failure".into(),
        created: Some(time()),
        started: Some(time()),
        device_type: "t".into(),
        log: true,
        attempts: 1,
        artifact: Some(artifact()),
        ..wire::DeviceDeployment::default()
    }
}

#[tokio::test]
async fn a_deployment_is_for_devices_for_all_or_for_a_group() {
    let door = Door::open().await;
    let made = wire::CreateDeploymentResponse { id: ID.into() };
    door.deployments.answers(&method("CreateDeployment"), made);
    let target = || {
        let last = door.deployments.last(&method("CreateDeployment"));
        last.one::<wire::CreateDeploymentRequest>().target.unwrap()
    };
    let body = |more: Value| {
        let mut body = json!({"name": "n", "Artifact_Name": "a", "retries": 2});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let devices = body(json!({"devices": ["d"]}));
    let answer = door.as_person(Request::post(V1), devices.clone()).await.expect(201);
    assert_eq!(answer.header("location"), format!("{V1}/{ID}"));
    assert_eq!(target(), Target::Devices(wire::Words { values: vec!["d".into()] }));
    door.as_person(Request::post(V1), body(json!({"all_devices": true}))).await.expect(201);
    assert_eq!(target(), Target::AllDevices(true));
    let group = || Request::post(format!("{V1}/group/g"));
    door.as_person(group(), body(json!({}))).await.expect(201);
    assert_eq!(target(), Target::Group("g".into()));

    for (request, body) in [
        (Request::post(V1), body(json!({}))),
        (Request::post(V1), body(json!({"devices": ["d"], "all_devices": true}))),
        (Request::post(V1), json!({"name": "n", "devices": ["d"]})),
        (Request::post(V1), body(json!({"devices": "d"}))),
        (Request::post(V1), body(json!({"devices": ["d"], "phases": [{"batch_size": 5}]}))),
        (group(), devices.clone()),
        (group(), body(json!({"all_devices": true}))),
    ] {
        door.as_person(request, body).await.expect(400);
    }
    for (code, status) in [(ErrorCode::Unprocessable, 422), (ErrorCode::AlreadyExists, 409)] {
        door.deployments.fails(&method("CreateDeployment"), code, "no");
        door.as_person(Request::post(V1), devices.clone()).await.expect(status);
    }
}

#[tokio::test]
async fn a_deployment_can_hold_its_updates() {
    let door = Door::open().await;
    let made = wire::CreateDeploymentResponse { id: ID.into() };
    door.deployments.answers(&method("CreateDeployment"), made);
    door.deployments.answers(&method("ReplaceControlMap"), wire::ReplaceControlMapResponse {});
    let rule = wire::ControlRule {
        action: wire::ControlAction::Pause.into(),
        on_map_expire: wire::ControlAction::ForceContinue.into(),
        ..wire::ControlRule::default()
    };
    let held = wire::ControlMap {
        priority: -1,
        states: [("ArtifactReboot_Enter".to_owned(), rule)].into(),
    };
    let map = json!({"Id": "x", "Priority": -1, "states": {
        "ArtifactReboot_Enter": {"ACTION": "pause", "on_map_expire": "force_continue"},
    }});
    let new = |more: &Value| {
        let mut body = json!({"name": "n", "artifact_name": "a", "update_control_map": map});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (path, more) in [
        (V1.to_owned(), json!({"devices": ["d"]})),
        (V1.to_owned(), json!({"all_devices": true})),
        (format!("{V1}/group/g"), json!({})),
    ] {
        door.as_person(Request::post(path), new(&more)).await.expect(201);
        let asked: wire::CreateDeploymentRequest =
            door.deployments.last(&method("CreateDeployment")).one();
        assert_eq!(asked.control_map.as_ref(), Some(&held));
    }

    let path = format!("{V1}/{ID}");
    let patch = |body: Value| door.as_person(Request::patch(&path), body);
    patch(json!({"Update_Control_Map": map})).await.expect(204);
    let asked: wire::ReplaceControlMapRequest =
        door.deployments.last(&method("ReplaceControlMap")).one();
    assert_eq!((asked.deployment_id.as_str(), asked.control_map.as_ref()), (ID, Some(&held)));
    patch(json!({"update_control_map": {}})).await.expect(204);

    let calls = door.deployments.calls();
    for body in [
        json!({}),
        json!({"update_control_map": null}),
        json!({"update_control_map": "pause"}),
        json!({"update_control_map": {"states": {"ArtifactReboot_Enter": {"action": "stop"}}}}),
        json!({"update_control_map": {"state": {}}}),
    ] {
        patch(body).await.expect(400);
    }
    let wrong = json!({"all_devices": true, "update_control_map": {"state": {}}});
    let answer = door.as_person(Request::post(V1), new(&wrong)).await.expect(400);
    assert!(answer.error().contains("`state`"), "{}", answer.error());
    door.as_person(Request::patch(format!("{V1}/x")), json!({})).await.expect(400);
    assert_eq!(door.deployments.calls(), calls);
    for (code, status) in [(ErrorCode::NotFound, 404), (ErrorCode::Conflict, 409)] {
        door.deployments.fails(&method("ReplaceControlMap"), code, "no");
        patch(json!({"update_control_map": map})).await.expect(status);
    }

    let shown = wire::Deployment { control_map: Some(held), ..deployment() };
    door.deployments.answers(&method("GetDeployment"), shown.clone());
    let found = wire::ListDeploymentsResponse { deployments: vec![shown], total: 1 };
    door.deployments.answers(&method("ListDeployments"), found);
    let one = door.as_person(Request::get(&path), ()).await.expect(200).json();
    let told = json!({"id": ID, "priority": -1, "states": {
        "ArtifactReboot_Enter": {"action": "pause", "on_map_expire": "force_continue"},
    }});
    assert_eq!(one["update_control_map"], told);
    for path in [V1, V2] {
        let listed = door.as_person(Request::get(path), ()).await.expect(200).json();
        assert_eq!(listed[0]["update_control_map"], told);
    }
}

#[tokio::test]
async fn a_deployment_shows_every_status_with_its_number() {
    let door = Door::open().await;
    door.deployments.answers(&method("GetDeployment"), deployment());
    let answer = door.as_person(Request::get(format!("{V1}/{ID}")), ()).await.expect(200);
    let shown = answer.json();
    assert_eq!(shown["status"], "inprogress");
    assert_eq!(shown["type"], "software");
    assert_eq!(shown["created"], "2027-01-15T08:00:00Z");
    assert_eq!(shown["statistics"]["status"].as_object().unwrap().len(), 15);
    assert_eq!(shown["statistics"]["status"]["pending"], 2);
    assert_eq!(shown["statistics"]["status"]["already-installed"], 0);
    assert_eq!(shown["statistics"]["total_size"], 7);
    assert!(shown.get("finished").is_none() && shown.get("artifacts").is_none());

    let answer = door.as_person(Request::get(format!("{V1}/nonsense")), ()).await.expect(400);
    assert_eq!(answer.error(), "ID is not a valid UUID");
    door.deployments.fails(&method("GetDeployment"), ErrorCode::NotFound, "Resource not found");
    let answer = door.as_person(Request::get(format!("{V1}/{ID}")), ()).await.expect(404);
    assert_eq!(answer.error(), "Resource not found");
}

#[tokio::test]
async fn lists_are_narrowed_in_words_that_are_checked() {
    let door = Door::open().await;
    let found = wire::ListDeploymentsResponse { deployments: vec![deployment()], total: 1 };
    door.deployments.answers(&method("ListDeployments"), found);
    let query = "status=aborted&type=software&search=x&created_before=9&created_after=8&sort=asc";
    let answer = door.as_person(Request::get(format!("{V1}?{query}")), ()).await.expect(200);
    assert_eq!((answer.header("x-total-count"), answer.all("link").len()), ("1", 2));
    let asked: wire::ListDeploymentsRequest =
        door.deployments.last(&method("ListDeployments")).one();
    assert_eq!((asked.status.as_str(), asked.search.as_str()), ("aborted", "x"));
    assert_eq!((asked.created_before, asked.created_after), (Some(9), Some(8)));
    assert!(asked.ascending);

    let calls = door.deployments.calls();
    let answer = door.as_person(Request::get(format!("{V1}?type=configuration")), ()).await;
    assert_eq!(answer.expect(200).json(), json!([]));
    for query in ["status=x", "type=x", "sort=up", "created_after=x"] {
        for path in [V1, V2] {
            door.as_person(Request::get(format!("{path}?{query}")), ()).await.expect(400);
        }
    }
    door.as_person(Request::get(format!("{V2}?id=nonsense")), ()).await.expect(400);
    assert_eq!(door.deployments.calls(), calls);
}

#[tokio::test]
async fn names_that_no_deployment_has_may_be_those_of_devices() {
    let door = Door::open().await;
    let list = method("ListDeployments");
    door.deployments.computes(&list, |request: wire::ListDeploymentsRequest| {
        let found = usize::from(!request.device_ids.is_empty());
        Ok(wire::ListDeploymentsResponse {
            deployments: vec![deployment(); found],
            total: i64::try_from(found).unwrap(),
        })
    });
    let device = inventory::Device { id: "d".into(), ..inventory::Device::default() };
    let search = "rota.inventory.v1.ManagementService/Search";
    let found = inventory::SearchResponse { devices: vec![device], total: 1 };
    door.inventory.answers(search, found);
    let answer = door.as_person(Request::get(format!("{V2}?name=00:01")), ()).await.expect(200);
    assert_eq!((answer.json(), door.inventory.calls()), (json!([]), 0));

    let query = "name=00:01&id_attribute=mac&id_scope=identity";
    let answer = door.as_person(Request::get(format!("{V2}?{query}")), ()).await.expect(200);
    assert_eq!(answer.json()[0]["id"], ID);
    let asked: wire::ListDeploymentsRequest = door.deployments.last(&list).one();
    assert_eq!((asked.device_ids, asked.names.len()), (vec!["d".to_owned()], 0));
    let query = "name=a&id_attribute=mac&id_scope=system";
    door.as_person(Request::get(format!("{V2}?{query}")), ()).await.expect(400);
}

#[tokio::test]
async fn a_deployment_can_only_be_aborted() {
    let door = Door::open().await;
    let path = format!("{V1}/{ID}/status");
    door.deployments.answers(&method("AbortDeployment"), wire::AbortDeploymentResponse {});
    door.as_person(Request::put(&path), json!({"status": "aborted"})).await.expect(204);
    let calls = door.deployments.calls();
    for body in [json!({}), json!({"status": "finished"}), json!({"status": 1})] {
        door.as_person(Request::put(&path), body).await.expect(400);
    }
    assert_eq!(door.deployments.calls(), calls);
    let words = "Deployment already finished";
    door.deployments.fails(&method("AbortDeployment"), ErrorCode::Unprocessable, words);
    let answer = door.as_person(Request::put(&path), json!({"status": "aborted"})).await;
    assert_eq!(answer.expect(422).error(), words);
}

#[tokio::test]
async fn statistics_of_none_are_an_object_and_of_many_a_list() {
    let door = Door::open().await;
    let path = format!("{V1}/statistics/list");
    let answer = door.as_person(Request::post(&path), json!({"deployment_ids": []})).await;
    assert_eq!(answer.expect(200).json(), json!({}));
    let many: Vec<_> = vec![ID; 101];
    door.as_person(Request::post(&path), json!({"deployment_ids": many})).await.expect(400);
    door.as_person(Request::post(&path), json!({"deployment_ids": ["x"]})).await.expect(400);

    let by_status = [("success".to_owned(), 4)].into();
    let statistics = vec![wire::DeploymentStatistics { deployment_id: ID.into(), by_status }];
    door.deployments.answers(&method("GetStatistics"), wire::GetStatisticsResponse { statistics });
    let answer = door.as_person(Request::post(&path), json!({"deployment_ids": [ID]})).await;
    let answer = answer.expect(200).json();
    assert_eq!((&answer[0]["id"], &answer[0]["stats"]["success"]), (&json!(ID), &json!(4)));
    let answer = door.as_person(Request::get(format!("{V1}/{ID}/statistics")), ()).await;
    let answer = answer.expect(200).json();
    assert_eq!((&answer["success"], &answer["decommissioned"]), (&json!(4), &json!(0)));
    door.deployments.answers(&method("GetStatistics"), wire::GetStatisticsResponse::default());
    door.as_person(Request::get(format!("{V1}/{ID}/statistics")), ()).await.expect(404);
}

#[tokio::test]
async fn the_devices_of_a_deployment_are_listed_with_their_artifact() {
    let door = Door::open().await;
    let devices = vec![device_deployment()];
    let found = wire::ListDeviceDeploymentsResponse { devices, total: 1 };
    door.deployments.answers(&method("ListDeploymentDevices"), found);
    let path = format!("{V1}/{ID}/devices");
    let answer = door.as_person(Request::get(&path), ()).await.expect(200);
    assert!(answer.all("link").is_empty());
    let device = &answer.json()[0];
    assert_eq!((&device["id"], &device["status"]), (&json!("d"), &json!("failure")));
    assert_eq!(device["image"]["meta_artifact"]["name"], "release-1");
    assert_eq!(device["image"]["meta"]["description"], "the first");
    assert_eq!(device["log"], true);

    for status in ["pause", "active", "finished", "already-installed"] {
        let request = Request::get(format!("{path}/list?status={status}"));
        let answer = door.as_person(request, ()).await.expect(200);
        assert_eq!((answer.header("x-total-count"), answer.all("link").len()), ("1", 2));
    }
    door.as_person(Request::get(format!("{path}/list?status=x")), ()).await.expect(400);

    let ids = wire::Words { values: vec!["d".into()] };
    door.deployments.answers(&method("ListDeploymentDeviceIds"), ids);
    let answer = door.as_person(Request::get(format!("{V1}/{ID}/device_list")), ()).await;
    assert_eq!(answer.expect(200).json(), json!(["d"]));
}

#[tokio::test]
async fn a_log_is_plain_text() {
    let door = Door::open().await;
    let path = format!("{V1}/{ID}/devices/d/log");
    let text = "2026-01-02 03:04:05 +0000 UTC info: m\n";
    door.deployments.answers(&method("GetLog"), wire::GetLogResponse { text: text.into() });
    let answer = door.as_person(Request::get(&path), ()).await.expect(200);
    assert_eq!(answer.text(), text);
    assert!(answer.header("content-type").starts_with("text/plain"));
    door.deployments.fails(&method("GetLog"), ErrorCode::NotFound, "no log");
    door.as_person(Request::get(&path), ()).await.expect(404);
}

#[tokio::test]
async fn a_device_has_a_history_of_small_pages() {
    let door = Door::open().await;
    let entry = wire::DeviceHistoryEntry {
        deployment: Some(deployment()),
        device: Some(device_deployment()),
    };
    let found = wire::ListDeviceHistoryResponse { entries: vec![entry], total: 1 };
    door.deployments.answers(&method("ListDeviceHistory"), found);
    let path = format!("{V1}/devices/d");
    let answer = door.as_person(Request::get(&path), ()).await.expect(200);
    let entry = &answer.json()[0];
    assert_eq!((&entry["id"], &entry["deployment"]["id"]), (&json!("dd"), &json!(ID)));
    assert_eq!(entry["device"]["id"], "d");
    let answer = door.as_person(Request::get(format!("{path}?per_page=21")), ()).await;
    let words = r#"parameter "per_page" above limit (max: 20)"#;
    assert_eq!(answer.expect(400).error(), words);

    door.deployments.answers(&method("AbortDevice"), wire::AbortDeviceResponse {});
    door.as_person(Request::delete(&path), ()).await.expect(204);
    door.deployments.answers(&method("HideDeviceHistory"), wire::HideDeviceHistoryResponse {});
    door.as_person(Request::delete(format!("{path}/history")), ()).await.expect(204);
}

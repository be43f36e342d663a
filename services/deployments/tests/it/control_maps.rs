//! What holds updates on devices: who is given it, who may change it, and until when.

use rota_proto::deployments::v1::{
    ControlAction, ControlMap, ControlRule, CreateDeploymentRequest, ListDeploymentsRequest,
};
use rota_types::ErrorCode;

use crate::{
    people::{Person, control_map, for_devices, refused},
    world::{World, artifact},
};

const INSTALL: &str = "ArtifactInstall_Enter";
const UNKNOWN: &str = "0190b6a5-0000-7000-8000-000000000001";

fn held(device: &Person, map: ControlMap) -> CreateDeploymentRequest {
    CreateDeploymentRequest { control_map: Some(map), ..for_devices("v2", [device]) }
}

fn pausing() -> ControlMap {
    control_map(INSTALL, ControlAction::Pause)
}

fn passing() -> ControlMap {
    control_map(INSTALL, ControlAction::ForceContinue)
}

#[tokio::test]
async fn a_device_waits_under_a_map_until_it_is_replaced() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let rule = ControlRule {
        action: ControlAction::Pause.into(),
        on_map_expire: ControlAction::Continue.into(),
        on_action_executed: ControlAction::Fail.into(),
    };
    let map = ControlMap { priority: -10, states: [(INSTALL.to_owned(), rule)].into() };
    let id = operator.create(held(&device, map.clone())).await.unwrap();
    assert_eq!(operator.deployment(&id).await.unwrap().control_map.as_ref(), Some(&map));
    let listed = operator.deployments(ListDeploymentsRequest::default()).await.unwrap();
    assert_eq!(listed.deployments[0].control_map.as_ref(), Some(&map));

    // The first poll decides, later ones repeat: both tell the map.
    for _ in 0..2 {
        let told = device.next_held("v1").await.unwrap().unwrap();
        assert_eq!(told.control_map.as_ref(), Some(&map));
    }
    for status in ["pause_before_installing", "pause_before_rebooting", "pause_before_committing"] {
        device.report(&id, status).await.unwrap();
        assert_eq!(operator.statistics(&id).await, [(status.to_owned(), 1)].into());
        assert_eq!(operator.devices_of(&id, "pause", (1, 20)).await.unwrap().total, 1);
    }
    assert_eq!(device.control_map(&id).await.unwrap().as_ref(), Some(&map));
    operator.replace_control_map(&id, passing()).await.unwrap();
    assert_eq!(device.control_map(&id).await.unwrap(), Some(passing()));
    assert_eq!(device.next_held("v1").await.unwrap().unwrap().control_map, Some(passing()));

    // Whoever is done has nothing to ask any more, and nobody anything to hold.
    device.report(&id, "success").await.unwrap();
    assert_eq!(refused(device.control_map(&id).await).0, ErrorCode::NotFound);
    assert_eq!(operator.deployment(&id).await.unwrap().control_map, Some(passing()));
    let late = refused(operator.replace_control_map(&id, pausing()).await);
    assert_eq!(late.0, ErrorCode::Conflict);
    assert!(late.1.contains("finished"), "{}", late.1);
}

#[tokio::test]
async fn a_waiting_device_hears_that_its_deployment_is_over() {
    let world = World::new().await;
    let operator = world.operator();
    let (device, other) = (world.device(), world.device());
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(held(&device, pausing())).await.unwrap();
    device.next_held("v1").await.unwrap().unwrap();
    assert_eq!(refused(other.control_map(&id).await).0, ErrorCode::NotFound);
    assert_eq!(refused(device.control_map(UNKNOWN).await).0, ErrorCode::NotFound);
    assert_eq!(refused(device.control_map("nonsense").await).0, ErrorCode::NotFound);
    operator.abort(&id).await.unwrap();
    assert_eq!(refused(device.control_map(&id).await).0, ErrorCode::NotFound);
}

/// A deployment is aborted with one commit, and a long list of devices only afterwards.
#[tokio::test]
async fn an_abort_counts_before_the_devices_records_are_written() {
    let world = World::without_tasks().await;
    let operator = world.operator();
    let device = world.device();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(held(&device, pausing())).await.unwrap();
    let aborted = "update deployments.deployments set aborted_at = now(), finished_at = now()";
    sqlx::query(aborted).execute(&mut world.owner().await).await.unwrap();
    assert_eq!(refused(device.control_map(&id).await).0, ErrorCode::NotFound);
}

#[tokio::test]
async fn without_a_map_there_is_none_to_replace() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(for_devices("v2", [&device])).await.unwrap();
    assert_eq!(device.next_held("v1").await.unwrap().unwrap().control_map, None);
    assert_eq!(device.control_map(&id).await.unwrap(), None);
    let answer = refused(operator.replace_control_map(&id, pausing()).await);
    assert_eq!(answer.0, ErrorCode::Conflict);
    assert!(answer.1.contains("without"), "{}", answer.1);
    let unknown = operator.replace_control_map(UNKNOWN, pausing()).await;
    assert_eq!(refused(unknown).0, ErrorCode::NotFound);
    assert_eq!(operator.deployment(&id).await.unwrap().control_map, None);
}

#[tokio::test]
async fn a_device_that_would_not_wait_is_not_given_what_may_be_held() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(held(&device, pausing())).await.unwrap();
    assert_eq!(device.next("v1").await.unwrap(), None);
    assert_eq!(operator.statistics(&id).await, [("failure".to_owned(), 1)].into());
    let record = operator.devices_of(&id, "", (1, 20)).await.unwrap().devices.remove(0);
    assert_eq!(record.substate, "the device does not understand update control maps");
    assert!(record.finished.is_some());

    // Under a map that only lets pass it does what the others do.
    let id = operator.create(held(&device, passing())).await.unwrap();
    let told = device.next("v1").await.unwrap().unwrap();
    assert_eq!((told.deployment_id, told.control_map), (id.clone(), None));
    // It has begun: a map that comes now is too late for it.
    operator.replace_control_map(&id, pausing()).await.unwrap();
    assert_eq!(device.next("v1").await.unwrap().unwrap().deployment_id, id);
}

#[tokio::test]
async fn maps_that_are_none_are_refused() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(held(&device, pausing())).await.unwrap();
    let rule = |number| ControlRule { action: number, ..ControlRule::default() };
    let endless =
        ControlRule { on_map_expire: ControlAction::Pause.into(), ..ControlRule::default() };
    let with = |rule| ControlMap { priority: 0, states: [(INSTALL.to_owned(), rule)].into() };
    for (map, named) in [
        (control_map("ArtifactInstall", ControlAction::Pause), "ArtifactInstall_Enter"),
        (ControlMap { priority: 11, ..pausing() }, "priority"),
        (with(rule(99)), "99"),
        (with(endless), "on_map_expire"),
    ] {
        for answer in [
            operator.replace_control_map(&id, map.clone()).await,
            operator.create(held(&device, map)).await.map(drop),
        ] {
            let (code, words) = refused(answer);
            assert_eq!(code, ErrorCode::Invalid);
            assert!(words.starts_with("update_control_map.") && words.contains(named), "{words}");
        }
    }
    assert_eq!(operator.deployment(&id).await.unwrap().control_map, Some(pausing()));
}

#[tokio::test]
async fn deployments_that_hold_differently_are_different() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    operator.create(for_devices("v2", [&device])).await.unwrap();
    operator.create(held(&device, pausing())).await.unwrap();
    let again = operator.create(held(&device, pausing())).await;
    assert_eq!(refused(again).0, ErrorCode::AlreadyExists);
}

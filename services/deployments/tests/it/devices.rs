//! What devices are told, and what they report.

use rota_proto::deployments::v1::{CreateDeploymentRequest, DeploymentStatus};
use rota_types::ErrorCode;

use crate::{
    people::{for_devices, refused},
    world::{World, artifact, builder},
};

#[tokio::test]
async fn a_device_installs_and_the_deployment_finishes() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    assert_eq!(device.next("v1").await.unwrap(), None);
    let bytes = artifact("v2", "arm", 100);
    let artifact_id = operator.upload(&bytes).await.unwrap();
    let id = operator.create(for_devices("v2", [&device])).await.unwrap();

    let told = device.next("v1").await.unwrap().unwrap();
    assert_eq!((&told.deployment_id, &told.artifact_id), (&id, &artifact_id));
    assert_eq!(
        (told.artifact_name.as_str(), told.device_types.as_slice()),
        ("v2", ["arm".to_owned()].as_slice())
    );
    assert_eq!(operator.deployment(&id).await.unwrap().status(), DeploymentStatus::Pending);
    assert_eq!(device.next("v1").await.unwrap().unwrap().artifact_id, artifact_id);

    for status in ["downloading", "downloading", "installing", "rebooting"] {
        device.report_with(&id, status, "busy").await.unwrap();
    }
    let running = operator.deployment(&id).await.unwrap();
    assert_eq!(running.status(), DeploymentStatus::InProgress);
    assert_eq!(running.total_size, bytes.len() as u64);
    let record = operator.devices_of(&id, "active", (1, 20)).await.unwrap().devices.remove(0);
    assert_eq!((record.status.as_str(), record.substate.as_str()), ("rebooting", "busy"));
    assert_eq!((record.attempts, record.device_type.as_str()), (1, "arm"));
    assert!(record.started.is_some() && record.finished.is_none());
    assert_eq!(record.artifact.unwrap().name, "v2");

    device.report(&id, "success").await.unwrap();
    let over = operator.deployment(&id).await.unwrap();
    assert_eq!(over.status(), DeploymentStatus::Finished);
    assert!(over.finished.is_some());
    assert_eq!(over.statistics["success"], 1);
    assert_eq!(over.total_size, bytes.len() as u64);
    assert_eq!(device.next("v2").await.unwrap(), None);
}

#[tokio::test]
async fn after_the_end_nothing_changes() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(for_devices("v2", [&device])).await.unwrap();
    device.report(&id, "failure").await.unwrap();
    for status in ["success", "downloading", "failure"] {
        device.report(&id, status).await.unwrap();
    }
    assert_eq!(operator.statistics(&id).await, [("failure".to_owned(), 1)].into());
    // Whoever is done with it is not offered it again.
    assert_eq!(device.next("v1").await.unwrap(), None);
}

#[tokio::test]
async fn reports_that_make_no_sense_are_refused() {
    let world = World::new().await;
    let operator = world.operator();
    let (device, stranger) = (world.device(), world.device());
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(for_devices("v2", [&device])).await.unwrap();
    for word in ["pending", "noartifact", "aborted", "decommissioned", "artifact_too_big", "x", ""]
    {
        assert_eq!(refused(device.report(&id, word).await).0, ErrorCode::Invalid, "{word}");
    }
    let long = device.report_with(&id, "downloading", &"x".repeat(201)).await;
    assert_eq!(refused(long).0, ErrorCode::Invalid);
    let nul = device.report_with(&id, "downloading", "\0").await;
    assert_eq!(refused(nul).0, ErrorCode::Invalid);
    assert_eq!(refused(stranger.report(&id, "success").await).0, ErrorCode::NotFound);
    for unknown in ["foo", &uuid::Uuid::now_v7().to_string()] {
        assert_eq!(refused(device.report(unknown, "success").await).0, ErrorCode::NotFound);
    }
    assert_eq!(operator.statistics(&id).await, [("pending".to_owned(), 1)].into());
}

#[tokio::test]
async fn an_aborted_deployment_is_taken_from_its_devices() {
    let world = World::new().await;
    let operator = world.operator();
    let (done, busy, idle) = (world.device(), world.device(), world.device());
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(for_devices("v2", [&done, &busy, &idle])).await.unwrap();
    done.report(&id, "success").await.unwrap();
    busy.report(&id, "installing").await.unwrap();
    operator.abort(&id).await.unwrap();
    for device in [&busy, &idle] {
        assert_eq!(refused(device.report(&id, "success").await).0, ErrorCode::Conflict);
        assert_eq!(device.next("v1").await.unwrap(), None);
    }
    done.report(&id, "success").await.unwrap();
    let expected = [("success".to_owned(), 1), ("aborted".to_owned(), 2)].into();
    assert_eq!(operator.statistics(&id).await, expected);
    assert_eq!(operator.deployment(&id).await.unwrap().status(), DeploymentStatus::Finished);
    for id in [&*id, &uuid::Uuid::now_v7().to_string()] {
        let again = refused(operator.abort(id).await);
        assert_eq!(again, (ErrorCode::Unprocessable, "Deployment already finished".to_owned()));
    }
    crate::world::eventually("both events are out", async || {
        (world.events.about(&id) == ["created", "aborted"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_device_is_taken_out_alone() {
    let world = World::new().await;
    let operator = world.operator();
    let (one, two) = (world.device(), world.device());
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(for_devices("v2", [&one, &two])).await.unwrap();
    operator.abort_device(one.id()).await.unwrap();
    assert_eq!(refused(one.report(&id, "success").await).0, ErrorCode::Conflict);
    assert_eq!(operator.deployment(&id).await.unwrap().status(), DeploymentStatus::InProgress);
    for _ in 0..2 {
        world.internal().decommission(two.id()).await.unwrap();
    }
    assert_eq!(refused(two.report(&id, "success").await).0, ErrorCode::Conflict);
    let expected = [("aborted".to_owned(), 1), ("decommissioned".to_owned(), 1)].into();
    assert_eq!(operator.statistics(&id).await, expected);
    assert_eq!(operator.deployment(&id).await.unwrap().status(), DeploymentStatus::Finished);
}

#[tokio::test]
async fn what_does_not_fit_or_is_there_already_is_not_installed() {
    let world = World::new().await;
    let operator = world.operator();
    let (equal, other) = (world.device(), world.device());
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(for_devices("v2", [&equal, &other])).await.unwrap();
    assert_eq!(equal.next("v2").await.unwrap(), None);
    assert_eq!(other.next_with("v2", &[("device_type", "mips")]).await.unwrap(), None);
    let expected = [("already-installed".to_owned(), 1), ("noartifact".to_owned(), 1)].into();
    assert_eq!(operator.statistics(&id).await, expected);
    assert_eq!(operator.deployment(&id).await.unwrap().status(), DeploymentStatus::Finished);

    let forced =
        CreateDeploymentRequest { force_installation: true, ..for_devices("v2", [&equal]) };
    let id = operator.create(forced).await.unwrap();
    assert_eq!(equal.next("v2").await.unwrap().unwrap().deployment_id, id);
}

#[tokio::test]
async fn the_smallest_artifact_whose_depends_are_met_is_chosen_and_kept() {
    let world = World::new().await;
    let operator = world.operator();
    let (plain, newer) = (world.device(), world.device());
    let full = operator.upload(&artifact("v2", "arm", 9_000)).await.unwrap();
    let delta = builder("v2", "arm", 100).depends("rootfs-image.checksum", "abc").to_vec().unwrap();
    let delta = operator.upload(&delta).await.unwrap();
    operator.create(for_devices("v2", [&plain, &newer])).await.unwrap();
    assert_eq!(plain.next("v1").await.unwrap().unwrap().artifact_id, full);
    let provides = [("rootfs-image.checksum", "abc")];
    assert_eq!(newer.next_with("v1", &provides).await.unwrap().unwrap().artifact_id, delta);

    // A smaller one that joins does not change a choice that was made.
    let small = builder("v2", "arm", 50).depends_on_artifact("v1").to_vec().unwrap();
    let small = operator.upload(&small).await.unwrap();
    assert_eq!(plain.next("v1").await.unwrap().unwrap().artifact_id, full);
    let late = world.device();
    let again = operator.create(for_devices("v2", [&late])).await.unwrap();
    assert_eq!(late.next("v1").await.unwrap().unwrap().artifact_id, small);
    assert_eq!(operator.deployment(&again).await.unwrap().artifact_ids.len(), 3);
}

#[tokio::test]
async fn a_request_that_changes_in_the_middle_is_a_failure() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(for_devices("v2", [&device])).await.unwrap();
    device.next("v1").await.unwrap().unwrap();
    device.report(&id, "downloading").await.unwrap();
    let changed = device.next_with("v1", &[("device_type", "mips")]).await;
    assert_eq!(refused(changed).0, ErrorCode::Conflict);
    assert_eq!(operator.statistics(&id).await, [("failure".to_owned(), 1)].into());
    assert_eq!(device.next("v1").await.unwrap(), None);
    assert_eq!(operator.deployment(&id).await.unwrap().status(), DeploymentStatus::Finished);
}

#[tokio::test]
async fn a_failure_is_tried_again_as_often_as_was_said() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let request = CreateDeploymentRequest { retries: 2, ..for_devices("v2", [&device]) };
    let id = operator.create(request).await.unwrap();
    for attempt in 1..=3 {
        // What a device provides may be something else after a failure.
        let provides = [("attempt", ["", "1", "2", "3"][attempt])];
        assert_eq!(device.next_with("v1", &provides).await.unwrap().unwrap().deployment_id, id);
        device.report(&id, "installing").await.unwrap();
        for _ in 0..2 {
            device.report(&id, "failure").await.unwrap();
        }
    }
    assert_eq!(device.next("v1").await.unwrap(), None);
    let record = operator.devices_of(&id, "failure", (1, 20)).await.unwrap().devices.remove(0);
    assert_eq!(record.attempts, 3);
}

#[tokio::test]
async fn older_deployments_come_first_and_empty_ones_are_passed_over() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    operator.upload(&artifact("mips-only", "mips", 100)).await.unwrap();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    operator.upload(&artifact("v3", "arm", 100)).await.unwrap();
    let mut ids = Vec::new();
    for name in ["mips-only", "v2", "v3"] {
        ids.push(operator.create(for_devices(name, [&device])).await.unwrap());
        world.clock.advance(chrono::TimeDelta::seconds(1));
    }
    assert_eq!(device.next("v1").await.unwrap().unwrap().deployment_id, ids[1]);
    assert_eq!(operator.statistics(&ids[0]).await, [("noartifact".to_owned(), 1)].into());
    device.report(&ids[1], "success").await.unwrap();
    assert_eq!(device.next("v2").await.unwrap().unwrap().deployment_id, ids[2]);
}

#[tokio::test]
async fn logs_are_kept_read_and_replaced() {
    let world = World::new().await;
    let operator = world.operator();
    let (device, other) = (world.device(), world.device());
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(for_devices("v2", [&device, &other])).await.unwrap();
    assert_eq!(refused(device.send_log(&id, &[]).await).0, ErrorCode::Invalid);
    device.send_log(&id, &["first"]).await.unwrap();
    device.send_log(&id, &["starting", "done"]).await.unwrap();
    assert_eq!(
        operator.log_of(&id, device.id()).await.unwrap(),
        "2027-01-15 08:00:00 +0000 UTC info: starting\n2027-01-15 08:00:00 +0000 UTC info: done\n"
    );
    assert_eq!(refused(operator.log_of(&id, other.id()).await).0, ErrorCode::NotFound);
    let unknown = uuid::Uuid::now_v7().to_string();
    assert_eq!(refused(device.send_log(&unknown, &["x"]).await).0, ErrorCode::NotFound);
    let records = operator.devices_of(&id, "", (0, 0)).await.unwrap().devices;
    let with_log: Vec<_> =
        records.iter().filter(|record| record.log).map(|r| &r.device_id).collect();
    assert_eq!(with_log, [&device.id().to_string()]);
}

#[tokio::test]
async fn device_lists_filter_and_page() {
    let world = World::new().await;
    let operator = world.operator();
    let devices: Vec<_> = (0..3).map(|_| world.device()).collect();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(for_devices("v2", &devices)).await.unwrap();
    devices[0].report(&id, "pause_before_rebooting").await.unwrap();
    devices[1].report(&id, "success").await.unwrap();
    let count = async |status: &str| operator.devices_of(&id, status, (1, 20)).await.unwrap().total;
    assert_eq!(count("").await, 3);
    assert_eq!((count("pause").await, count("active").await, count("finished").await), (1, 2, 1));
    assert_eq!((count("pending").await, count("success").await), (1, 1));
    assert_eq!(refused(operator.devices_of(&id, "x", (1, 20)).await).0, ErrorCode::Invalid);
    let page = operator.devices_of(&id, "", (2, 2)).await.unwrap();
    assert_eq!((page.devices.len(), page.total), (1, 3));
    assert_eq!(refused(operator.devices_of(&id, "", (1, 501)).await).0, ErrorCode::Invalid);
}

#[tokio::test]
async fn a_device_says_what_it_is() {
    let world = World::new().await;
    let device = world.device();
    assert_eq!(refused(device.next("").await).0, ErrorCode::Invalid);
    let untyped = device.next_with("v1", &[("device_type", "")]).await;
    assert_eq!(refused(untyped).0, ErrorCode::Invalid);
}

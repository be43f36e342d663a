//! Containers that take the place of others.

use std::time::Duration;

use rota_artifact::Builder;
use serde_json::{Map, Value, json};

use super::{
    device::Device,
    engine::{self, NEW_IMAGE, OLD_IMAGE, calls, running},
    power::Update,
};
use crate::machine::Call;

const IMAGE: &str = "app@sha256-4e3";

/// A device with a container that runs and one of a compose project.
fn device() -> Device {
    let device = engine::device("docker");
    device.write("engine/containers/old", &format!("running {OLD_IMAGE} none false\n"));
    device.write("engine/containers/compose-p-x", &format!("running {OLD_IMAGE} compose false\n"));
    device.write(&format!("engine/registry/{IMAGE}"), &format!("{NEW_IMAGE}\n"));
    device
}

fn with(device: &Device, meta_data: &Value) -> Builder {
    let meta_data: Map<_, _> = meta_data.as_object().unwrap().clone();
    device.artifact().meta_data(meta_data)
}

fn artifact(device: &Device) -> Vec<u8> {
    let meta_data = json!({"containers": [IMAGE], "run_args": "-p 80:80  --restart always"});
    with(device, &meta_data).to_vec().unwrap()
}

#[test]
fn containers_take_the_place_of_those_that_run() {
    let device = device();
    let old = running(&device);
    device.download(&artifact(&device)).unwrap();
    assert_eq!(running(&device), old);
    device.call(Call::ArtifactInstall).unwrap();
    let new = running(&device);
    assert_eq!(new.get(NEW_IMAGE).map(String::as_str), Some("I"));
    assert_eq!(new.get(OLD_IMAGE).map(String::as_str), Some("I"), "that of the project runs on");
    assert_eq!(device.read("engine/run-args").as_deref(), Some("-p\n80:80\n--restart\nalways\n"));
    assert!(device.supports_rollback());
    device.call(Call::ArtifactRollback).unwrap();
    device.clean_up().unwrap();
    assert_eq!(running(&device), old);
    assert_eq!(std::fs::read_dir(device.path("engine/containers")).unwrap().count(), 2);
    assert!(device.read("engine/no-restart").is_none());

    device.install(&artifact(&device)).unwrap();
    device.call(Call::ArtifactCommit).unwrap();
    device.clean_up().unwrap();
    assert_eq!(running(&device), new);
    assert_eq!(device.read("engine/no-restart").as_deref(), Some("old\n"));
}

#[test]
fn what_goes_wrong_is_undone() {
    let update = Update { device: &device, artifact: &artifact, contents: &running, atomic: None };
    update.survives_wrong_programs();
}

#[test]
fn power_cuts_leave_the_old_containers_or_the_new_ones() {
    Update { device: &device, artifact: &artifact, contents: &running, atomic: None }
        .survives_few_power_cuts();
}

#[test]
fn a_container_that_does_not_stay_up_fails_the_update() {
    for flaw in ["broken", "dying"] {
        let device = device();
        let old = running(&device);
        device.write(&format!("engine/{flaw}/{NEW_IMAGE}"), "");
        device.install(&artifact(&device)).unwrap_err();
        device.call(Call::ArtifactRollback).unwrap();
        device.clean_up().unwrap();
        assert_eq!(running(&device), old, "{flaw}");
    }
}

#[test]
fn a_container_that_goes_away_when_it_stops_cannot_come_back() {
    let device = device();
    device.write("engine/containers/old", &format!("running {OLD_IMAGE} none true\n"));
    device.install(&artifact(&device)).unwrap();
    assert!(!device.supports_rollback());
    device.call(Call::ArtifactCommit).unwrap();
    device.clean_up().unwrap();
}

#[test]
fn a_docker_that_hangs_is_ended() {
    let device = device();
    let old = running(&device);
    device.download(&artifact(&device)).unwrap();
    // The one that stops the old container.
    let next = calls(&device).len() + 3;
    engine::set_fault(&device, next, "hang");
    let error = device.call_within(Call::ArtifactInstall, Duration::from_secs(3)).unwrap_err();
    assert!(crate::log::chain(&error).contains("ran longer than"), "{error:?}");
    assert_eq!(calls(&device).last().unwrap(), "stop old");
    assert!(engine::mend(&device));
    device.call(Call::ArtifactRollback).unwrap();
    assert_eq!(running(&device), old);
}

#[test]
fn wrong_payloads_are_refused() {
    let device = device();
    let old = running(&device);
    for (meta_data, expected) in [
        (json!({}), "at least one image"),
        (json!({"containers": []}), "at least one image"),
        (json!({"containers": "app"}), "at least one image"),
        (json!({"containers": [7]}), "at least one image"),
        (json!({"containers": ["--privileged"]}), "no name of an image"),
        (json!({"containers": ["a b"]}), "no name of an image"),
        (json!({"containers": [""]}), "no name of an image"),
        (json!({"containers": [IMAGE], "run_args": 7}), "must be text"),
        (json!({"containers": ["absent"]}), "docker failed"),
    ] {
        let said = device.refuses(with(&device, &meta_data));
        assert!(said.contains(expected), "{meta_data}: {said}");
    }
    let file = with(&device, &json!({"containers": [IMAGE]})).file_bytes("image", "x");
    assert!(device.refuses(file).contains("named in meta-data"));
    std::fs::remove_file(device.path("engine/docker")).unwrap();
    let said = device.refuses(with(&device, &json!({"containers": [IMAGE]})));
    assert!(said.contains("no container engine answers"), "{said}");
    assert_eq!(running(&device), old);
}

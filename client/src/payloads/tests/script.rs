//! Updates by scripts.

use std::time::Duration;

use rota_artifact::Builder;
use serde_json::{Map, Value, json};

use super::device::Device;
use crate::{
    log::chain,
    machine::{Call, RebootNeed},
};

fn meta_data(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// Scripts that note their name and arguments, and fail where the device says so.
fn artifact(device: &Device) -> Builder {
    let root = device.folder.path().display();
    let script = format!(
        "#!/bin/sh\necho \"$(basename $0)$*\" >> {root}/log\n[ ! -e {root}/fail-$(basename $0)$1 ]\n"
    );
    // Neither in order nor executable.
    device
        .artifact()
        .file_bytes("b", script.clone())
        .file_bytes("a", script.clone())
        .file_bytes("c", script)
}

fn log(device: &Device) -> String {
    device.read("log").unwrap_or_default().replace('\n', " ")
}

#[test]
fn scripts_run_in_order_and_once() {
    let device = Device::new("script");
    device.download(&artifact(&device).to_vec().unwrap()).unwrap();
    assert_eq!(log(&device), "");
    device.call(Call::ArtifactInstall).unwrap();
    assert!(!device.supports_rollback());
    device.call(Call::ArtifactCommit).unwrap();
    device.clean_up().unwrap();
    assert_eq!(log(&device), "a b c ");
}

#[test]
fn a_script_that_fails_ends_it_and_cannot_be_undone() {
    let device = Device::new("script");
    device.write("fail-b", "");
    device.install(&artifact(&device).to_vec().unwrap()).unwrap_err();
    assert!(!device.supports_rollback());
    device.call(Call::ArtifactFailure).unwrap();
    device.clean_up().unwrap();
    assert_eq!(log(&device), "a b ");
}

#[test]
fn a_script_that_hangs_is_ended() {
    let device = Device::new("script");
    let artifact = device.artifact().file_bytes("a", "#!/bin/sh\nexec sleep 600\n");
    device.download(&artifact.to_vec().unwrap()).unwrap();
    let outcome = device.call_within(Call::ArtifactInstall, Duration::from_millis(200));
    assert!(chain(&outcome.unwrap_err()).contains("ran longer than"));
}

#[test]
fn scripts_that_can_go_back_are_called_in_reverse() {
    let device = Device::new("script");
    device.write("fail-bArtifactInstall", "");
    device.write("fail-aArtifactRollback", "");
    let with_rollback = meta_data(&json!({"rollback": true, "reboot": false}));
    let artifact = artifact(&device).meta_data(with_rollback).to_vec().unwrap();
    device.install(&artifact).unwrap_err();
    assert!(device.supports_rollback());
    device.call(Call::ArtifactRollback).unwrap_err();
    std::fs::remove_file(device.path("fail-aArtifactRollback")).unwrap();
    device.call(Call::ArtifactRollback).unwrap();
    device.clean_up().unwrap();
    let expected = "aArtifactInstall bArtifactInstall \
                    bArtifactRollback aArtifactRollback aArtifactRollback ";
    assert_eq!(log(&device), expected);
}

#[test]
fn the_meta_data_may_want_a_reboot() {
    use crate::modules::Installer;
    for (reboot, expected) in [(json!(true), RebootNeed::System), (json!(false), RebootNeed::No)] {
        let device = Device::new("script");
        let artifact = artifact(&device).meta_data(meta_data(&json!({"reboot": reboot})));
        device.download(&artifact.to_vec().unwrap()).unwrap();
        assert_eq!(device.modules().needs_reboot("script").unwrap(), expected);
    }
}

#[test]
fn wrong_payloads_are_refused() {
    let device = Device::new("script");
    assert!(device.refuses(device.artifact()).contains("no script"));
    for (wrong, expected) in [
        (json!({"rollback": "yes"}), "true or false"),
        (json!({"reboot": "sometimes"}), "if-required"),
    ] {
        let said = device.refuses(artifact(&device).meta_data(meta_data(&wrong)));
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(log(&device), "");
}

//! Updates by hand, and what the commands print.

use rota_artifact::Builder;

use crate::device::Device;

fn artifact_name(device: &Device) -> String {
    device.run(&["show-artifact"]).stdout()
}

#[test]
fn install_then_commit() {
    let device = Device::new();
    assert_eq!(artifact_name(&device), "unknown\n");
    let artifact = device.add_artifact("new", "content");
    let installed = device.run(&["install", artifact.to_str().unwrap()]);
    assert_eq!(
        installed.stdout(),
        "Installing artifact...\n\
         Installed, but not committed.\n\
         Use 'commit' to update, or 'rollback' to roll back the update.\n",
        "{}",
        installed.stderr()
    );
    assert_eq!(installed.code(), Some(0));
    assert_eq!(device.read("installed").as_deref(), Some("content"));
    assert_eq!(artifact_name(&device), "unknown\n");

    let second = device.run(&["install", artifact.to_str().unwrap()]);
    assert_eq!((second.code(), second.stdout().as_str()), (Some(1), "System not modified.\n"));

    let committed = device.run(&["commit"]);
    assert_eq!((committed.code(), committed.stdout().as_str()), (Some(0), "Committed.\n"));
    assert_eq!(artifact_name(&device), "new\n");
    let provides = device.run(&["show-provides"]).stdout();
    assert!(provides.contains("artifact_name=new\n"), "{provides}");
    assert!(provides.contains("rootfs-image.test.version=new\n"), "{provides}");
    assert!(!device.path("data/modules/v3/payloads/0000/tree").exists());
}

#[test]
fn install_then_roll_back() {
    let device = Device::new();
    device.write("installed", "old");
    let artifact = device.add_artifact("new", "content");
    assert_eq!(device.run(&["install", artifact.to_str().unwrap()]).code(), Some(0));
    let rolled_back = device.run(&["rollback"]);
    assert_eq!((rolled_back.code(), rolled_back.stdout().as_str()), (Some(0), "Rolled back.\n"));
    assert_eq!(device.read("installed").as_deref(), Some("old"));
    assert_eq!(artifact_name(&device), "unknown\n");
}

#[test]
fn without_an_update_there_is_nothing_to_decide() {
    let device = Device::new();
    for command in ["commit", "rollback", "resume"] {
        let ended = device.run(&[command]);
        assert_eq!((ended.code(), ended.stdout().as_str()), (Some(2), "No update in progress.\n"));
    }
}

#[test]
fn a_module_without_rollback_is_committed_at_once_and_a_reboot_is_announced() {
    let device = Device::new();
    device.write("no-rollback", "");
    device.write("wants-reboot", "");
    let artifact = device.add_artifact("new", "content");
    let path = artifact.to_str().unwrap();
    let installed = device.run(&["install", path, "--reboot-exit-code"]);
    assert_eq!(
        installed.stdout(),
        "Installing artifact...\n\
         Update Module doesn't support rollback. Committing immediately.\n\
         Installed and committed.\n\
         At least one payload requested a reboot of the device it updated.\n"
    );
    assert_eq!(installed.code(), Some(4));
    assert_eq!(artifact_name(&device), "new\n");
    assert_eq!(device.run(&["install", path]).code(), Some(0));
}

#[test]
fn failures_say_in_what_state_they_leave_the_device() {
    for (flaw, expected, name) in [
        ("fail-Download", "Streaming failed.\nSystem not modified.\n", "unknown\n"),
        ("fail-ArtifactInstall", "Installation failed.\nRolled back.\n", "unknown\n"),
        (
            "fail-ArtifactInstall no-rollback",
            "Installation failed.\n\
             Update Module does not support rollback. System may be in an inconsistent state.\n",
            "new_INCONSISTENT\n",
        ),
        (
            "fail-ArtifactInstall fail-ArtifactRollback",
            "Installation failed.\nRollback failed. System may be in an inconsistent state.\n",
            "new_INCONSISTENT\n",
        ),
    ] {
        let device = Device::new();
        for file in flaw.split(' ') {
            device.write(file, "");
        }
        let artifact = device.add_artifact("new", "content");
        let ended = device.run(&["install", artifact.to_str().unwrap()]);
        assert_eq!(ended.stdout(), format!("Installing artifact...\n{expected}"), "{flaw}");
        assert_eq!(ended.code(), Some(1), "{flaw}");
        assert_eq!(artifact_name(&device), name, "{flaw}");
    }
}

#[test]
fn a_bootstrap_artifact_names_the_software_once() {
    let device = Device::new();
    let bootstrap = Builder::bootstrap("factory")
        .device_type("board")
        .provides("rootfs-image.version", "factory")
        .to_vec()
        .unwrap();
    std::fs::write(device.path("data/bootstrap.mender"), bootstrap).unwrap();
    assert_eq!(artifact_name(&device), "factory\n");
    assert!(!device.path("data/bootstrap.mender").exists());
    assert!(device.run(&["show-provides"]).stdout().contains("rootfs-image.version=factory\n"));
}

#[test]
fn an_empty_payload_only_changes_what_is_recorded() {
    let device = Device::new();
    let path = device.path("empty.mender");
    let bytes = Builder::bootstrap("named").device_type("board").to_vec().unwrap();
    std::fs::write(&path, bytes).unwrap();
    let installed = device.run(&["install", path.to_str().unwrap()]);
    assert_eq!(
        installed.stdout(),
        "Installing artifact...\n\
         Artifact with empty payload. Committing immediately.\n\
         Installed and committed.\n"
    );
    assert_eq!(artifact_name(&device), "named\n");
    assert!(device.calls().is_empty());
}

#[test]
fn wrong_use_is_explained_on_standard_error() {
    let device = Device::new();
    for (arguments, expected) in [
        (&["install"][..], "Need a path to an artifact"),
        (&["commit", "now"], "Too many arguments: now"),
        (&["install", "/nonexistent"], "cannot open the Artifact /nonexistent"),
        (&["check-update"], "no daemon is running"),
        (&["--config", "/nonexistent", "show-artifact"], "cannot read the configuration"),
    ] {
        let ended = device.run(arguments);
        assert_eq!(ended.code(), Some(1), "{arguments:?}");
        assert!(ended.stderr().contains(expected), "{arguments:?}: {}", ended.stderr());
    }
}

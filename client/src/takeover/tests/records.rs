//! What each record of an old client becomes.

use std::{fs, io, path::PathBuf, time::Duration};

use tempfile::TempDir;

use super::{
    super::{OldClient, take_over},
    load,
};
use crate::{
    clock::Moment,
    config::Settings,
    control::ControlTimes,
    journal::{FileStore, Store},
    log::{Level, Log},
    machine::{Deployment, DeploymentId, Health, Origin, RebootNeed, Stage, Update},
    records::{Records, Software},
};

const ID: &str = "b53c7b3a-3c1f-4ba8-8b3c-0d1f2a3b4c5d";

/// A data folder that an old client has left.
struct Left {
    folder: TempDir,
}

impl Left {
    fn new(pairs: &[(&str, &str)]) -> Self {
        let left = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(left.path("device_type"), "device_type=board\n").unwrap();
        left.store(pairs);
        left
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The old client writes pairs.
    fn store(&self, pairs: &[(&str, &str)]) {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())).collect();
        load(&self.path("mender-store"), &pairs);
    }

    fn take_over(&self) -> Records {
        let old = OldClient {
            store: self.path("mender-store"),
            work_tree: self.path("tree"),
            device_type: self.path("device_type"),
        };
        let log = Log::new(Level::Error, Box::new(io::sink()));
        take_over(&mut self.journal(), &old, &log).unwrap();
        self.journal().read().unwrap()
    }

    fn journal(&self) -> FileStore {
        FileStore::new(self.folder.path())
    }

    fn change(&self, change: impl Fn(&mut Records)) {
        self.journal().change(&mut |records| change(records)).unwrap();
    }
}

/// The Go client's record of a deployment, as 3.4.0 writes it behind the download.
fn go(name: &str, reboot: &str, rollback: &str) -> String {
    format!(
        r#"{{"Version":2,"Name":"{name}","UpdateInfo":{{"Artifact":{{"Source":{{"URI":"https://s/a",
        "Expire":"2030-01-01T00:00:00Z"}},"device_types_compatible":["board"],
        "PayloadTypes":["app"],"artifact_name":"new","artifact_group":"",
        "artifact_provides":{{"app.version":"2"}},"clears_artifact_provides":["app.*"]}},"ID":"{ID}",
        "RebootRequested":["{reboot}"],"SupportsRollback":"{rollback}","StateDataStoreCount":5,
        "HasDBSchemaUpdate":false}}}}"#
    )
}

/// The C++ client's record of a deployment.
fn cpp(name: &str, all_rollbacks_successful: bool) -> String {
    format!(
        r#"{{"Version":2,"Name":"{name}","UpdateInfo":{{"Artifact":{{"Source":{{"URI":"https://s/a",
        "Expire":""}},"CompatibleDevices":["board"],"PayloadTypes":["app"],"ArtifactName":"new",
        "ArtifactGroup":"blue","TypeInfoProvides":{{"app.version":"2"}},
        "ClearsArtifactProvides":["app.*"]}},"ID":"{ID}",
        "RebootRequested":["reboot-type-automatic"],"SupportsRollback":"rollback-supported",
        "StateDataStoreCount":7,"HasDBSchemaUpdate":false,
        "AllRollbacksSuccessful":{all_rollbacks_successful}}}}}"#
    )
}

fn update(state: &str, name: &str) -> Update {
    let records = Left::new(&[("artifact-name", name), ("state", state)]).take_over();
    records.update.expect("an update is under way")
}

#[test]
fn the_installed_software_is_taken_over() {
    let left = Left::new(&[
        ("artifact-name", "release-1"),
        ("artifact-group", "blue"),
        ("artifact-provides", r#"{"rootfs-image.version":"1","app.version":"2"}"#),
        ("authtoken", "old"),
    ]);
    let records = left.take_over();
    let provides = [("rootfs-image.version", "1"), ("app.version", "2")];
    let software = Software {
        artifact_name: "release-1".into(),
        artifact_group: Some("blue".into()),
        provides: provides.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
    };
    assert_eq!((records.software, records.update), (Some(software), None));
    // The flat file of clients without LMDB says the same, and so do values with a zero byte.
    let mut flat = Vec::new();
    for text in ["artifact-name", "release-1\0", "artifact-group", ""] {
        flat.extend(u32::try_from(text.len()).unwrap().to_ne_bytes());
        flat.extend(text.as_bytes());
    }
    let other = Left::new(&[]);
    fs::write(other.path("mender-store"), flat).unwrap();
    let software = other.take_over().software.unwrap();
    assert_eq!((software.artifact_name.as_str(), software.artifact_group), ("release-1", None));
}

#[test]
fn a_deployment_of_the_go_client_goes_on_where_it_was() {
    let supported = "rollback-supported";
    for (name, stage, health) in [
        ("update-fetch", Stage::UpdateStore, Health::Good),
        ("update-store", Stage::UpdateStore, Health::Good),
        ("update-after-store", Stage::UpdateStore, Health::Good),
        ("update-install", Stage::UpdateInstall, Health::Good),
        ("reboot", Stage::Reboot, Health::Good),
        ("after-reboot", Stage::AfterReboot, Health::Good),
        ("update-commit", Stage::UpdateCommit, Health::Good),
        ("update-after-first-commit", Stage::UpdateAfterCommit, Health::Good),
        ("update-after-commit", Stage::UpdateAfterCommit, Health::Good),
        ("rollback", Stage::Rollback, Health::RolledBack),
        ("rollback-reboot", Stage::RollbackReboot, Health::RolledBack),
        ("verify-rollback-reboot", Stage::AfterRollbackReboot, Health::RolledBack),
        ("after-rollback-reboot", Stage::AfterRollbackReboot, Health::RolledBack),
        ("update-error", Stage::UpdateError, Health::RolledBack),
        ("cleanup", Stage::Cleanup, Health::RolledBack),
        ("update-status-report", Stage::Cleanup, Health::RolledBack),
        ("update-retry-report", Stage::Cleanup, Health::RolledBack),
        ("update-verify", Stage::Unknown, Health::Good),
        ("something-else", Stage::Unknown, Health::Good),
    ] {
        let update = update(&go(name, "reboot-type-custom", supported), "old");
        assert_eq!((update.stage, update.health), (stage, health), "{name}");
        assert!(update.taken_over, "{name}");
    }

    let update = update(&go("reboot", "reboot-type-custom", supported), "old");
    let id = DeploymentId::try_from(ID.to_owned()).unwrap();
    let deployment = Deployment { id, uri: "https://s/a".into() };
    assert_eq!(update.origin, Origin::Deployment(deployment));
    assert_eq!((update.saves, update.supports_rollback), (5, Some(true)));
    assert_eq!(update.reboot, RebootNeed::Module);
    let artifact = update.artifact.unwrap();
    assert_eq!((artifact.name.as_str(), artifact.group), ("new", None));
    assert_eq!(artifact.payload_type.as_deref(), Some("app"));
    assert_eq!(artifact.provides["app.version"], "2");
    assert_eq!(artifact.clears_provides, Some(vec!["app.*".to_owned()]));
}

#[test]
fn what_was_committed_stays_committed() {
    for name in ["update-commit", "update-after-first-commit", "cleanup", "update-retry-report"] {
        let update = update(&go(name, "", "rollback-supported"), "new");
        assert!(update.committed, "{name}");
        assert_eq!(update.health, Health::Good, "{name}");
    }
    let failed = update(&go("cleanup", "", "rollback-not-supported"), "new_INCONSISTENT");
    assert_eq!((failed.health, failed.committed), (Health::Failed, false));
}

#[test]
fn the_cpp_client_says_whether_its_rollbacks_went_well() {
    for (name, undone, installed, health) in [
        ("cleanup", true, "old", Health::RolledBack),
        ("cleanup", false, "old", Health::Failed),
        // The same name again, forced, and rolled back.
        ("cleanup", true, "new", Health::RolledBack),
        // Its power was cut in the cleanup of a success.
        ("cleanup", false, "new", Health::Good),
        ("update-error", true, "old", Health::RolledBack),
        ("update-error", false, "old", Health::Failed),
    ] {
        let update = update(&cpp(name, undone), installed);
        assert_eq!(update.health, health, "{name} {undone} {installed}");
        assert_eq!(update.reboot, RebootNeed::System);
        let artifact = update.artifact.unwrap();
        assert_eq!((artifact.name.as_str(), artifact.group.as_deref()), ("new", Some("blue")));
        assert_eq!(artifact.provides["app.version"], "2");
    }
}

#[test]
fn an_update_that_had_not_been_read_yet_has_no_artifact() {
    let state = format!(
        r#"{{"Version":2,"Name":"update-store","UpdateInfo":{{"Artifact":{{"Source":{{"URI":"u",
        "Expire":""}},"device_types_compatible":["board"],"PayloadTypes":null,
        "artifact_name":"new","artifact_group":""}},"ID":"{ID}","RebootRequested":null,
        "SupportsRollback":"","StateDataStoreCount":1,"HasDBSchemaUpdate":false}}}}"#
    );
    let update = update(&state, "old");
    assert_eq!((update.stage, update.artifact), (Stage::UpdateStore, None));
    assert_eq!((update.reboot, update.supports_rollback), (RebootNeed::No, None));
}

#[test]
fn records_of_clients_before_2_are_of_system_images() {
    let old = format!(
        r#"{{"Version":1,"Name":"reboot","UpdateInfo":{{"Artifact":{{"Source":{{"URI":"u"}},
        "device_types_compatible":["board"],"artifact_name":"new"}},"ID":"{ID}"}}}}"#
    );
    let left = Left::new(&[("state", &old)]);
    let update = left.take_over().update.unwrap();
    assert_eq!((update.stage, update.reboot), (Stage::Reboot, RebootNeed::System));
    assert_eq!(update.supports_rollback, Some(true));
    assert_eq!(update.payload_type(), Some("rootfs-image"));

    // A newer client had begun to finish it, and leaves the old words alone until it is committed.
    let newer = go("update-commit", "reboot-type-custom", "rollback-supported");
    left.store(&[("state-uncommitted", &newer)]);
    assert_eq!(left.take_over().update.unwrap().stage, Stage::UpdateCommit);
    let others = newer.replace(ID, "another");
    left.store(&[("state-uncommitted", &others)]);
    assert_eq!(left.take_over().update.unwrap().stage, Stage::Reboot);
}

#[test]
fn what_cannot_be_understood_is_given_up_and_the_rest_taken_over() {
    let unknown = go("reboot", "", "").replace("\"Version\":2", "\"Version\":3");
    let no_id = go("reboot", "", "").replace(ID, "../..");
    for state in ["", "{}", "[1", unknown.as_str(), no_id.as_str()] {
        let records = Left::new(&[("artifact-name", "old"), ("state", state)]).take_over();
        assert_eq!(records.software().artifact_name, "old", "{state}");
        assert_eq!(records.update, None, "{state}");
    }
    let left = Left::new(&[]);
    for content in [&b"junk"[..], &[0; 8192]] {
        fs::write(left.path("mender-store"), content).unwrap();
        assert_eq!(left.take_over(), Records::default());
    }
}

#[test]
fn an_update_by_hand_goes_on_where_it_was() {
    let go = r#"{"Version":1,"ArtifactName":"new","ArtifactGroup":"",
        "ArtifactTypeInfoProvides":{"app.version":"2"},"ArtifactClearsProvides":["app.*"],
        "PayloadTypes":["app"]}"#;
    let update = Left::new(&[("standalone-state", go)]).take_over().update.unwrap();
    assert_eq!((&update.origin, update.stage), (&Origin::Standalone, Stage::BeforeCommit));
    assert_eq!((update.payload_type(), update.supports_rollback), (Some("app"), Some(true)));
    for (in_state, failed, rolled_back, stage, health) in [
        ("Before_ArtifactInstall_Enter", false, false, Stage::BeforeInstall, Health::Good),
        ("ArtifactInstall_Enter", false, false, Stage::UpdateInstall, Health::Good),
        ("Before_ArtifactCommit_Enter", false, false, Stage::BeforeCommit, Health::Good),
        ("ArtifactCommit_Enter", false, false, Stage::UpdateCommit, Health::Good),
        ("Before_ArtifactCommit_Leave", false, false, Stage::BeforeCommitLeave, Health::Good),
        ("ArtifactCommit_Leave", false, false, Stage::UpdateAfterCommit, Health::Good),
        ("ArtifactRollback_Enter", true, true, Stage::Rollback, Health::RolledBack),
        ("ArtifactFailure_Enter", true, false, Stage::UpdateError, Health::Failed),
        ("Cleanup", true, true, Stage::Cleanup, Health::RolledBack),
        ("Cleanup", false, false, Stage::Cleanup, Health::Good),
        ("Elsewhere", false, false, Stage::Unknown, Health::Good),
    ] {
        let cpp = format!(
            r#"{{"Version":2,"ArtifactName":"new","ArtifactGroup":"","PayloadTypes": ["app"],
            "InState":"{in_state}","Failed":{failed},"RolledBack":{rolled_back}}}"#
        );
        let update = Left::new(&[("standalone-state", &cpp)]).take_over().update.unwrap();
        assert_eq!((update.stage, update.health), (stage, health), "{in_state}");
        assert_eq!(update.artifact.unwrap().clears_provides, None);
    }
}

#[test]
fn control_maps_of_the_go_client_go_on_holding_its_deployment() {
    let maps = format!(
        r#"{{"active":[{{"id":"{ID}","priority":1,"states":{{"ArtifactInstall_Enter":
        {{"action":"pause","on_map_expire":"continue","on_action_executed":"pause"}}}}}},
        {{"id":"local","priority":0,"states":{{}}}}],"expired":null}}"#
    );
    for (name, stage) in [
        ("update-after-store", Stage::PauseInstall),
        ("update-store", Stage::UpdateStore),
        ("reboot", Stage::Reboot),
    ] {
        let state = go(name, "", "rollback-supported");
        let left = Left::new(&[("state", &state), ("update-control-maps", &maps)]);
        let records = left.take_over();
        assert_eq!(records.update.unwrap().stage, stage, "{name}");
        let (now, times) = (Moment::now(), ControlTimes::new(&Settings::default()));
        let priorities: Vec<_> =
            records.controls.maps(&now, &times).map(|(m, _)| m.priority).collect();
        assert_eq!(priorities, [1, 0]);
        // The server is asked at once what it says now.
        assert_eq!(records.controls.refresh_due(&now, &times), Some(Duration::ZERO));
    }
}

#[test]
fn a_reboot_under_a_control_map_that_is_not_understood_is_refused() {
    for (map, name, stage) in [
        ("", "reboot", Stage::Reboot),
        (r#"{"active":null,"expired":[]}"#, "reboot", Stage::Reboot),
        (r#"{"something_update_control_related":true}"#, "reboot", Stage::RebootRefused),
        (r#"{"something_update_control_related":true}"#, "rollback", Stage::Rollback),
    ] {
        let state = cpp(name, false);
        let left = Left::new(&[("state", &state), ("update-control-maps", map)]);
        assert_eq!(left.take_over().update.unwrap().stage, stage, "{map}");
    }
}

#[test]
fn the_store_is_taken_over_once_and_left_as_it_is() {
    let left = Left::new(&[("artifact-name", "old")]);
    let before = fs::read(left.path("mender-store")).unwrap();
    let _ = fs::remove_file(left.path("mender-store-lock"));
    left.take_over();
    left.change(|records| {
        records.software.get_or_insert_default().artifact_name = "ours".into();
    });
    assert_eq!(left.take_over().software().artifact_name, "ours");
    assert_eq!(fs::read(left.path("mender-store")).unwrap(), before);
    assert!(!left.path("mender-store-lock").exists());
}

/// An update to this client was rolled back, and the old client went on; then comes the next one.
#[test]
fn what_the_old_client_did_since_is_taken_over_anew() {
    let first = go("reboot", "", "rollback-supported");
    let left = Left::new(&[("artifact-name", "old"), ("state", &first)]);
    left.take_over();
    left.change(|records| {
        records.update.as_mut().unwrap().stage = Stage::RollbackReboot;
    });
    assert_eq!(left.take_over().update.unwrap().stage, Stage::RollbackReboot);
    let second = first.replace(ID, "second");
    left.store(&[("artifact-name", "old-2"), ("state", &second)]);
    let records = left.take_over();
    assert_eq!(records.software().artifact_name, "old-2");
    let update = records.update.unwrap();
    assert_eq!(update.deployment().unwrap().id.as_str(), "second");
    assert_eq!(update.stage, Stage::Reboot);
}

#[test]
fn an_update_of_its_own_is_never_given_up() {
    let left = Left::new(&[("artifact-name", "old")]);
    left.take_over();
    left.change(|records| {
        let own = Update { stage: Stage::Reboot, ..Update::new(Origin::Standalone) };
        records.update = Some(own);
    });
    left.store(&[("artifact-name", "other")]);
    let records = left.take_over();
    assert_eq!(records.software().artifact_name, "old");
    assert!(records.update.is_some());

    // Nor is a journal from before there was a store.
    let left = Left::new(&[]);
    fs::remove_file(left.path("mender-store")).unwrap();
    left.change(|records| {
        records.software.get_or_insert_default().artifact_name = "ours".into();
    });
    left.store(&[("artifact-name", "other")]);
    assert_eq!(left.take_over().software().artifact_name, "ours");
}

#[test]
fn a_system_image_that_came_without_a_work_tree_gets_one() {
    let state = go("reboot", "reboot-type-custom", "rollback-supported");
    let image = state.replace("[\"app\"]", "[\"rootfs-image\"]");
    let left = Left::new(&[("artifact-name", "old"), ("state", &image)]);
    // What another update has left there is not of this one.
    fs::create_dir_all(left.path("tree/header")).unwrap();
    fs::create_dir_all(left.path("tree/files")).unwrap();
    fs::write(left.path("tree/header/payload_type"), "app").unwrap();
    fs::write(left.path("tree/files/content"), "stale").unwrap();
    assert_eq!(left.take_over().update.unwrap().reboot, RebootNeed::System);
    let read = |name: &str| fs::read_to_string(left.path("tree").join(name)).unwrap();
    assert_eq!(read("version"), "3\n");
    assert_eq!(read("current_artifact_name"), "old\n");
    assert_eq!(read("current_device_type"), "board\n");
    assert_eq!(read("header/artifact_name"), "new");
    assert_eq!(read("header/payload_type"), "rootfs-image");
    assert!(left.path("tree/tmp").is_dir());
    assert!(!left.path("tree/files/content").exists());

    // Other payloads have theirs, or are lost.
    let left = Left::new(&[("state", &state)]);
    left.take_over();
    assert!(!left.path("tree").exists());
}

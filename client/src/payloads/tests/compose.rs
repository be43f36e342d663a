//! Compose projects.

use std::{fs, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use rota_artifact::Builder;
use serde_json::{Value, json};
use tar::Header;

use super::{
    device::{Contents, Device, contents},
    engine::{self, NEW_IMAGE, OLD_IMAGE, running},
    power::Update,
};
use crate::machine::Call;

/// A device with a project; both versions call their image the same.
fn device() -> Device {
    let device = engine::device("docker-compose");
    let store = device.path("store");
    device.write(
        "config/mender-docker-compose.conf",
        &format!("PERSISTENT_STORE={}\nWAIT_TIMEOUT=1\n", store.display()),
    );
    device.write("store/current/manifests/compose.yaml", "image: app:1\n");
    device.write("store/current/project_name", "p\n");
    device.write("store/current/image_ids", &format!("{}\n", &OLD_IMAGE[7..]));
    brought_up_from(&device, "store/current/manifests");
    device.write("engine/images/app:1", &format!("{OLD_IMAGE}\n"));
    device.write(
        "engine/containers/compose-p-app:1",
        &format!("running {OLD_IMAGE} compose false\n"),
    );
    device
}

fn brought_up_from(device: &Device, folder: &str) {
    device.write("engine/folders/p", &format!("{}\n", device.path(folder).display()));
}

/// The folder where the containers of the project look for the files that they mount.
fn mounted(device: &Device) -> Option<String> {
    let folder = device.read("engine/folders/p")?;
    let folder = Path::new(folder.trim_end());
    assert!(folder.is_dir(), "containers will not find {} again", folder.display());
    Some(folder.strip_prefix(device.folder.path()).unwrap().to_str().unwrap().to_owned())
}

fn packed(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        archive.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn builder(device: &Device, meta_data: &Value) -> Builder {
    device.artifact().meta_data(meta_data.as_object().unwrap().clone())
}

fn artifact(device: &Device) -> Vec<u8> {
    let image = format!("app:1 {NEW_IMAGE}\n");
    builder(device, &json!({"version": "1", "project_name": "p"}))
        .file_bytes("images.tar.gz", zipped(&packed(&[("images/app_1.tar", &image)])))
        .file_bytes("manifests.tar", packed(&[("manifests/compose.yaml", "image: app:1\n")]))
        .to_vec()
        .unwrap()
}

/// What runs and from where, what the names of images mean, and what is stored, but for the
/// update's own name.
fn state(device: &Device) -> Contents {
    let mut state = running(device);
    state.extend(mounted(device).map(|folder| ("mounted".to_owned(), folder)));
    state.extend(contents(&device.path("engine/images")));
    let mut stored = contents(&device.path("store"));
    stored.retain(|name, _| !name.ends_with("update_id"));
    // The folder's own permissions are the client's or Mender's.
    stored.retain(|name, _| name.contains("manifests/") || name.ends_with("_ids"));
    state.extend(stored.into_iter().map(|(name, found)| (format!("store{name}"), found)));
    state
}

#[test]
fn a_project_takes_the_place_of_another_and_comes_back() {
    let device = device();
    let old = state(&device);
    device.download(&artifact(&device)).unwrap();
    assert_eq!(state(&device), old);
    device.call(Call::ArtifactInstall).unwrap();
    assert_eq!(running(&device).keys().collect::<Vec<_>>(), [NEW_IMAGE]);
    assert!(device.supports_rollback());
    device.call(Call::ArtifactRollback).unwrap();
    device.clean_up().unwrap();
    // The name of the image means the old one again, or the old project would run the new one.
    assert_eq!(state(&device), old);

    device.install(&artifact(&device)).unwrap();
    device.call(Call::ArtifactCommit).unwrap();
    device.clean_up().unwrap();
    assert_eq!(running(&device).keys().collect::<Vec<_>>(), [NEW_IMAGE]);
    let ids = device.read("store/current/image_ids");
    assert_eq!(ids.as_deref(), Some(&*format!("{NEW_IMAGE}\n")));
    assert!(!device.path("store/new").exists());
    assert_eq!(mounted(&device).as_deref(), Some("store/current/manifests"));
}

/// Mender's module brings a project up from the folder that it moves at the commit.
#[test]
fn a_project_of_menders_module_comes_back_where_it_can_stay() {
    let device = device();
    brought_up_from(&device, "store/new/manifests");
    device.install(&artifact(&device)).unwrap();
    device.call(Call::ArtifactRollback).unwrap();
    device.clean_up().unwrap();
    assert_eq!(mounted(&device).as_deref(), Some("store/current/manifests"));
}

#[test]
fn a_rollback_that_fails_keeps_both_projects() {
    let device = device();
    device.install(&artifact(&device)).unwrap();
    // The engine is dead.
    device.write("engine/off", "");
    device.call(Call::ArtifactRollback).unwrap_err();
    device.clean_up().unwrap();
    let image = |project: &str| device.read(&format!("store/{project}/image_ids")).unwrap();
    assert_eq!(image("current"), format!("{}\n", &OLD_IMAGE[7..]));
    assert_eq!(image("new"), format!("{NEW_IMAGE}\n"));
}

#[test]
fn the_first_project_goes_away_again() {
    let device = device();
    fs::remove_dir_all(device.path("store/current")).unwrap();
    fs::remove_file(device.path("engine/images/app:1")).unwrap();
    fs::remove_file(device.path("engine/containers/compose-p-app:1")).unwrap();
    device.install(&artifact(&device)).unwrap();
    device.call(Call::ArtifactCommit).unwrap();
    assert!(device.path("store/current").exists());
    // A rollback may come after the commit was begun.
    device.call(Call::ArtifactRollback).unwrap();
    device.clean_up().unwrap();
    assert!(running(&device).is_empty());
    assert!(contents(&device.path("engine/images")).len() == 1, "the image goes, too");
    assert_eq!(contents(&device.path("store")).len(), 1);
}

#[test]
fn a_project_that_does_not_come_up_is_replaced_by_the_former_one() {
    let device = device();
    let old = state(&device);
    device.write(&format!("engine/broken/{NEW_IMAGE}"), "");
    device.install(&artifact(&device)).unwrap_err();
    device.call(Call::ArtifactRollback).unwrap();
    device.clean_up().unwrap();
    assert_eq!(state(&device), old);
}

#[test]
fn what_goes_wrong_is_undone() {
    Update { device: &device, artifact: &artifact, contents: &state, atomic: None }
        .survives_wrong_programs();
}

#[test]
fn power_cuts_leave_the_old_project_or_the_new_one() {
    Update { device: &device, artifact: &artifact, contents: &state, atomic: None }
        .survives_few_power_cuts();
}

#[test]
fn wrong_payloads_are_refused() {
    let device = device();
    let old = state(&device);
    let good = json!({"version": "1", "project_name": "p"});
    let images = || zipped(&packed(&[("images/a.tar", "x")]));
    let manifests = || packed(&[("manifests/compose.yaml", "x")]);
    let whole = |meta_data: &Value| {
        builder(&device, meta_data)
            .file_bytes("images.tar.gz", images())
            .file_bytes("manifests.tar", manifests())
    };
    let mut hostile = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..4].copy_from_slice(b"../x");
    header.set_size(0);
    header.set_cksum();
    hostile.append(&header, &[][..]).unwrap();
    let hostile = hostile.into_inner().unwrap();
    for (payload, expected) in [
        (whole(&json!({})), "version in its meta-data"),
        (whole(&json!({"version": "2", "project_name": "p"})), "version in its meta-data"),
        (whole(&json!({"version": 1, "project_name": "p"})), "must be text"),
        (whole(&json!({"version": "1"})), "project_name"),
        (whole(&json!({"version": "1", "project_name": "-f"})), "project_name"),
        (whole(&json!({"version": "1", "project_name": "../p"})), "project_name"),
        (builder(&device, &good).file_bytes("images.tar.gz", images()), "no file manifests.tar"),
        (builder(&device, &good).file_bytes("manifests.tar", manifests()), "no file images.tar.gz"),
        (whole(&good).file_bytes("more", "x"), "nothing asks for"),
        (
            builder(&device, &good)
                .file_bytes("images.tar.gz", images())
                .file_bytes("manifests.tar", hostile),
            "leads out",
        ),
    ] {
        let said = device.refuses(payload);
        assert!(said.contains(expected), "{expected}: {said}");
        assert_eq!(state(&device), old);
    }
    device.write("config/mender-docker-compose.conf", "WAIT_TIMEOUT=soon\n");
    assert!(device.refuses(whole(&good)).contains("WAIT_TIMEOUT"));
}

#[test]
fn broken_archives_fail_and_go_back() {
    let device = device();
    let old = state(&device);
    let good = json!({"version": "1", "project_name": "p"});
    let image = format!("app:1 {NEW_IMAGE}\n");
    let images = zipped(&packed(&[("images/app_1.tar", &image)]));
    let manifests = packed(&[("manifests/compose.yaml", "image: app:1\n")]);
    for (images, manifests) in [
        (b"no archive".to_vec(), manifests.clone()),
        (images.clone(), packed(&[("compose.yaml", "x")])),
        (images.clone(), packed(&[("manifests/compose.yaml", "x"), ("project_name", "x")])),
        (images.clone(), packed(&[("manifests/compose.yaml", "image: absent:1\n")])),
        (images[..images.len() / 2].to_vec(), manifests),
    ] {
        let artifact = builder(&device, &good)
            .file_bytes("images.tar.gz", images)
            .file_bytes("manifests.tar", manifests);
        device.install(&artifact.to_vec().unwrap()).unwrap_err();
        device.call(Call::ArtifactRollback).unwrap();
        device.clean_up().unwrap();
        assert_eq!(state(&device), old);
    }
}

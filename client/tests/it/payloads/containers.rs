//! Containers, one by one and as compose projects, with a stand-in for Docker.

use std::{fs, process::Command};

use rota_artifact::Builder;
use serde_json::json;

use super::{artifact_name, put, run, succeeds};
use crate::device::Device;

/// A device whose `docker` stands in for a real one, with an old container and the image of a new
/// one.
fn device_with_engine() -> Device {
    let mut device = Device::new();
    for folder in ["containers", "images", "registry", "broken"] {
        fs::create_dir_all(device.path("engine").join(folder)).unwrap();
    }
    let script = include_str!("../../../src/payloads/tests/docker.sh");
    device.add_script("engine/docker", script.trim_start_matches("#!/bin/sh\n"));
    device.write("engine/containers/old", "running sha256:old none false\n");
    device.write("engine/registry/app", "sha256:new\n");
    let path = std::env::var("PATH").unwrap();
    device.set_environment("PATH", format!("{}:{path}", device.path("engine").display()));
    device
}

fn running(device: &Device) -> Vec<String> {
    let containers = fs::read_dir(device.path("engine/containers")).unwrap();
    let contents = containers.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let running = contents.filter_map(|content| {
        let image = content.strip_prefix("running ")?.split(' ').next()?;
        Some(image.to_owned())
    });
    running.collect()
}

#[test]
fn containers_are_installed_rolled_back_and_committed() {
    let device = device_with_engine();
    let meta_data = json!({"containers": ["app"], "run_args": "-p 80:80"});
    let builder = || {
        Builder::module_image("docker", "containers")
            .meta_data(meta_data.as_object().unwrap().clone())
    };
    let artifact = put(&device, builder());
    succeeds(&device.run(&["install", &artifact]), "Installed, but not committed.");
    assert_eq!(running(&device), ["sha256:new"]);
    succeeds(&device.run(&["rollback"]), "Rolled back.");
    assert_eq!(running(&device), ["sha256:old"]);
    succeeds(&device.run(&["install", &artifact]), "Installed, but not committed.");
    succeeds(&device.run(&["commit"]), "Committed.");
    assert_eq!(running(&device), ["sha256:new"]);

    device.write("engine/broken/sha256:new", "");
    let failed = device.run(&["install", &put(&device, builder())]);
    assert!(failed.stdout().contains("Rolled back."), "{}", failed.stdout());
    assert!(failed.stderr().contains("not all containers are up"), "{}", failed.stderr());
    assert_eq!(artifact_name(&device), "containers\n");
}

/// Packed by the programs `tar` and `gzip`, as by Mender's generator.
#[test]
fn a_compose_project_is_installed_rolled_back_and_committed() {
    let device = device_with_engine();
    fs::remove_file(device.path("engine/containers/old")).unwrap();
    let store = device.path("store").display().to_string();
    device.write("config/mender-docker-compose.conf", &format!("PERSISTENT_STORE=\"{store}\"\n"));
    let project = |image: &str| {
        for folder in ["pack/images", "pack/manifests"] {
            fs::create_dir_all(device.path(folder)).unwrap();
        }
        device.write("pack/images/app_1.tar", &format!("app:1 {image}\n"));
        device.write("pack/manifests/compose.yaml", "image: app:1\n");
        let pack = |flags: &str, archive: &str, folder: &str| {
            let mut tar = Command::new("tar");
            run(tar
                .arg("-C")
                .arg(device.path("pack"))
                .arg(flags)
                .arg(device.path(archive))
                .arg(folder));
        };
        pack("-czf", "images.tar.gz", "images");
        pack("-cf", "manifests.tar", "manifests");
        let meta_data = json!({"version": "1", "project_name": "p"});
        let builder = Builder::module_image("docker-compose", format!("project-{image}"))
            .file(device.path("images.tar.gz"))
            .file(device.path("manifests.tar"))
            .meta_data(meta_data.as_object().unwrap().clone());
        put(&device, builder)
    };
    let first = project("sha256:first-of-all-images");
    succeeds(&device.run(&["install", &first]), "Installed, but not committed.");
    succeeds(&device.run(&["commit"]), "Committed.");
    assert_eq!(running(&device), ["sha256:first-of-all-images"]);

    let second = project("sha256:second-of-all-images");
    succeeds(&device.run(&["install", &second]), "Installed, but not committed.");
    assert_eq!(running(&device), ["sha256:second-of-all-images"]);
    succeeds(&device.run(&["rollback"]), "Rolled back.");
    assert_eq!(running(&device), ["sha256:first-of-all-images"]);

    device.write("engine/broken/sha256:second-of-all-images", "");
    let failed = device.run(&["install", &second]);
    assert!(failed.stdout().contains("Rolled back."), "{}", failed.stdout());
    assert!(failed.stderr().contains("what the containers said"), "{}", failed.stderr());
    assert_eq!(running(&device), ["sha256:first-of-all-images"]);
}

//! A container engine of files, driven by a program that stands in for docker.

use std::fs;

use super::device::{Contents, Device};

pub(super) const OLD_IMAGE: &str = "sha256:01d01d01d01d01d0";
pub(super) const NEW_IMAGE: &str = "sha256:4e34e34e34e34e34";

/// A device with an engine.
pub(super) fn device(payload_type: &'static str) -> Device {
    use std::os::unix::fs::PermissionsExt;
    let device = Device::new(payload_type);
    for folder in ["containers", "folders", "images", "registry", "broken"] {
        fs::create_dir_all(device.path("engine").join(folder)).unwrap();
    }
    let docker = device.write("engine/docker", include_str!("docker.sh"));
    fs::set_permissions(docker, fs::Permissions::from_mode(0o755)).unwrap();
    device
}

/// The images of the containers that run, each with the number of them.
pub(super) fn running(device: &Device) -> Contents {
    let mut found = Contents::new();
    for entry in fs::read_dir(device.path("engine/containers")).unwrap() {
        let container = fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut words = container.split(' ');
        if words.next() == Some("running") {
            let count = found.entry(words.next().unwrap().to_owned()).or_default();
            count.push('I');
        }
    }
    found
}

pub(super) fn calls(device: &Device) -> Vec<String> {
    device.read("engine/calls").unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Makes a call of docker go wrong, counted from the first on the device.
pub(super) fn set_fault(device: &Device, call: usize, how: &str) {
    device.write("engine/fault", &format!("{call} {how}\n"));
}

/// Makes the engine sound again; `false` if nothing had gone wrong.
pub(super) fn mend(device: &Device) -> bool {
    let reached = calls(device).len();
    let fault = device.read("engine/fault").unwrap();
    let _ = fs::remove_file(device.path("engine/off"));
    fs::remove_file(device.path("engine/fault")).unwrap();
    fault.split(' ').next().unwrap().parse::<usize>().unwrap() <= reached
}

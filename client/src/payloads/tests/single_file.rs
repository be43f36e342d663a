//! Updates of a single file.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
};

use rota_artifact::Builder;
use rustix::process::geteuid;

use super::{
    device::{Contents, Device, contents},
    power::Update,
};
use crate::machine::Call;

fn device() -> Device {
    let device = Device::new("single-file");
    fs::set_permissions(device.write("etc/motd", "old"), fs::Permissions::from_mode(0o640))
        .unwrap();
    // Only root can give a file away.
    if geteuid().is_root() {
        chown(device.path("etc/motd"), Some(7), Some(8)).unwrap();
    }
    device
}

/// As the generator of Mender's writes it.
fn artifact(device: &Device, folder: &str) -> Builder {
    device
        .artifact()
        .file_bytes("dest_dir", format!("{}\n", device.path(folder).display()))
        .file_bytes("filename", "motd\n")
        .file_bytes("permissions", "755\n")
        .file_bytes("motd", "new")
}

fn etc(device: &Device) -> Contents {
    contents(&device.path("etc"))
}

#[test]
fn a_file_is_replaced_and_comes_back() {
    let device = device();
    let old = etc(&device);
    let inode = fs::metadata(device.path("etc/motd")).unwrap().ino();
    let artifact = artifact(&device, "etc").to_vec().unwrap();
    device.download(&artifact).unwrap();
    assert_eq!(etc(&device), old, "nothing changes while it is downloaded");
    device.call(Call::ArtifactInstall).unwrap();
    assert_eq!(device.read("etc/motd").as_deref(), Some("new"));
    assert!(device.supports_rollback());
    device.call(Call::ArtifactRollback).unwrap();
    device.clean_up().unwrap();
    assert_eq!(etc(&device), old);
    assert_eq!(fs::metadata(device.path("etc/motd")).unwrap().ino(), inode, "the very same file");

    device.install(&artifact).unwrap();
    device.call(Call::ArtifactCommit).unwrap();
    device.clean_up().unwrap();
    let new = fs::metadata(device.path("etc/motd")).unwrap();
    assert_eq!((new.mode() & 0o7777, new.uid()), (0o755, geteuid().as_raw()));
    assert_eq!(etc(&device).len(), 2, "the folder and the file");
}

#[test]
fn a_file_that_was_not_there_goes_away_with_its_folders() {
    let device = device();
    let artifact = artifact(&device, "etc/a/b").to_vec().unwrap();
    let old = etc(&device);
    device.install(&artifact).unwrap();
    assert_eq!(device.read("etc/a/b/motd").as_deref(), Some("new"));
    device.call(Call::ArtifactRollback).unwrap();
    device.clean_up().unwrap();
    assert_eq!(etc(&device), old);
}

#[test]
fn a_link_is_replaced_and_not_what_it_points_to() {
    let device = device();
    let elsewhere = device.write("elsewhere", "untouched");
    fs::remove_file(device.path("etc/motd")).unwrap();
    symlink(&elsewhere, device.path("etc/motd")).unwrap();
    device.install(&artifact(&device, "etc").to_vec().unwrap()).unwrap();
    assert!(!device.path("etc/motd").is_symlink());
    device.call(Call::ArtifactRollback).unwrap();
    assert_eq!(fs::read_link(device.path("etc/motd")).unwrap(), elsewhere);
    assert_eq!(device.read("elsewhere").as_deref(), Some("untouched"));
}

#[test]
fn without_permissions_the_mode_stays() {
    let device = device();
    let artifact = device
        .artifact()
        .file_bytes("dest_dir", device.path("etc").to_str().unwrap())
        .file_bytes("filename", "motd")
        .file_bytes("motd", "new");
    device.install(&artifact.to_vec().unwrap()).unwrap();
    assert_eq!(fs::metadata(device.path("etc/motd")).unwrap().mode() & 0o7777, 0o640);
}

#[test]
fn a_rollback_that_fails_keeps_the_former_file() {
    let device = device();
    device.install(&artifact(&device, "etc").to_vec().unwrap()).unwrap();
    fs::remove_file(device.path("etc/motd")).unwrap();
    fs::create_dir(device.path("etc/motd")).unwrap();
    device.call(Call::ArtifactRollback).unwrap_err();
    device.clean_up().unwrap();
    assert_eq!(device.read("etc/.motd.rota-old").as_deref(), Some("old"));
}

/// Where there is a file, and where there is not even a folder.
const FOLDERS: [&str; 2] = ["etc", "etc/a/b"];

#[test]
fn power_cuts_leave_the_old_file_or_the_new_one() {
    for folder in FOLDERS {
        Update {
            device: &device,
            artifact: &|device| artifact(device, folder).to_vec().unwrap(),
            contents: &etc,
            atomic: Some(&format!("{folder}/motd")),
        }
        .survives_power_cuts();
    }
}

#[test]
fn full_disks_leave_the_old_file_or_the_new_one() {
    for folder in FOLDERS {
        Update {
            device: &device,
            artifact: &|device| artifact(device, folder).to_vec().unwrap(),
            contents: &etc,
            atomic: Some(&format!("{folder}/motd")),
        }
        .survives_full_disks();
    }
}

#[test]
fn hostile_payloads_are_refused_before_anything_changes() {
    let device = device();
    let etc_text = device.path("etc").display().to_string();
    fs::create_dir(device.path("etc/folder")).unwrap();
    let old = etc(&device);
    for (files, expected) in [
        (&[("filename", "motd"), ("motd", "x")][..], "it has no file dest_dir"),
        (&[("dest_dir", "etc"), ("filename", "motd"), ("motd", "x")], "absolute path"),
        (&[("dest_dir", "/a/../etc"), ("filename", "motd"), ("motd", "x")], "absolute path"),
        (&[("dest_dir", "/etc\n/usr"), ("filename", "motd"), ("motd", "x")], "one line"),
        (&[("dest_dir", ""), ("filename", "motd"), ("motd", "x")], "one line"),
        (&[("dest_dir", &etc_text), ("motd", "x")], "it has no file filename"),
        (&[("dest_dir", &etc_text), ("filename", "../motd"), ("motd", "x")], "plain name"),
        (&[("dest_dir", &etc_text), ("filename", ".."), ("motd", "x")], "plain name"),
        (&[("dest_dir", &etc_text), ("filename", "a\nb"), ("motd", "x")], "one line"),
        (&[("dest_dir", &etc_text), ("filename", "other"), ("motd", "x")], "no such file"),
        (&[("dest_dir", &etc_text), ("filename", "folder"), ("folder", "x")], "neither a file"),
        (
            &[("dest_dir", &etc_text), ("filename", "motd"), ("motd", "x"), ("more", "x")],
            "nothing asks for",
        ),
        (
            &[("dest_dir", &etc_text), ("filename", "motd"), ("motd", "x"), ("permissions", "u+x")],
            "octal digits",
        ),
        (
            &[("dest_dir", &format!("{etc_text}/motd")), ("filename", "motd"), ("motd", "x")],
            "not a folder",
        ),
    ] {
        let artifact = files.iter().fold(device.artifact(), |artifact, (name, content)| {
            artifact.file_bytes(*name, *content)
        });
        let said = device.refuses(artifact);
        assert!(said.contains(expected), "{files:?}: {said}");
        assert_eq!(etc(&device), old, "{files:?}");
    }
    let long = "x".repeat(9000);
    let artifact = device.artifact().file_bytes("dest_dir", long).file_bytes("filename", "x");
    assert!(device.refuses(artifact).contains("longer than"));
}

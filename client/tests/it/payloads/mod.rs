//! The types of payload that the client installs by itself, through the program that devices run:
//! here files, folders and scripts.

mod containers;
mod packages;

use std::{fs, path::Path, process::Command, time::Duration};

use rota_artifact::Builder;

use crate::device::{Device, Finished};

/// Rounds of killing the client in an update.
const KILLS: u64 = 12;

/// Writes an Artifact into the device's folder.
fn put(device: &Device, builder: Builder) -> String {
    let path = device.path("artifact.mender");
    fs::write(&path, builder.device_type("board").threads(1).to_vec().unwrap()).unwrap();
    path.into_os_string().into_string().unwrap()
}

fn single_file(device: &Device, content: &str) -> Builder {
    Builder::module_image("single-file", format!("file-{content}"))
        .file_bytes("dest_dir", format!("{}\n", device.path("etc").display()))
        .file_bytes("filename", "motd\n")
        .file_bytes("permissions", "644\n")
        .file_bytes("motd", content)
}

/// The program `tar` packs it, as Mender's generator lets it do.
fn directory(device: &Device, content: &str) -> Builder {
    let source = device.path("packing");
    fs::create_dir_all(source.join("inner")).unwrap();
    fs::write(source.join("one"), content).unwrap();
    fs::write(source.join("inner/two"), content.repeat(100_000)).unwrap();
    let archive = device.path("update.tar");
    run(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&source).arg("."));
    Builder::module_image("directory", format!("folder-{content}"))
        .file(archive)
        .file_bytes("dest_dir", format!("{}\n", device.path("srv/app").display()))
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn succeeds(finished: &Finished, expected: &str) {
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr());
    assert!(finished.stdout().contains(expected), "{}", finished.stdout());
}

fn artifact_name(device: &Device) -> String {
    device.run(&["show-artifact"]).stdout()
}

#[test]
fn a_single_file_is_installed_rolled_back_and_committed() {
    let device = Device::new();
    fs::create_dir(device.path("etc")).unwrap();
    device.write("etc/motd", "old");
    let artifact = put(&device, single_file(&device, "new"));
    succeeds(&device.run(&["install", &artifact]), "Installed, but not committed.");
    assert_eq!(device.read("etc/motd").as_deref(), Some("new"));
    succeeds(&device.run(&["rollback"]), "Rolled back.");
    assert_eq!(device.read("etc/motd").as_deref(), Some("old"));
    assert_eq!(artifact_name(&device), "unknown\n");

    succeeds(&device.run(&["install", &artifact]), "Installed, but not committed.");
    succeeds(&device.run(&["commit"]), "Committed.");
    assert_eq!(device.read("etc/motd").as_deref(), Some("new"));
    assert_eq!(artifact_name(&device), "file-new\n");
    assert_eq!(fs::read_dir(device.path("etc")).unwrap().count(), 1);
}

#[test]
fn a_directory_is_installed_rolled_back_and_committed() {
    let device = Device::new();
    fs::create_dir_all(device.path("srv/app")).unwrap();
    device.write("srv/app/one", "old");
    let artifact = put(&device, directory(&device, "new"));
    succeeds(&device.run(&["install", &artifact]), "Installed, but not committed.");
    assert_eq!(device.read("srv/app/one").as_deref(), Some("new"));
    succeeds(&device.run(&["rollback"]), "Rolled back.");
    assert_eq!(device.read("srv/app/one").as_deref(), Some("old"));
    assert!(!device.path("srv/app/inner").exists());

    succeeds(&device.run(&["install", &artifact]), "Installed, but not committed.");
    succeeds(&device.run(&["commit"]), "Committed.");
    assert_eq!(device.read("srv/app/one").as_deref(), Some("new"));
    assert_eq!(fs::read_dir(device.path("srv")).unwrap().count(), 1);
}

/// Mender's generators end in these calls of mender-artifact, which Debian has.
#[test]
fn what_mender_artifact_writes_is_installed() {
    let device = Device::new();
    let write = |payload_type: &str, name: &str, files: &[&str]| {
        let artifact = device.path("mender.mender");
        let mut command = Command::new("mender-artifact");
        command.current_dir(device.path("")).args(["write", "module-image", "-t", "board"]);
        command.args(["-T", payload_type, "-n", name, "-o"]).arg(&artifact);
        run(command.args(files.iter().flat_map(|file| ["-f", file])));
        artifact.into_os_string().into_string().unwrap()
    };
    for (name, content) in [("filename", "motd\n"), ("permissions", "640\n"), ("motd", "new")] {
        device.write(name, content);
    }
    device.write("dest_dir", &format!("{}\n", device.path("etc").display()));
    let files = ["dest_dir", "filename", "permissions", "motd"];
    device.run(&["install", &write("single-file", "file", &files)]);
    succeeds(&device.run(&["commit"]), "Committed.");
    assert_eq!(device.read("etc/motd").as_deref(), Some("new"));

    directory(&device, "new");
    device.write("dest_dir", &format!("{}\n", device.path("srv/app").display()));
    device.run(&["install", &write("directory", "folder", &["update.tar", "dest_dir"])]);
    succeeds(&device.run(&["commit"]), "Committed.");
    assert_eq!(device.read("srv/app/one").as_deref(), Some("new"));
}

#[test]
fn an_update_that_cannot_be_installed_leaves_the_device_as_it_was() {
    let device = Device::new();
    fs::create_dir(device.path("etc")).unwrap();
    // In the place of the file there is a folder.
    fs::create_dir(device.path("etc/motd")).unwrap();
    let failed = device.run(&["install", &put(&device, single_file(&device, "new"))]);
    assert_eq!(failed.code(), Some(1));
    assert!(failed.stdout().contains("System not modified."), "{}", failed.stdout());
    assert!(failed.stderr().contains("neither a file nor a link"), "{}", failed.stderr());
    assert!(device.path("etc/motd").is_dir());
}

#[test]
fn an_executable_of_the_name_of_a_type_comes_first() {
    let device = Device::new();
    let log = device.path("log").display().to_string();
    device.add_script("share/modules/v3/single-file", &format!("echo $1 >> {log}"));
    device.run(&["install", &put(&device, single_file(&device, "new"))]);
    assert!(device.read("log").unwrap().contains("ArtifactInstall"));
    assert!(!device.path("etc").exists());
}

/// The client is killed at random moments of an update; whatever it left behind, `rollback` leads
/// back to the old file or folder, or the update had not begun.
#[test]
fn a_killed_client_leaves_the_old_or_the_new() {
    let seed = u64::from(std::process::id());
    for (kind, path) in [("file", "etc/motd"), ("folder", "srv/app/one")] {
        let device = Device::new();
        for folder in ["etc", "srv/app"] {
            fs::create_dir_all(device.path(folder)).unwrap();
        }
        device.write(path, "old");
        let builder = if kind == "file" { single_file } else { directory };
        let artifact = put(&device, builder(&device, "new"));
        for round in 0..KILLS {
            // From before it has begun until after its end, which is after some 100 ms.
            let after = Duration::from_millis((seed * 7919 + round * 104_729) % 120);
            let what = format!("{kind}, killed after {after:?}, round {round}, seed {seed}");
            device.run_and_kill(&["install", &artifact], after);
            let found = device.read(path);
            assert!(matches!(found.as_deref(), Some("old" | "new")), "{what}: {found:?}");
            let ended = device.run(&["rollback"]);
            assert!(matches!(ended.code(), Some(0 | 2)), "{what}: {}", ended.stderr());
            assert_eq!(device.read(path).as_deref(), Some("old"), "{what}");
        }
        succeeds(&device.run(&["install", &artifact]), "Installed, but not committed.");
        succeeds(&device.run(&["commit"]), "Committed.");
        assert_eq!(device.read(path).as_deref(), Some("new"));
        let folder = device.path(path).parent().unwrap().parent().unwrap().to_owned();
        let left = |folder: &Path| {
            fs::read_dir(folder)
                .unwrap()
                .filter_map(|entry| {
                    let name = entry.unwrap().file_name().into_string().unwrap();
                    name.contains("rota").then_some(name)
                })
                .count()
        };
        assert_eq!(left(&folder) + left(device.path(path).parent().unwrap()), 0);
    }
}

#[test]
fn scripts_are_committed_at_once_and_a_failing_one_is_reported() {
    let device = Device::new();
    let log = device.path("log").display().to_string();
    let script = |exit: u8| {
        Builder::module_image("script", "scripted")
            .file_bytes("10-first", format!("#!/bin/sh\necho first >> {log}\n"))
            .file_bytes("20-second", format!("#!/bin/sh\necho second >> {log}\nexit {exit}\n"))
    };
    let failed = device.run(&["install", &put(&device, script(1))]);
    assert_eq!(failed.code(), Some(1));
    assert!(failed.stdout().contains("does not support rollback"), "{}", failed.stdout());
    assert_eq!(artifact_name(&device), "scripted_INCONSISTENT\n");
    succeeds(&device.run(&["install", &put(&device, script(0))]), "Committing immediately");
    assert_eq!(device.read("log").as_deref(), Some("first\nsecond\nfirst\nsecond\n"));
    assert_eq!(artifact_name(&device), "scripted\n");
}

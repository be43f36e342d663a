//! Who may look into what the client writes, whatever the umask it was started with.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use rota_artifact::Builder;
use serde_json::json;

use crate::device::{Device, Finished};

/// Runs a command of the client with a umask.
fn run_with(umask: &str, device: &Device, arguments: &[&str]) -> Finished {
    let client = device.command();
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask $0; exec \"$@\"", umask]).arg(client.get_program());
    shell.args(client.get_args()).args(arguments);
    for (name, value) in client.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    Finished::of(&mut shell)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Installs an Artifact by hand, and commits it.
fn install(umask: &str, device: &Device, artifact: Builder) {
    let path = device.path("artifact.mender");
    fs::write(&path, artifact.device_type("board").threads(1).to_vec().unwrap()).unwrap();
    for arguments in [&["install", path.to_str().unwrap()][..], &["commit"]] {
        let ended = run_with(umask, device, arguments);
        assert_eq!(ended.code(), Some(0), "{arguments:?}: {}", ended.stderr());
    }
}

/// What is in a folder, and in those in it, by its path from there.
fn files(folder: &Path) -> BTreeMap<String, u32> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            files.extend(
                self::files(&path).into_iter().map(|(n, mode)| (format!("{name}/{n}"), mode)),
            );
        } else {
            files.insert(name, mode(&path));
        }
    }
    files
}

/// A person with an everyday umask runs a command before the daemon has ever run.
#[test]
fn nobody_but_root_can_open_what_the_client_keeps() {
    let device = Device::new();
    device.configure(&json!({"DeviceTypeFile": device.path("device_type")}));
    device.write("device_type", "device_type=board\n");
    let data = device.path("data");
    fs::remove_dir_all(&data).unwrap();
    let commands: [&[&str]; 2] = [&["show-artifact"], &["bootstrap"]];
    for command in commands {
        assert_eq!(run_with("022", &device, command).code(), Some(0), "{command:?}");
    }
    assert_eq!(mode(&data), 0o700);
    let artifact = Builder::module_image("test", "new").file_bytes("content", "new");
    install("022", &device, artifact);
    let open: Vec<_> = files(&data).into_iter().filter(|(_, mode)| mode & 0o077 != 0).collect();
    assert!(open.is_empty(), "{open:?}");
    for expected in ["mender-agent.pem", "rota-journal", "rota-journal.lock", "rota-update.lock"] {
        assert!(files(&data).contains_key(expected), "{expected}");
    }
}

/// A device whose data partition is new: `/var/lib/mender` leads to it, and nothing is there.
#[test]
fn a_data_folder_that_is_a_link_to_nothing_is_made() {
    for command in [
        &["bootstrap"][..],
        &["setup", "--quiet", "--device-type", "board", "--server-url", "https://localhost"],
    ] {
        let device = Device::new();
        device.write("device_type", "device_type=board\n");
        device.configure(&json!({}));
        fs::remove_dir_all(device.path("data")).unwrap();
        symlink(device.path("partition/mender"), device.path("data")).unwrap();
        let ended = run_with("022", &device, command);
        assert_eq!(ended.code(), Some(0), "{command:?}: {}", ended.stderr());
        assert_eq!(mode(&device.path("partition/mender")), 0o700, "{command:?}");
        let file = if command[0] == "setup" { "device_type" } else { "mender-agent.pem" };
        assert!(device.path("partition/mender").join(file).exists(), "{command:?}");
    }
}

/// An earlier client left them so; whoever could open one could hold it for ever.
#[test]
fn locks_that_anybody_could_take_are_narrowed() {
    let device = Device::new();
    let locks =
        ["rota-journal.lock", "rota-update.lock"].map(|name| device.path("data").join(name));
    for lock in &locks {
        fs::write(lock, "").unwrap();
        fs::set_permissions(lock, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let artifact = Builder::module_image("test", "new").file_bytes("content", "new");
    install("022", &device, artifact);
    for lock in &locks {
        assert_eq!(mode(lock), 0o600, "{}", lock.display());
    }
}

/// Whoever may write there can put a journal, a key or a script of his own in the place of the
/// client's.
#[test]
fn a_data_folder_that_others_can_write_to_is_narrowed() {
    let device = Device::new();
    let data = device.path("data");
    for (before, after) in [(0o775, 0o755), (0o1777, 0o1755), (0o720, 0o700), (0o2755, 0o2755)] {
        fs::set_permissions(&data, fs::Permissions::from_mode(before)).unwrap();
        let ended = device.run(&["show-artifact"]);
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr());
        assert_eq!(mode(&data), after, "{before:o}");
        let warns = ended.stderr().contains(&format!("{} had mode {before:o}", data.display()));
        assert_eq!(warns, before != after, "{before:o}: {}", ended.stderr());
        assert!(device.run(&["show-artifact"]).stderr().is_empty(), "it is told once");
    }
}

#[test]
fn what_is_installed_is_readable_whatever_the_umask() {
    let device = Device::new();
    let single_file = Builder::module_image("single-file", "file")
        .file_bytes("dest_dir", format!("{}\n", device.path("etc/inner").display()))
        .file_bytes("filename", "motd\n")
        .file_bytes("permissions", "644\n")
        .file_bytes("motd", "new");
    install("077", &device, single_file);

    // The archive does not say what the folder around its file is like.
    fs::create_dir_all(device.path("packing/inner")).unwrap();
    device.write("packing/inner/file", "new");
    fs::set_permissions(device.path("packing/inner/file"), fs::Permissions::from_mode(0o644))
        .unwrap();
    let archive = device.path("update.tar");
    let mut tar = Command::new("tar");
    tar.arg("-cf").arg(&archive).arg("-C").arg(device.path("packing")).arg("inner/file");
    assert!(tar.status().unwrap().success());
    let directory = Builder::module_image("directory", "folder")
        .file(archive)
        .file_bytes("dest_dir", format!("{}\n", device.path("srv/app").display()));
    install("077", &device, directory);

    for folder in ["etc", "etc/inner", "srv", "srv/app", "srv/app/inner"] {
        assert_eq!(mode(&device.path(folder)), 0o755, "{folder}");
    }
    for file in ["etc/inner/motd", "srv/app/inner/file"] {
        assert_eq!(mode(&device.path(file)), 0o644, "{file}");
    }
}

#[test]
fn modules_run_with_the_umask_that_the_client_was_given() {
    let device = Device::new();
    let artifact = || Builder::module_image("test", "new").file_bytes("content", "new");
    for (umask, expected) in [("022", 0o755), ("027", 0o750)] {
        device.add_script(
            "share/modules/v3/test",
            &format!(
                r#"case "$1" in SupportsRollback) echo Yes ;; ArtifactInstall) mkdir {} ;; esac"#,
                device.path(&format!("made-{umask}")).display()
            ),
        );
        install(umask, &device, artifact());
        assert_eq!(mode(&device.path(&format!("made-{umask}"))), expected);
    }
}

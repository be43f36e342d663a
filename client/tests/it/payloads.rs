//! The types of payload that the client installs by itself, through the program that devices run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rota_artifact::Builder;
use serde_json::json;

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

/// Packages are installed by the real dpkg, into a root of their own.
struct Packages {
    device: Device,
    root: PathBuf,
}

impl Packages {
    fn new() -> Self {
        let mut device = Device::new();
        let root = device.path("root");
        for folder in ["updates", "info"] {
            fs::create_dir_all(root.join("var/lib/dpkg").join(folder)).unwrap();
        }
        for file in ["status", "available"] {
            fs::write(root.join("var/lib/dpkg").join(file), "").unwrap();
        }
        device.set_environment("DPKG_ROOT", &root);
        // Whoever runs the tests may install into a root of their own.
        device.write(".dpkg.cfg", "force-not-root\nforce-bad-path\nlog /dev/null\n");
        device.set_environment("HOME", device.path(""));
        Self { device, root }
    }

    fn build(&self, name: &str, version: &str, architecture: &str, more: &str) -> PathBuf {
        let folder = self.device.path("package");
        fs::create_dir_all(folder.join("DEBIAN")).unwrap();
        fs::create_dir_all(folder.join("opt")).unwrap();
        fs::write(folder.join("opt").join(name), version).unwrap();
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n\
             Maintainer: nobody <nobody@example.com>\nDescription: test\n{more}"
        );
        fs::write(folder.join("DEBIAN/control"), control).unwrap();
        let path = self.device.path(&format!("{name}.deb"));
        let mut dpkg_deb = Command::new("dpkg-deb");
        run(dpkg_deb.args(["--root-owner-group", "--build"]).arg(&folder).arg(&path));
        fs::remove_dir_all(folder).unwrap();
        path
    }

    fn install(&self, builder: Builder) -> Finished {
        self.device.run(&["install", &put(&self.device, builder)])
    }

    fn installed(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.root.join("opt").join(name)).ok()
    }
}

fn debs(name: &str, packages: &[&Path]) -> Builder {
    let builder = Builder::module_image("deb", name);
    packages.iter().fold(builder, |builder, package| builder.file(*package))
}

#[test]
fn packages_are_installed_together_and_committed_at_once() {
    let packages = Packages::new();
    // Each before what it depends on: only together can they be configured.
    let app = packages.build("app", "1.0", "all", "Depends: zlibrary\n");
    let library = packages.build("zlibrary", "1.0", "all", "");
    succeeds(&packages.install(debs("debs-1", &[&app, &library])), "Committing immediately");
    assert_eq!(packages.installed("app").as_deref(), Some("1.0"));
    assert_eq!(artifact_name(&packages.device), "debs-1\n");
    let status = fs::read_to_string(packages.root.join("var/lib/dpkg/status")).unwrap();
    assert_eq!(status.matches("Status: install ok installed").count(), 2, "{status}");

    // dpkg stops in between, and the next update mends that.
    let needy = packages.build("app", "2.0", "all", "Depends: zlibrary (>= 2.0)\n");
    let failed = packages.install(debs("debs-2", &[&needy]));
    assert_eq!(failed.code(), Some(1));
    assert!(failed.stdout().contains("does not support rollback"), "{}", failed.stdout());
    assert!(failed.stderr().contains("dependency problems"), "{}", failed.stderr());
    assert_eq!(artifact_name(&packages.device), "debs-2_INCONSISTENT\n");
    let library = packages.build("zlibrary", "2.0", "all", "");
    succeeds(&packages.install(debs("debs-3", &[&library])), "Committing immediately");
    succeeds(&packages.install(debs("debs-4", &[&needy])), "Committing immediately");
    assert_eq!(artifact_name(&packages.device), "debs-4\n");
}

#[test]
fn packages_that_do_not_fit_are_refused_before_anything_changes() {
    let packages = Packages::new();
    let good = packages.build("good", "1.0", "all", "");
    let foreign = packages.build("foreign", "1.0", "vax", "");
    let broken = packages.device.path("broken.deb");
    fs::write(&broken, "not a package").unwrap();
    let text = packages.device.path("readme.txt");
    fs::write(&text, "text").unwrap();
    for (files, expected) in [
        (&[good.as_path(), &foreign][..], "foreign.deb is for \"vax\""),
        (&[&good, &broken], "broken.deb is no package"),
        (&[&text], "no file that ends in .deb"),
    ] {
        let failed = packages.install(debs("debs", files));
        assert_eq!(failed.code(), Some(1));
        assert!(failed.stdout().contains("System not modified."), "{}", failed.stdout());
        assert!(failed.stderr().contains(expected), "{}", failed.stderr());
        assert_eq!(packages.installed("good"), None);
    }
}

/// A device whose `docker` stands in for a real one, with an old container and the image of a new
/// one.
fn device_with_engine() -> Device {
    let mut device = Device::new();
    for folder in ["containers", "images", "registry", "broken"] {
        fs::create_dir_all(device.path("engine").join(folder)).unwrap();
    }
    let script = include_str!("../../src/payloads/tests/docker.sh");
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

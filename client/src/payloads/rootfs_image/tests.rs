//! System updates on a device in a folder: partitions are files, the boot loader is GRUB's
//! environment.

use std::{
    fs,
    io::{self, Cursor},
    path::PathBuf,
    time::Duration,
};

use rota_artifact::{Builder, Limits, Reader};
use tempfile::TempDir;

use super::*;
use crate::{
    boot::{GrubEnvironment, PartitionNumbers, Slot, Variables},
    host::Host,
    log::{Level, Log},
    modules::{InstallError, Installer, ModuleSettings, UpdateModules},
    payloads::ContainerSettings,
    process::Mark,
    records::Software,
    wake::Wake,
};

const MODULE: &str = "rootfs-image";
const PART_BYTES: usize = 3 << 20;

struct Device {
    folder: TempDir,
    host: Host,
    modules: UpdateModules,
}

impl Device {
    /// Runs from partition 2, which is A.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::within(folder.path().join("root"));
        for path in ["/dev", "/proc/self", "/boot/efi/grub-mender-grubenv"] {
            fs::create_dir_all(host.path(path)).unwrap();
        }
        fs::write(host.path("/dev/sda2"), vec![b'A'; PART_BYTES]).unwrap();
        fs::write(host.path("/dev/sda3"), vec![0; PART_BYTES]).unwrap();
        fs::write(host.path("/proc/self/mountinfo"), "").unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/support/grub/rota-grubenv");
        let place = host.path("/boot/efi/grub-mender-grubenv");
        let made = std::process::Command::new(script).arg(place).arg("2").status().unwrap();
        assert!(made.success());
        fs::write(folder.path().join("device_type"), "device_type=board\n").unwrap();
        let settings = ModuleSettings {
            modules: folder.path().join("modules"),
            work_tree: folder.path().join("tree"),
            artifact_scripts: folder.path().join("scripts"),
            device_type_file: folder.path().join("device_type"),
            verify_keys: None,
            downgrade_protection: Vec::new(),
            mark: Mark::new(folder.path()),
            limit: Duration::from_mins(1),
            containers: ContainerSettings::default(),
            rootfs: RootfsSettings {
                part_a: Some("/dev/sda2".into()),
                part_b: Some("/dev/sda3".into()),
                boot_loader: None,
                host: host.clone(),
            },
        };
        let log = Log::new(Level::Error, Box::new(io::sink()));
        let modules = UpdateModules::new(settings, Wake::default(), log);
        let device = Self { folder, host, modules };
        device.run_from(Slot::A);
        device
    }

    fn part(&self, slot: Slot) -> PathBuf {
        self.host.path(match slot {
            Slot::A => "/dev/sda2",
            Slot::B => "/dev/sda3",
        })
    }

    fn run_from(&self, slot: Slot) {
        let number = if slot == Slot::A { 2 } else { 3 };
        let cmdline = format!("root=/dev/sda{number} ro\n");
        fs::write(self.host.path("/proc/cmdline"), cmdline).unwrap();
    }

    fn loader(&self) -> Variables<GrubEnvironment> {
        let numbers = PartitionNumbers::of(["/dev/sda2", "/dev/sda3"].map(std::path::Path::new));
        Variables::new(GrubEnvironment::find(&self.host).unwrap(), numbers.unwrap())
    }

    fn state(&self) -> (Slot, bool) {
        let state = self.loader().state().unwrap();
        (state.selected, state.is_trial)
    }

    fn download(&mut self, artifact: Builder) -> Result<(), String> {
        let software = Software { artifact_name: "old".into(), ..Software::default() };
        let source = Box::new(Cursor::new(artifact.to_vec().unwrap()));
        let outcome = self.modules.open(source, &software).map(|_| ());
        outcome.and_then(|()| self.modules.store()).map_err(|error| chain(&error))
    }

    fn call(&mut self, call: Call) -> Result<(), String> {
        self.modules.call(MODULE, call).map_err(|error| chain(&error))
    }

    /// Starts the client anew, with another configuration.
    fn configure(&mut self, change: impl FnOnce(&mut RootfsSettings)) {
        let mut settings = self.modules.settings().clone();
        change(&mut settings.rootfs);
        let log = Log::new(Level::Error, Box::new(io::sink()));
        self.modules = UpdateModules::new(settings, Wake::default(), log);
    }

    /// Both copies of the environment become unreadable.
    fn damage_environment(&self) {
        for copy in ["mender_grubenv1", "mender_grubenv2"] {
            let path = self.host.path("/boot/efi/grub-mender-grubenv").join(copy).join("env");
            fs::write(path, "").unwrap();
        }
    }

    /// Downloads and installs, up to the reboot.
    fn installed() -> Self {
        let mut device = Self::new();
        device.download(image(b"new system")).unwrap();
        device.call(Call::ArtifactInstall).unwrap();
        device
    }
}

fn artifact() -> Builder {
    Builder::module_image(MODULE, "new").device_type("board")
}

fn image(bytes: &[u8]) -> Builder {
    artifact().file_bytes("rootfs.ext4", bytes)
}

fn refused(outcome: Result<(), String>, expected: &str) {
    let error = outcome.unwrap_err();
    assert!(error.contains(expected), "{error:?} does not say {expected:?}");
}

#[test]
fn an_update_is_written_tried_and_kept() {
    let mut device = Device::new();
    device.download(image(b"new system")).unwrap();
    assert_eq!(device.state(), (Slot::A, false), "nothing is activated by downloading");
    assert!(fs::read(device.part(Slot::B)).unwrap().starts_with(b"new system"));
    assert_eq!(fs::read(device.part(Slot::A)).unwrap(), vec![b'A'; PART_BYTES]);

    device.call(Call::ArtifactInstall).unwrap();
    assert_eq!(device.state(), (Slot::B, true));
    assert_eq!(device.modules.needs_reboot(MODULE).unwrap(), RebootNeed::System);
    assert!(device.modules.supports_rollback(MODULE).unwrap());
    device.run_from(Slot::B);
    device.call(Call::ArtifactVerifyReboot).unwrap();
    device.call(Call::ArtifactCommit).unwrap();
    assert_eq!(device.state(), (Slot::B, false));
    device.modules.clean_up(Some(MODULE)).unwrap();

    // The next one goes to the partition that is free now.
    device.download(image(b"newer system")).unwrap();
    assert!(fs::read(device.part(Slot::A)).unwrap().starts_with(b"newer system"));
}

#[test]
fn a_system_on_trial_is_not_updated() {
    let mut device = Device::new();
    device.loader().try_once(Slot::A).unwrap();
    refused(device.download(image(b"new")), "upgrade_available=1 in Download");
    device.loader().select(Slot::A).unwrap();
    device.download(image(b"new")).unwrap();
    device.loader().try_once(Slot::A).unwrap();
    refused(device.call(Call::ArtifactInstall), "upgrade_available=1 in ArtifactInstall");
}

#[test]
fn an_environment_of_another_system_is_noticed() {
    let mut device = Device::new();
    device.run_from(Slot::B);
    let mismatch = "mounted root (/dev/sda3) does not match boot loader environment (/dev/sda2)";
    refused(device.download(image(b"new")), mismatch);
    assert_eq!(fs::read(device.part(Slot::B)).unwrap(), vec![0; PART_BYTES]);
    device.run_from(Slot::A);
    device.download(image(b"new")).unwrap();
    device.run_from(Slot::B);
    refused(device.call(Call::ArtifactInstall), mismatch);
    assert_eq!(device.state(), (Slot::A, false));
}

#[test]
fn a_boot_loader_that_went_back_is_noticed() {
    let mut device = Device::installed();
    device.loader().select(Slot::A).unwrap();
    refused(device.call(Call::ArtifactVerifyReboot), "the boot loader went back");
    refused(
        device.call(Call::ArtifactCommit),
        "Upgrade failed and was reverted: refusing to commit!",
    );
    device.call(Call::ArtifactRollback).unwrap();
    assert_eq!(device.state(), (Slot::A, false));
    device.call(Call::ArtifactVerifyRollbackReboot).unwrap();
}

#[test]
fn a_system_is_kept_only_where_it_runs() {
    let mut device = Device::installed();
    refused(device.call(Call::ArtifactVerifyReboot), "mounted root (/dev/sda2)");
    refused(device.call(Call::ArtifactCommit), "mounted root (/dev/sda2)");
    assert_eq!(device.state(), (Slot::B, true));
    refused(device.call(Call::ArtifactVerifyRollbackReboot), "did not go back");
}

#[test]
fn going_back_leads_to_where_the_update_began() {
    // Before the reboot, during the trial, and after a commit that was not reported.
    for (running, commit) in [(Slot::A, false), (Slot::B, false), (Slot::B, true)] {
        let mut device = Device::installed();
        device.run_from(running);
        if commit {
            device.call(Call::ArtifactCommit).unwrap();
        }
        for _ in 0..2 {
            device.call(Call::ArtifactRollback).unwrap();
            assert_eq!(device.state(), (Slot::A, false), "from {running}, {commit}");
        }
        device.run_from(Slot::A);
        device.call(Call::ArtifactVerifyRollbackReboot).unwrap();
    }
}

#[test]
fn going_back_before_anything_was_installed_changes_nothing() {
    let mut device = Device::new();
    device.download(image(b"new")).unwrap();
    device.call(Call::ArtifactRollback).unwrap();
    assert_eq!(device.state(), (Slot::A, false));
}

#[test]
fn without_partitions_the_boot_loader_goes_back_by_itself() {
    let mut device = Device::installed();
    device.configure(|rootfs| rootfs.part_b = None);
    device.call(Call::ArtifactRollback).unwrap();
    refused(device.call(Call::ArtifactCommit), "RootfsPartB is not set in mender.conf");
    assert_eq!(device.state(), (Slot::B, true));
}

/// The new system was built with the partitions the other way round.
#[test]
fn going_back_leads_to_the_partition_whatever_it_is_called() {
    let mut device = Device::installed();
    device.run_from(Slot::B);
    device.configure(|rootfs| std::mem::swap(&mut rootfs.part_a, &mut rootfs.part_b));
    device.call(Call::ArtifactRollback).unwrap();
    assert_eq!(device.state(), (Slot::A, false));
}

/// The new system cannot use the boot loader's environment, so it cannot commit itself either.
#[test]
fn without_an_environment_the_boot_loader_goes_back_by_itself() {
    let mut device = Device::installed();
    device.run_from(Slot::B);
    device.damage_environment();
    let damaged = "both copies of the GRUB environment";
    refused(device.call(Call::ArtifactVerifyReboot), damaged);
    device.call(Call::ArtifactRollback).unwrap();
    refused(device.call(Call::ArtifactCommit), damaged);
    fs::remove_dir_all(device.host.path("/boot")).unwrap();
    device.call(Call::ArtifactRollback).unwrap();
    refused(device.call(Call::ArtifactCommit), "no boot loader is known");
}

/// The new system's partitions are others altogether.
#[test]
fn with_unknown_partitions_the_boot_loader_goes_back_by_itself() {
    for part_b in ["/dev/sda3", "/dev/sda5"] {
        let mut device = Device::installed();
        device.run_from(Slot::B);
        device.configure(|rootfs| {
            rootfs.part_a = Some("/dev/sda4".into());
            rootfs.part_b = Some(part_b.into());
        });
        device.call(Call::ArtifactRollback).unwrap();
        assert_eq!(device.state(), (Slot::B, true), "{part_b}");
    }
}

#[test]
fn an_environment_that_was_never_readable_is_an_error() {
    let mut device = Device::new();
    device.download(image(b"new")).unwrap();
    device.damage_environment();
    refused(device.call(Call::ArtifactRollback), "both copies of the GRUB environment");
}

#[test]
fn images_that_do_not_fit_are_refused_before_anything_is_written() {
    let mut device = Device::new();
    refused(device.download(image(&vec![1; PART_BYTES + 1])), "does not fit /dev/sda3");
    refused(device.download(image(b"")), "the image is empty");
    assert_eq!(fs::read(device.part(Slot::B)).unwrap(), vec![0; PART_BYTES]);
    fs::remove_file(device.part(Slot::B)).unwrap();
    refused(device.download(image(b"new")), "cannot find /dev/sda3");
    assert!(!device.part(Slot::B).exists());
}

/// As `download`, of a payload that our own tool would not write.
fn download_directly(device: &Device, payload: Builder) -> Result<(), String> {
    let bytes = payload.to_vec().unwrap();
    let source: Source = Box::new(Cursor::new(bytes));
    let mut reader = Reader::open(source, &Limits::default()).unwrap();
    let ModuleSettings { work_tree: tree, mark, limit, rootfs, containers, .. } =
        device.modules.settings();
    let (wake, log) = (&Wake::default(), &Log::new(Level::Error, Box::new(io::sink())));
    let workplace = Workplace { tree, mark, limit: *limit, wake, log, rootfs, containers };
    let outcome = RootfsImage::new(workplace).download(&mut reader.payload().unwrap());
    outcome.map_err(|error| chain(&error))
}

#[test]
fn an_update_is_one_file() {
    let device = Device::new();
    let payload = || Builder::module_image("other", "new").device_type("board");
    refused(download_directly(&device, payload()), "it must hold one");
    let two = payload().file_bytes("first", "1").file_bytes("second", "2");
    refused(download_directly(&device, two), "more than one file in payload");
    download_directly(&device, payload().file_bytes("first", "1")).unwrap();
}

#[test]
fn a_damaged_image_is_not_installed() {
    let mut device = Device::new();
    let artifact = image(&[b'2'; 5000]).compression(rota_artifact::Compression::None);
    let mut bytes = artifact.to_vec().unwrap();
    let place = bytes.windows(9).position(|window| window == b"222222222").unwrap();
    bytes[place + 100] = b'3';
    let software = Software { artifact_name: "old".into(), ..Software::default() };
    device.modules.open(Box::new(Cursor::new(bytes)), &software).unwrap();
    let outcome = device.modules.store();
    let expected = matches!(
        outcome,
        Err(InstallError::Artifact(rota_artifact::Error::ChecksumMismatch { .. }))
    );
    assert!(expected, "{outcome:?}");
    assert_eq!(device.state(), (Slot::A, false));
}

#[test]
fn a_module_of_the_same_name_comes_first() {
    use std::os::unix::fs::PermissionsExt;
    let mut device = Device::new();
    let module = device.folder.path().join("modules").join(MODULE);
    fs::create_dir_all(module.parent().unwrap()).unwrap();
    fs::write(&module, "#!/bin/sh\necho No\n").unwrap();
    fs::set_permissions(&module, fs::Permissions::from_mode(0o755)).unwrap();
    device.download(image(b"new")).unwrap();
    assert_eq!(device.modules.needs_reboot(MODULE).unwrap(), RebootNeed::No);
    assert_eq!(fs::read(device.part(Slot::B)).unwrap(), vec![0; PART_BYTES]);
}

//! The scripts that come with the client, on the machine that runs the tests.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn support(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("support").join(name)
}

/// What a script prints: the values of each name.
fn run(script: &Path, settings: &[(&str, &Path)]) -> BTreeMap<String, Vec<String>> {
    let programs = Path::new(env!("CARGO_BIN_EXE_rota-client")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let output =
        Command::new(script).env("PATH", path).envs(settings.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{}: {output:?}", script.display());
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (name, value) = line.split_once('=').unwrap();
        values.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    values
}

#[test]
fn the_inventory_scripts_say_what_the_device_is_like() {
    let device = tempfile::tempdir().unwrap();
    let modules = device.path().join("modules/v3");
    fs::create_dir_all(&modules).unwrap();
    fs::copy("/bin/true", modules.join("mine")).unwrap();
    fs::write(modules.join("not-executable"), "").unwrap();
    fs::write(device.path().join("device_type"), "device_type=board\n").unwrap();
    let settings = [
        ("MENDER_DATASTORE_DIR", device.path()),
        ("MENDER_DATA_DIR", device.path()),
        ("MENDER_CONF_DIR", device.path()),
        ("HOST_ROOT", device.path()),
    ];

    let mut all = BTreeMap::new();
    for script in fs::read_dir(support("inventory")).unwrap() {
        all.append(&mut run(&script.unwrap().path(), &settings));
    }
    for name in ["hostname", "kernel", "mem_total_kB", "os", "rootfs_type"] {
        let values = all.get(name).unwrap_or_else(|| panic!("no {name} in {all:?}"));
        assert!(values.len() == 1 && !values[0].is_empty(), "{name}: {values:?}");
    }
    assert!(all["mem_total_kB"][0].parse::<u64>().unwrap() > 1000);
    assert_eq!(all["artifact_name"], ["unknown"]);
    assert_eq!(all["device_type"], ["board"]);
    assert_eq!(all["update_modules"], ["mine"]);
    assert_eq!(all["mender_bootloader_integration"], ["unknown"]);
}

#[test]
fn the_boot_loader_is_told_by_what_it_leaves_on_the_device() {
    let script = support("inventory/mender-inventory-bootloader-integration");
    for (traces, kinds) in [
        (&["etc/fw_env.config"][..], &["uboot"][..]),
        (&["boot/loader/entries"], &["systemd_boot"]),
        (&["boot/grub/mender_grubenv1", "etc/fw_env.config"], &["bios_grub", "unknown_grub"]),
        (
            &["boot/efi/EFI/BOOT/mender_grubenv1", "boot/loader/entries"],
            &["uefi_grub", "uboot_uefi_grub", "unknown_uefi_grub"],
        ),
    ] {
        let root = tempfile::tempdir().unwrap();
        for trace in traces {
            fs::create_dir_all(root.path().join(trace)).unwrap();
        }
        let told = run(&script, &[("HOST_ROOT", root.path())]);
        let kind = &told["mender_bootloader_integration"][..];
        assert!(kinds.iter().any(|known| kind == [*known]), "{traces:?}: {kind:?}");
    }
}

#[test]
fn the_identity_script_takes_the_first_ethernet_interface() {
    let net = tempfile::tempdir().unwrap();
    for (name, kind, index) in [("dummy0", 1, 1), ("eth1", 1, 12), ("eth0", 1, 3), ("can0", 280, 2)]
    {
        let interface = net.path().join(name);
        fs::create_dir(&interface).unwrap();
        fs::write(interface.join("type"), format!("{kind}\n")).unwrap();
        fs::write(interface.join("ifindex"), format!("{index}\n")).unwrap();
        fs::write(interface.join("address"), format!("02:00:00:00:00:{index:02}\n")).unwrap();
    }
    let script = support("identity/mender-device-identity");
    let identity = run(&script, &[("SYS_CLASS_NET", net.path())]);
    assert_eq!(identity, BTreeMap::from([("mac".into(), vec!["02:00:00:00:00:03".to_owned()])]));
}

//! Which device the running system's root file system is on.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::{PayloadError, RefusedStep, parts::ubi_device};
use crate::{host::Host, mounts};

/// Whether the running system's root is on this device.
pub(super) fn check(host: &Host, expected: &Path) -> Result<(), PayloadError> {
    let mounted = if expected.to_string_lossy().starts_with("/dev/ubi") {
        ubi_root(host)
    } else if is_root_device(host, expected) {
        return Ok(());
    } else {
        // An overlay, or an initramfs that mounted something on top of the device.
        root_argument(host)
    };
    let mounted =
        mounted.map_err(PayloadError::disk("find out the root device from", host_proc()))?;
    match mounted {
        Some(mounted) if is_same(host, &mounted, expected) => Ok(()),
        mounted => Err(RefusedStep::OtherRoot {
            mounted: mounted.map_or_else(|| "unknown".into(), |path| path.display().to_string()),
            expected: expected.display().to_string(),
        }
        .into()),
    }
}

fn host_proc() -> &'static Path {
    Path::new("/proc")
}

/// Whether the file system at `/` is directly on this block device.
fn is_root_device(host: &Host, device: &Path) -> bool {
    match (fs::metadata(host.path(device)), fs::metadata(host.path("/"))) {
        (Ok(device), Ok(root)) => {
            device.file_type().is_block_device() && device.rdev() == root.dev()
        }
        _ => false,
    }
}

/// Whether two names are of the same device.
fn is_same(host: &Host, one: &Path, other: &Path) -> bool {
    if one == other {
        return true;
    }
    match (fs::metadata(host.path(one)), fs::metadata(host.path(other))) {
        (Ok(one), Ok(other)) if one.file_type().is_block_device() => {
            other.file_type().is_block_device() && one.rdev() == other.rdev()
        }
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

/// The device that the kernel was told to mount; the last word counts, as it does for the kernel.
fn root_argument(host: &Host) -> io::Result<Option<PathBuf>> {
    let arguments = fs::read_to_string(host.path("/proc/cmdline"))?;
    let root = arguments.split_whitespace().rev().find_map(|word| word.strip_prefix("root="));
    Ok(root.map(named_device))
}

/// `PARTUUID=…` and its like are links that udev makes.
fn named_device(name: &str) -> PathBuf {
    let Some((tag, value)) = name.split_once('=') else { return name.into() };
    let folder = match tag {
        "UUID" => "by-uuid",
        "LABEL" => "by-label",
        "PARTUUID" => "by-partuuid",
        "PARTLABEL" => "by-partlabel",
        _ => return name.into(),
    };
    let value = value.trim_matches('"');
    Path::new("/dev/disk").join(folder).join(value)
}

/// The UBI volume at `/`, by the table of mounts: it has no device number of its own.
fn ubi_root(host: &Host) -> io::Result<Option<PathBuf>> {
    let mut mounts = mounts::all(host)?.into_iter().rev();
    let root = mounts.find(|mount| mount.point == Path::new("/"));
    let Some(source) = root.map(|mount| mount.source) else { return Ok(None) };
    let volume = match source.to_str().and_then(|source| source.split_once(':')) {
        Some((device, name)) => volume_of_name(host, device, name)?,
        None => None,
    };
    Ok(Some(volume.unwrap_or_else(|| ubi_device(&source).unwrap_or(source))))
}

/// `ubi0:rootfs` is mounted by the volume's name; the kernel lists the names.
fn volume_of_name(host: &Host, device: &str, wanted: &str) -> io::Result<Option<PathBuf>> {
    let prefix = format!("{device}_");
    for volume in fs::read_dir(host.path("/sys/class/ubi"))? {
        let volume = volume?;
        let file_name = volume.file_name();
        let file_name = file_name.to_string_lossy();
        if file_name.starts_with(&prefix)
            && fs::read_to_string(volume.path().join("name"))?.trim_end() == wanted
        {
            return Ok(Some(Path::new("/dev").join(&*file_name)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    fn host() -> (TempDir, Host) {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::within(folder.path());
        for folder in ["/proc/self", "/dev/disk/by-partuuid", "/sys/class/ubi/ubi0_1"] {
            fs::create_dir_all(host.path(folder)).unwrap();
        }
        for part in ["sda2", "sda3", "ubi0_0", "ubi0_1"] {
            fs::write(host.path("/dev").join(part), "").unwrap();
        }
        (folder, host)
    }

    fn mounted(host: &Host, expected: &str) -> Result<(), String> {
        check(host, Path::new(expected)).map_err(|error| crate::log::chain(&error))
    }

    #[test]
    fn the_kernels_argument_names_the_root() {
        let (_folder, host) = host();
        symlink("../../sda3", host.path("/dev/disk/by-partuuid/ab-03")).unwrap();
        let error = mounted(&host, "/dev/sda3").unwrap_err();
        assert!(error.contains("/proc"), "{error}");
        for (cmdline, is_root) in [
            ("quiet root=/dev/sda3 ro\n", true),
            ("root=/dev/sda2 root=/dev/sda3\n", true),
            ("root=PARTUUID=ab-03\n", true),
            ("root=/dev/sda2\n", false),
            ("xroot=/dev/sda3 quiet\n", false),
        ] {
            fs::write(host.path("/proc/cmdline"), cmdline).unwrap();
            assert_eq!(mounted(&host, "/dev/sda3").is_ok(), is_root, "{cmdline}");
        }
        fs::write(host.path("/proc/cmdline"), "root=/dev/sda2").unwrap();
        let error = mounted(&host, "/dev/sda3").unwrap_err();
        assert!(error.contains("mounted root (/dev/sda2) does not match"), "{error}");
        assert!(error.contains("(/dev/sda3)"), "{error}");
    }

    #[test]
    fn the_table_of_mounts_names_the_ubi_volume() {
        let (_folder, host) = host();
        fs::write(host.path("/sys/class/ubi/ubi0_1/name"), "rootfsb\n").unwrap();
        for source in ["ubi0_1", "ubi0:rootfsb", "/dev/ubi0_1"] {
            let mut table = format!("20 1 0:15 / / rw - ubifs {source} rw\n").into_bytes();
            table.extend(b"21 20 8:17 / /media/M\xfcsik rw - vfat /dev/sdb1 rw\n");
            fs::write(host.path("/proc/self/mountinfo"), table).unwrap();
            assert_eq!(mounted(&host, "/dev/ubi0_1"), Ok(()), "{source}");
            assert!(mounted(&host, "/dev/ubi0_0").is_err(), "{source}");
        }
    }

    #[test]
    fn the_devices_own_number_is_enough_where_the_root_is_on_it() {
        // The one root whose device is known everywhere: that of the machine that runs this.
        let host = Host::default();
        assert!(!is_root_device(&host, Path::new("/dev/null")));
        assert!(!is_root_device(&host, Path::new("/nonexistent")));
    }
}

//! Which device a file system is on, and where it is mounted.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::fs::{major, minor};

use super::SnapshotError;
use crate::{
    host::Host,
    mounts::{self, Mount},
};

/// A file system on a block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The device's node, a path on this machine.
    pub device: PathBuf,
    pub device_number: u64,
    /// Where to freeze it; `None` if it is mounted nowhere.
    pub mount_point: Option<PathBuf>,
}

/// Finds the file system that a file or a folder is on, or that is on a block device.
pub fn find(host: &Host, source: &Path) -> Result<Place, SnapshotError> {
    let failed = |error| SnapshotError::Find { path: source.to_owned(), source: error };
    let metadata: Metadata = fs::metadata(host.path(source)).map_err(failed)?;
    let mounts = mounts::all(host).map_err(failed)?;
    if metadata.file_type().is_block_device() {
        let device_number = metadata.rdev();
        let mount_point = mounted_at(&mounts, device_number);
        return Ok(Place { device: host.path(source), device_number, mount_point });
    }
    let device_number = metadata.dev();
    let no_device = || SnapshotError::NoDevice { path: source.to_owned() };
    let device = device_node(host, device_number).map_err(failed)?.ok_or_else(no_device)?;
    let mount_point = Some(mounted_at(&mounts, device_number).ok_or_else(no_device)?);
    Ok(Place { device, device_number, mount_point })
}

/// The node of a block device, as the kernel names it; `None` for a number that is of none.
fn device_node(host: &Host, device_number: u64) -> io::Result<Option<PathBuf>> {
    let (major, minor) = (major(device_number), minor(device_number));
    let path = host.path(format!("/sys/dev/block/{major}:{minor}/uevent"));
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="));
    Ok(name.map(|name| host.path(Path::new("/dev").join(name))))
}

/// The first place where a device is mounted whole.
fn mounted_at(mounts: &[Mount], device_number: u64) -> Option<PathBuf> {
    let is_it =
        |mount: &&Mount| mount.device_number == device_number && mount.within == Path::new("/");
    mounts.iter().find(is_it).map(|mount| mount.point.clone())
}

#[cfg(test)]
mod tests {
    use rustix::fs::makedev;

    use super::*;

    #[test]
    fn a_device_is_frozen_where_it_is_mounted_whole() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::within(folder.path());
        fs::write(host.path("/file"), "").unwrap();
        let number = fs::metadata(host.path("/file")).unwrap().dev();
        let name = format!("{}:{}", major(number), minor(number));
        let entry = host.path("/sys/dev/block").join(&name);
        fs::create_dir_all(&entry).unwrap();
        fs::write(entry.join("uevent"), "DEVNAME=sda3\n").unwrap();
        fs::create_dir_all(host.path("/proc/self")).unwrap();
        let mut table = b"29 22 8:17 / /media/M\xfcsik rw - vfat /dev/sdb1 rw\n".to_vec();
        table.extend(format!("30 22 {name} /sub /var/bind rw - ext4 /dev/sda3 rw\n").bytes());
        let place = || find(&host, Path::new("/file"));
        fs::write(host.path("/proc/self/mountinfo"), &table).unwrap();
        assert!(matches!(place(), Err(SnapshotError::NoDevice { .. })), "{:?}", place());
        table.extend(format!("31 22 {name} / /data\\040x rw - ext4 /dev/sda3 rw\n").bytes());
        fs::write(host.path("/proc/self/mountinfo"), &table).unwrap();
        let expected = Place {
            device: host.path("/dev/sda3"),
            device_number: number,
            mount_point: Some("/data x".into()),
        };
        assert_eq!(place().unwrap(), expected);
    }

    #[test]
    fn the_kernel_names_the_node() {
        let folder = tempfile::tempdir().unwrap();
        let entry = folder.path().join("sys/dev/block/179:2");
        fs::create_dir_all(&entry).unwrap();
        fs::write(entry.join("uevent"), "MAJOR=179\nMINOR=2\nDEVNAME=mmcblk0p2\n").unwrap();
        let host = Host::within(folder.path());
        let found = device_node(&host, makedev(179, 2)).unwrap();
        assert_eq!(found, Some(folder.path().join("dev/mmcblk0p2")));
        assert_eq!(device_node(&host, makedev(0, 45)).unwrap(), None);
    }

    #[test]
    fn what_is_on_no_device_has_no_place() {
        let proc = find(&Host::default(), Path::new("/proc"));
        assert!(matches!(proc, Err(SnapshotError::NoDevice { .. })), "{proc:?}");
        let absent = find(&Host::default(), Path::new("/absent"));
        assert!(matches!(absent, Err(SnapshotError::Find { .. })), "{absent:?}");
    }
}

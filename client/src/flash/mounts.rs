//! Whether a device is mounted.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::PathBuf,
};

use crate::{
    host::Host,
    mounts::{self, Mount},
};

/// Where a device of this number is mounted, if it is.
pub(super) fn mounted_on(host: &Host, device: u64) -> io::Result<Option<PathBuf>> {
    let mut mounts = mounts::all(host)?.into_iter();
    Ok(mounts.find(|mount| is_of(mount, host, device)).map(|mount| mount.point))
}

/// Btrfs has numbers of its own, so the name of the device counts as well.
fn is_of(mount: &Mount, host: &Host, device: u64) -> bool {
    mount.device_number == device
        || fs::metadata(host.path(&mount.source)).is_ok_and(|source| {
            mount.source.is_absolute()
                && source.file_type().is_block_device()
                && source.rdev() == device
        })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rustix::fs::makedev;

    use super::*;

    #[test]
    fn mounts_are_found_by_number() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::within(folder.path());
        assert!(mounted_on(&host, makedev(8, 2)).is_err());
        fs::create_dir_all(host.path("/proc/self")).unwrap();
        let table = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            29 22 8:17 / /media/M\xfcsik rw - vfat /dev/sdb1 rw\n\
            30 22 8:2 / /mnt/with\\040blank rw - ext4 /dev/sda2 rw\n\
            31 22 0:44 / /proc rw - proc proc rw\n";
        fs::write(host.path("/proc/self/mountinfo"), table).unwrap();
        let on = |minor| mounted_on(&host, makedev(8, minor)).unwrap();
        assert_eq!(on(1).as_deref(), Some(Path::new("/")));
        assert_eq!(on(2).as_deref(), Some(Path::new("/mnt/with blank")));
        assert_eq!(on(22), None);
    }
}

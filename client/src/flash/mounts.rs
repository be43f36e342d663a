//! Whether a device is mounted.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
};

use rustix::fs::{major, minor};

use crate::host::Host;

/// Where a device of this number is mounted, if it is.
pub(super) fn mounted_on(host: &Host, device: u64) -> io::Result<Option<String>> {
    let table = fs::read_to_string(host.path("/proc/self/mountinfo"))?;
    Ok(table.lines().filter_map(Mount::parse).find(|mount| mount.is_of(host, device)).map(
        |mount| {
            // The kernel writes blanks as octal numbers; to a reader they mean little else.
            mount.on.replace(r"\040", " ")
        },
    ))
}

/// One line of `mountinfo`; proc(5) has the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mount<'a> {
    number: &'a str,
    pub(crate) on: &'a str,
    pub(crate) source: &'a str,
}

impl<'a> Mount<'a> {
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let (mount, kind) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(2);
        let (number, _within, on) = (mount.next()?, mount.next()?, mount.next()?);
        let source = kind.split(' ').nth(1)?;
        Some(Self { number, on, source })
    }

    /// Btrfs has numbers of its own, so the name of the device counts as well.
    fn is_of(&self, host: &Host, device: u64) -> bool {
        let number = format!("{}:{}", major(device), minor(device));
        self.number == number
            || fs::metadata(host.path(self.source)).is_ok_and(|source| {
                self.source.starts_with('/')
                    && source.file_type().is_block_device()
                    && source.rdev() == device
            })
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::makedev;

    use super::*;

    #[test]
    fn mounts_are_found_by_number() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::within(folder.path());
        assert!(mounted_on(&host, makedev(8, 2)).is_err());
        fs::create_dir_all(host.path("/proc/self")).unwrap();
        let table = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                     30 22 8:2 / /mnt/with\\040blank rw - ext4 /dev/sda2 rw\n\
                     31 22 0:44 / /proc rw - proc proc rw\n";
        fs::write(host.path("/proc/self/mountinfo"), table).unwrap();
        let on = |minor| mounted_on(&host, makedev(8, minor)).unwrap();
        assert_eq!(on(1).as_deref(), Some("/"));
        assert_eq!(on(2).as_deref(), Some("/mnt/with blank"));
        assert_eq!(on(22), None);
    }
}

//! What is mounted where, as the kernel lists it in `/proc/self/mountinfo`; proc(5) has the fields.
//!
//! Names are bytes: the kernel escapes blanks, tabs, newlines and backslashes, and writes all else as
//! it was given, in whatever encoding.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use rustix::fs::makedev;

use crate::host::Host;

const MOUNTS: &str = "/proc/self/mountinfo";

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Of the file system. Some, such as btrfs, have numbers that are no device's.
    pub(crate) device_number: u64,
    /// Which folder of the file system is mounted: `/` for all of it.
    pub(crate) within: PathBuf,
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    /// The path of a device, or whatever else this kind of file system calls its source.
    pub(crate) source: PathBuf,
}

/// All mounts that this process sees, in the order in which they were made.
pub(crate) fn all(host: &Host) -> io::Result<Vec<Mount>> {
    let cannot_read =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot read {MOUNTS}: {error}"));
    let table = fs::read(host.path(MOUNTS)).map_err(cannot_read)?;
    Ok(table.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// The first mount point that is `folder` or lies in it; `folder` has no links in it.
pub(crate) fn first_in(folder: &Path) -> io::Result<Option<PathBuf>> {
    let mut points = all(&Host::default())?.into_iter().map(|mount| mount.point);
    Ok(points.find(|point| point.starts_with(folder)))
}

/// `None` for what is no mount, such as the end of the table.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ').skip(2);
    let number = str::from_utf8(fields.next()?).ok()?;
    let (major, minor) = number.split_once(':')?;
    let device_number = makedev(major.parse().ok()?, minor.parse().ok()?);
    let within = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    // Options, then fields of which there may be more in newer kernels, up to a dash.
    fields.find(|field| *field == b"-")?;
    let source = unescape(fields.nth(1)?);
    Some(Mount { device_number, within, point, source })
}

/// Blanks and the like are written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut rest = field;
    let mut plain = Vec::with_capacity(field.len());
    while let [first, after @ ..] = rest {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let digits = digits.and_then(|digits| str::from_utf8(digits).ok());
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            plain.push(byte);
            rest = after.get(3..).unwrap_or_default();
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    OsString::from_vec(plain).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::within(folder.path());
        assert!(all(&host).unwrap_err().to_string().contains(MOUNTS));
        fs::create_dir_all(host.path("/proc/self")).unwrap();
        let table = b"22 1 8:1 / / rw,relatime shared:1 master:2 - ext4 /dev/sda1 rw\n\
            33 22 8:3 /x /srv/my\\040app\\134 rw - ext4 /dev/sda3 rw\n\
            34 22 8:17 / /media/M\xfcsik rw - vfat /dev/sdb1 rw\n\
            35 22 0:45 / /tmp rw - tmpfs  rw\n\
            what some file system printed\n";
        fs::write(host.path(MOUNTS), table).unwrap();
        let mount = |(major, minor), within: &str, point: &[u8], source: &str| Mount {
            device_number: makedev(major, minor),
            within: within.into(),
            point: OsString::from_vec(point.to_vec()).into(),
            source: source.into(),
        };
        let expected = [
            mount((8, 1), "/", b"/", "/dev/sda1"),
            mount((8, 3), "/x", b"/srv/my app\\", "/dev/sda3"),
            mount((8, 17), "/", b"/media/M\xfcsik", "/dev/sdb1"),
            mount((0, 45), "/", b"/tmp", ""),
        ];
        assert_eq!(all(&host).unwrap(), expected);
    }

    #[test]
    fn the_systems_own_mounts_are_found() {
        assert_eq!(first_in(Path::new("/proc")).unwrap().as_deref(), Some(Path::new("/proc")));
        assert!(first_in(Path::new("/")).unwrap().is_some());
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(first_in(folder.path()).unwrap(), None);
    }
}

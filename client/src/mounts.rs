//! File systems mounted on or under a folder.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

const MOUNTS: &str = "/proc/self/mountinfo";

/// The first mount point that is `folder` or lies in it; `folder` has no links in it.
pub(crate) fn first_in(folder: &Path) -> io::Result<Option<PathBuf>> {
    let cannot_read =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot read {MOUNTS}: {error}"));
    let mounts = fs::read(MOUNTS).map_err(cannot_read)?;
    Ok(parse(&mounts).find(|point| point.starts_with(folder)))
}

/// The fifth field of each line.
fn parse(mounts: &[u8]) -> impl Iterator<Item = PathBuf> {
    let lines = mounts.split(|byte| *byte == b'\n');
    let points = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    points.map(|point| PathBuf::from(OsString::from_vec(unescape(point))))
}

/// Blanks and the like are written as a backslash and three octal digits.
pub(crate) fn unescape(field: &[u8]) -> Vec<u8> {
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
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_the_fifth_field() {
        let text = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            33 22 8:3 /x /srv/my\\040app rw - ext4 /dev/sda3 rw\n\n";
        let points: Vec<_> = parse(text).collect();
        assert_eq!(points, [Path::new("/"), Path::new("/srv/my app")]);
    }

    #[test]
    fn the_systems_own_mounts_are_found() {
        assert_eq!(first_in(Path::new("/proc")).unwrap().as_deref(), Some(Path::new("/proc")));
        assert!(first_in(Path::new("/")).unwrap().is_some());
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(first_in(folder.path()).unwrap(), None);
    }
}

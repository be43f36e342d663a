//! Who the owners named in an archive are on this device.

use std::{collections::HashMap, fs, path::Path};

/// Users and groups by name. Where a name is unknown here, the archive's number counts, as it does
/// for tar.
#[derive(Debug, Default)]
pub(in crate::payloads) struct Owners {
    users: HashMap<Vec<u8>, u32>,
    groups: HashMap<Vec<u8>, u32>,
}

impl Owners {
    /// Those of this device. One without such files knows nobody by name.
    pub(in crate::payloads) fn of_device() -> Self {
        Self { users: read(Path::new("/etc/passwd")), groups: read(Path::new("/etc/group")) }
    }

    pub(super) fn user(&self, name: Option<&[u8]>) -> Option<u32> {
        self.users.get(name?).copied()
    }

    pub(super) fn group(&self, name: Option<&[u8]>) -> Option<u32> {
        self.groups.get(name?).copied()
    }
}

fn read(path: &Path) -> HashMap<Vec<u8>, u32> {
    parse(&fs::read(path).unwrap_or_default())
}

/// Lines of `name:password:number:…`.
fn parse(content: &[u8]) -> HashMap<Vec<u8>, u32> {
    let lines = content.split(|byte| *byte == b'\n');
    let entries = lines.filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        Some((name.to_owned(), str::from_utf8(number).ok()?.parse().ok()?))
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_numbers() {
        let users =
            parse(b"root:x:0:0:root:/root:/bin/sh\n\nbroken\nwww-data:x:33:33::/:\n+::x:\n");
        assert_eq!(users.get(b"root".as_slice()), Some(&0));
        assert_eq!(users.get(b"www-data".as_slice()), Some(&33));
        assert_eq!(users.len(), 2);
    }
}

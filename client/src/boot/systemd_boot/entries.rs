//! Entries of the boot loader: files whose names carry a counter.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
};

use super::super::{BootError, Slot};

/// Of entries that are text, and of unified kernels.
const EXTENSIONS: [&str; 2] = ["conf", "efi"];

/// How often an entry may still be tried, and was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counter {
    left: u32,
    done: u32,
}

impl Counter {
    pub(super) const ONE_TRY: Self = Self { left: 1, done: 0 };
    /// Not to be started, although it was never tried: the boot loader would have counted that.
    pub(super) const GIVEN_UP: Self = Self { left: 0, done: 0 };

    #[cfg(test)]
    pub(super) fn has_tries(self) -> bool {
        self.left > 0
    }

    /// What the boot loader makes of it before it starts the entry.
    #[cfg(test)]
    pub(super) fn after_a_try(self) -> Self {
        Self { left: self.left.saturating_sub(1), done: self.done + 1 }
    }

    fn parse(text: &str) -> Option<Self> {
        let (left, done) = text.split_once('-').unwrap_or((text, "0"));
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse().ok()).flatten()
        };
        Some(Self { left: number(left)?, done: number(done)? })
    }
}

/// The name of an entry, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) slot: Slot,
    /// `None` for an entry that is good.
    pub(super) counter: Option<Counter>,
    pub(super) extension: &'static str,
}

impl Entry {
    /// What the names of a system's entry begin with.
    pub(super) fn stem(slot: Slot) -> &'static str {
        match slot {
            Slot::A => "rootfs-a",
            Slot::B => "rootfs-b",
        }
    }

    /// What matches the entry with and without its counter, and no other that
    /// [`parse`](Self::parse) knows: a `.` or a `+` comes after the stem.
    pub(super) fn pattern(slot: Slot, extension: &str) -> String {
        format!("{}[.+]*{extension}", Self::stem(slot))
    }

    /// The system that a name or a pattern is about; `None` if it is something else.
    pub(super) fn slot_of(value: &str) -> Option<Slot> {
        let is_pattern_of = |slot: &Slot| {
            EXTENSIONS.iter().any(|known| value.eq_ignore_ascii_case(&Self::pattern(*slot, known)))
        };
        let named = || Self::parse(value).map(|entry| entry.slot);
        [Slot::A, Slot::B].into_iter().find(is_pattern_of).or_else(named)
    }

    /// `None` for the entry of something else. The boot loader compares without regard to case.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let (name, extension) = name.rsplit_once('.')?;
        let extension = EXTENSIONS.into_iter().find(|known| *known == extension)?;
        let (stem, counter) = match name.split_once('+') {
            Some((stem, counter)) => (stem, Some(Counter::parse(counter)?)),
            None => (name, None),
        };
        let slot = [Slot::A, Slot::B].into_iter().find(|slot| Self::stem(*slot) == stem)?;
        Some(Self { slot, counter, extension })
    }

    pub(super) fn name(&self) -> String {
        let Self { slot, counter, extension } = self;
        let stem = Self::stem(*slot);
        match counter {
            None => format!("{stem}.{extension}"),
            Some(Counter { left, done: 0 }) => format!("{stem}+{left}.{extension}"),
            Some(Counter { left, done }) => format!("{stem}+{left}-{done}.{extension}"),
        }
    }
}

/// The folder of the entries.
#[derive(Debug)]
pub(super) struct Entries {
    folder: PathBuf,
}

impl Entries {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(super) fn names(&self) -> Result<Vec<String>, BootError> {
        let names = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for file in fs::read_dir(&self.folder)? {
                names.push(file?.file_name().to_string_lossy().into_owned());
            }
            names.sort_unstable();
            Ok(names)
        };
        names().map_err(BootError::file("read", &self.folder))
    }

    /// Renames a file and waits until that is on the disk.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), BootError> {
        let rename = || -> io::Result<()> {
            fs::rename(self.folder.join(from), self.folder.join(to))?;
            File::open(&self.folder)?.sync_all()
        };
        rename().map_err(BootError::file("rename", &self.folder.join(from)))
    }

    pub(super) fn place(&self) -> String {
        self.folder.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_and_put_together() {
        let of = |slot, counter, extension| Some(Entry { slot, counter, extension });
        let counter = |left, done| Some(Counter { left, done });
        for (name, expected) in [
            ("rootfs-a.conf", of(Slot::A, None, "conf")),
            ("rootfs-b+1.conf", of(Slot::B, counter(1, 0), "conf")),
            ("rootfs-b+0-1.efi", of(Slot::B, counter(0, 1), "efi")),
            ("rootfs-b+0.conf", of(Slot::B, Some(Counter::GIVEN_UP), "conf")),
        ] {
            assert_eq!(Entry::parse(name), expected, "{name}");
            assert_eq!(expected.unwrap().name(), name);
        }
        assert_eq!(Entry::parse("ROOTFS-A+1-0.CONF"), of(Slot::A, counter(1, 0), "conf"));
        for other in [
            "rootfs-a",
            "rootfs-c.conf",
            "rootfs-a.conf.bak",
            "rootfs-a+.conf",
            "rootfs-a+x.conf",
            "rootfs-a+1-.conf",
            "rootfs-a+-1.conf",
            "rootfs-ab.conf",
            ".conf",
            "",
        ] {
            assert_eq!(Entry::parse(other), None, "{other}");
        }
    }

    #[test]
    fn names_and_patterns_say_which_system_they_are_about() {
        for (value, expected) in [
            ("rootfs-a.conf", Some(Slot::A)),
            ("rootfs-b+1.efi", Some(Slot::B)),
            ("rootfs-a[.+]*efi", Some(Slot::A)),
            ("ROOTFS-B[.+]*conf", Some(Slot::B)),
            ("rootfs-b*.conf", None),
            ("rootfs-c[.+]*conf", None),
        ] {
            assert_eq!(Entry::slot_of(value), expected, "{value}");
        }
    }
}
